"""`RunTrace`: the span tree of one run, built event by event.

invoke_workflow {goal} ├── plan, select, demote, escalate, resume, halt      one per decision, linked to the failed
attempts it answers ├── execute_tool {name} | invoke_agent {name}         one per step │   ├── attempt
one per attempt; current while it runs: what the tool itself │   │   └── invoke_workflow {goal}
traces, and child runs, are its children │   └── retry, reconcile ├── compensate
current while the effect is being undone └── signal
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import Token
from dataclasses import dataclass, field
from time import time_ns
from typing import Any, Final

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, StatusCode, Tracer, set_span_in_context

from orchestrator.core import conventions as names
from orchestrator.core.decision import Decision
from orchestrator.core.enums import STEP_LEVEL, DecisionKind, PartKind, Status
from orchestrator.core.events import (
    WITHDRAWN,
    CallEnded,
    CallStarted,
    ConditionChecked,
    Decided,
    DemandTold,
    EffectUndone,
    Event,
    GraphChanged,
    PartEnded,
    ProblemReported,
    RunEnded,
    RungAsked,
    RunResumed,
    RunStarted,
    RunWaiting,
    SignalRaised,
    ToolAllowed,
    ToolExcluded,
    ValueProvided,
)
from orchestrator.core.failure import Failure

from . import attributes as of
from .attributes import Attributes, brief
from .content import Capture
from .exceptions import report_exception


@dataclass(slots=True)
class Attached:
    """A context that was made current in a task."""

    token: Token[Context]
    task: Any

    @classmethod
    def attach(cls, context: Context) -> "Attached":
        """Make a context current in the running task: spans started there are children of its span."""
        return cls(contexts.attach(context), running_task())

    def detach(self) -> None:
        """Restore the previous context. In another task nothing is restored: a task's context ends with the task."""
        if running_task() is self.task:
            contexts.detach(self.token)


def running_task() -> Any:
    """The running task, or `None`."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


@dataclass(slots=True)
class _Step:
    """A logical step: all attempts of one tool until it is done or abandoned."""

    span: Span
    context: Context
    attempts: int = 0
    usage: Counter[str] = field(default_factory=Counter[str])
    failure: Failure | None = None
    failed_at: int = 0
    """When its last attempt failed, in nanoseconds since the epoch; 0 during an attempt."""


@dataclass(slots=True)
class _Attempt:
    span: Span
    attached: Attached


class RunTrace:
    """The spans of one run that is recorded."""

    def __init__(self, tracer: Tracer, span: Span, context: Context, capture: Capture | None = None) -> None:
        self._tracer = tracer
        self.capture = capture
        """How inputs and outputs are shown; `None` when they are not."""
        self.span = span
        self.context = context
        """The context with the run's span, in which the run executes."""
        self._common: Attributes = {}
        """Attributes of every span of the run: its labels."""
        self._policy = ""
        self._revision = 0
        self._steps: dict[str, _Step] = {}
        self._attempts: dict[str, _Attempt] = {}
        self._failed: dict[str, SpanContext] = {}
        """Failure -> the attempt that failed."""
        self._undoing: dict[str, _Attempt] = {}
        self._rungs: list[tuple[RungAsked, int]] = []
        """Rungs that were asked for the next decision, and when each answered."""

    def take(self, event: Event) -> None:
        """Handle one event of the run."""
        taker = _TAKERS.get(type(event))
        if taker is not None:
            taker(self, event)

    def note(self, found: Mapping[str, Any]) -> None:
        """Add attributes to the run's span."""
        self.span.set_attributes(found)

    def of_step(self, tool: str) -> Span | None:
        """The span of a step in progress."""
        step = self._steps.get(tool)
        return step.span if step else None

    def end(self) -> None:
        """End all open spans, the run's span last."""
        self._end_parts()
        self.span.end()

    # -- the run -----------------------------------------------------------------------------------------------------

    def started(self, event: RunStarted) -> None:
        self._policy, self._revision = str(event.policy.get("name", "")), event.revision
        self.span.set_attributes(of.of_start(event, ""))
        self._common = of.of_labels(event.labels)
        self.span.set_attributes(self._common)

    def resumed(self, event: RunResumed) -> None:
        how = WITHDRAWN if event.answer == WITHDRAWN else "answered"
        found: Attributes = {names.RUN_RESUMED: "after a crash" if event.after_crash else how}
        self.span.set_attributes(found)

    def waiting(self, event: RunWaiting) -> None:
        del event
        self.span.set_attribute(names.RUN_STATUS, str(Status.WAITING))
        self._end_parts()

    def ended(self, event: RunEnded) -> None:
        self._end_parts()
        self.span.set_attributes(of.of_end(event))
        if event.status is Status.ESCALATED:
            impasse = event.impasse or {}
            kind = str(impasse.get("kind") or "escalated")
            self.span.set_attribute(names.ERROR_TYPE, kind)
            self.span.set_status(StatusCode.ERROR, brief(str(impasse.get("reason") or f"no goal was reached ({kind})")))

    def changed(self, event: GraphChanged) -> None:
        self._revision = event.revision
        self.span.add_event(names.EVENT + "graph_changed", {names.GRAPH_REVISION: event.revision})

    def _end_parts(self) -> None:
        self._flush_rungs(self.context)
        for attempt in [*self._attempts.values(), *self._undoing.values()]:
            attempt.span.set_attribute(names.CALL_UNFINISHED, True)
            attempt.span.end()
            attempt.attached.detach()
        self._attempts.clear()
        self._undoing.clear()
        for tool in list(self._steps):
            self._end_step(tool)

    # -- decisions ---------------------------------------------------------------------------------------------------

    def decided(self, event: Decided) -> None:
        decision = event.decision
        if decision.kind is DecisionKind.COMPENSATE and decision.subject:
            self._undoing[decision.subject] = self._undo(decision)
            return
        span = self._start(
            of.span_name(decision),
            of.of_decision(decision, revision=self._revision, policy=self._policy),
            self._home(decision),
            links=[
                Link(self._failed[failure], {names.LINK: "answers", names.FAILURE_ID: failure})
                for failure in decision.answers
                if failure in self._failed
            ],
            start=min((at - _ns(rung.seconds) for rung, at in self._rungs), default=None),
        )
        self._flush_rungs(set_span_in_context(span, self.context))
        span.end()
        self._give_up(decision)

    def _home(self, decision: Decision) -> Context:
        """The parent of a decision's span: its step when the step continues, else the run."""
        step = self._steps.get(decision.subject or "")
        if step is not None and decision.kind in STEP_LEVEL:
            step.failed_at = 0
            return step.context
        return self.context

    def _give_up(self, decision: Decision) -> None:
        """End the step of a failure unless the decision continues it."""
        if decision.kind in STEP_LEVEL:
            return
        answered = set(decision.answers)
        for tool, step in list(self._steps.items()):
            if step.failed_at and step.failure and step.failure.id in answered:
                self._end_step(tool)

    def _undo(self, decision: Decision) -> _Attempt:
        found = of.of_decision(decision, revision=self._revision, policy=self._policy)
        span = self._start(of.span_name(decision), found, self.context)
        return _Attempt(span, Attached.attach(set_span_in_context(span)))

    def undone(self, event: EffectUndone) -> None:
        attempt = self._undoing.pop(event.tool, None)
        if attempt is None:
            return
        if not event.ok:
            attempt.span.set_attribute(names.ERROR_TYPE, "compensation_failed")
            attempt.span.set_status(StatusCode.ERROR, brief(event.reason))
        attempt.span.end()
        attempt.attached.detach()

    def asked(self, event: RungAsked) -> None:
        self._rungs.append((event, time_ns()))

    def demanded(self, event: DemandTold) -> None:
        name, now = f"{names.CHAT} {brief(event.model, 60)}", time_ns()
        self._start(name, of.of_demand(event), self.context, start=now - _ns(event.seconds)).end(now)

    def _flush_rungs(self, context: Context) -> None:
        for rung, at in self._rungs:
            name = f"{names.CHAT} {brief(rung.model, 60)}" if rung.model else f"{names.RUNG} {brief(rung.rung, 60)}"
            self._start(name, of.of_rung(rung), context, start=at - _ns(rung.seconds)).end(at)
        self._rungs.clear()

    def signalled(self, event: SignalRaised) -> None:
        self._start(names.SIGNAL, of.of_signal(event), self.context).end()

    # -- calls -------------------------------------------------------------------------------------------------------

    def called(self, event: CallStarted) -> None:
        step = self._steps.get(event.tool)
        if step is None:
            operation = names.INVOKE_AGENT if event.agent else names.EXECUTE_TOOL
            span = self._start(f"{operation} {event.tool}", of.of_step(event), self.context)
            step = self._steps[event.tool] = _Step(span, set_span_in_context(span, self.context))
        step.attempts += 1
        step.failed_at = 0
        span = self._start(names.ATTEMPT, of.of_attempt(event), step.context)
        self._attempts[event.call_id] = _Attempt(span, Attached.attach(self._within(span)))

    def _within(self, span: Span) -> Context:
        """The context of a call: its span is the current one, and spans of its parts can be created."""
        context = contexts.set_value(names.TRACER_KEY, self._tracer, set_span_in_context(span))
        if self._common:
            context = contexts.set_value(names.COMMON_KEY, self._common, context)
        return context if self.capture is None else contexts.set_value(names.SHOW_KEY, self.capture.message, context)

    def answered(self, event: CallEnded) -> None:
        step = self._steps.get(event.tool)
        if step is not None:
            if event.usage:
                step.usage.update({name: int(amount) for name, amount in event.usage.items()})
            step.failure = event.failure
        attempt = self._attempts.pop(event.call_id, None)
        if attempt is not None:
            attempt.span.set_attributes(of.of_result(event))
            if event.failure is not None:
                self._failed[event.failure.id] = attempt.span.get_span_context()
                _fail(attempt.span, event.failure)
                report_exception(attempt.span, of.of_exception(event.failure))
            attempt.span.end()
            attempt.attached.detach()
        if step is None:
            return
        if event.reconciled:
            step.span.set_attribute(names.CALL_RECONCILED, True)
        if event.failure is None:
            self._end_step(event.tool)
        else:
            step.failed_at = time_ns()

    def part(self, event: PartEnded) -> None:
        """A call within a call: a span under the attempt that made it."""
        attempt, now = self._attempts.get(event.call_id), time_ns()
        context = self.context if attempt is None else set_span_in_context(attempt.span, self.context)
        operation = names.INVOKE_AGENT if event.kind is PartKind.MEMBER else names.EXECUTE_TOOL
        name = f"{operation} {brief(event.part, 100)}"
        span = self._start(name, of.of_part(event), context, start=now - _ns(event.seconds))
        if event.failure is not None:
            span.set_status(StatusCode.ERROR, brief(event.error))
        span.end(now)

    def excluded(self, event: ToolExcluded) -> None:
        self._end_step(event.tool)
        self._note("excluded", {names.EVENT_TOOL: event.tool, names.EVENT_REASON: brief(event.reason)})

    def _end_step(self, tool: str) -> None:
        step = self._steps.pop(tool, None)
        if step is None:
            return
        step.span.set_attributes({names.ATTEMPTS: step.attempts, **of.of_usage(step.usage)})
        if step.failure is not None:
            _fail(step.span, step.failure)
        step.span.end(step.failed_at or None)

    # -- small things ------------------------------------------------------------------------------------------------

    def checked(self, event: ConditionChecked) -> None:
        self._note("condition", {names.EVENT_TOOL: event.tool, names.EVENT_HOLDS: event.holds})

    def allowed(self, event: ToolAllowed) -> None:
        self._note("allowed", {names.EVENT_TOOL: event.tool})

    def provided(self, event: ValueProvided) -> None:
        self._note("provided", {names.EVENT_KEY: event.key, names.EVENT_BY: event.by})

    def reported(self, event: ProblemReported) -> None:
        found: Attributes = {names.EVENT_SOURCE: event.source, names.EVENT_REASON: brief(event.message)}
        self._note("problem", found)

    def _note(self, what: str, found: Attributes) -> None:
        self.span.add_event(names.EVENT + what, found)

    def _start(
        self,
        name: str,
        found: Attributes,
        context: Context,
        *,
        links: list[Link] | None = None,
        start: int | None = None,
    ) -> Span:
        return self._tracer.start_span(
            name, context, attributes={**self._common, **found}, links=links, start_time=start
        )


def _fail(span: Span, failure: Failure) -> None:
    span.set_attributes(of.of_failure(failure))
    span.set_status(StatusCode.ERROR, brief(failure.message))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


_TAKERS: Final[dict[type[Event], Callable[[RunTrace, Any], None]]] = {
    RunStarted: RunTrace.started,
    RunResumed: RunTrace.resumed,
    RunWaiting: RunTrace.waiting,
    RunEnded: RunTrace.ended,
    GraphChanged: RunTrace.changed,
    Decided: RunTrace.decided,
    EffectUndone: RunTrace.undone,
    RungAsked: RunTrace.asked,
    DemandTold: RunTrace.demanded,
    PartEnded: RunTrace.part,
    SignalRaised: RunTrace.signalled,
    CallStarted: RunTrace.called,
    CallEnded: RunTrace.answered,
    ToolExcluded: RunTrace.excluded,
    ConditionChecked: RunTrace.checked,
    ToolAllowed: RunTrace.allowed,
    ValueProvided: RunTrace.provided,
    ProblemReported: RunTrace.reported,
}
