"""Describes events in plain sentences, for stories."""

from dataclasses import replace
from functools import singledispatchmethod
from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.core.enums import IMPASSE_KINDS, DecisionKind
from orchestrator.core.events import (
    WITHDRAWN,
    BudgetRaised,
    CallEnded,
    ConditionChecked,
    Decided,
    DemandTold,
    EffectUndone,
    Event,
    GraphChanged,
    PartEnded,
    ProblemReported,
    RungAsked,
    RunResumed,
    RunWaiting,
    SignalRaised,
    ToolAllowed,
    ValueProvided,
    ValuesExpired,
)
from orchestrator.core.text import abridged, duration, listed, usd
from orchestrator.engine.state import RunState

from .model import EntryKind, ExplainedEscalation, ExplainedRung, StoryEntry


class EventDescriber:
    """Describes the events of one run, in order."""

    def __init__(self) -> None:
        self.entries: list[StoryEntry] = []
        self.escalations: list[ExplainedEscalation] = []
        self._rungs: list[ExplainedRung] = []
        self._conditions: dict[str, bool] = {}
        """Results of `when` since the last decision that chose a route."""
        self._record = 0
        self._state = RunState("")

    def take(self, record: int, event: Event, state: RunState) -> None:
        """Describe one event; `state` is the run's state after it."""
        self._record, self._state = record, state
        self._describe(event)

    def _say(self, event: Event, kind: EntryKind, text: str, tool: str | None = None, **more: Any) -> None:
        at = max(0.0, event.at - self._state.started_at)
        self.entries.append(StoryEntry(self._record, at, kind, text, tool, **more))

    @singledispatchmethod
    def _describe(self, event: Event) -> None:
        """Describe an event; `None` for one that people need not read."""

    # -- decisions -----------------------------------------------------------------------------------------------

    @_describe.register
    def _(self, event: Decided) -> None:
        decision = event.decision
        kind = EntryKind.DECISION
        if decision.kind in IMPASSE_KINDS:
            kind = EntryKind.ESCALATION
            self._escalated(decision)
        elif decision.kind is DecisionKind.RESUME and self.escalations and "in_flight" not in decision.facts:
            self._replied(decision)
        text = self._branched(decision) if decision.kind is DecisionKind.BRANCH else sentence(decision)
        self._say(
            event,
            kind,
            text,
            decision.subject if decision.subject in self._state.attempts else None,
            decision=decision.id,
            decided=decision.kind,
            candidates=decision.candidates,
            chosen=decision.chosen,
        )

    @_describe.register
    def _(self, event: ConditionChecked) -> None:
        self._conditions[event.tool] = event.holds

    def _branched(self, decision: Decision) -> str:
        """A branch: the results of its conditions, and the route that follows."""
        hold = [tool for tool, holds in self._conditions.items() if holds]
        rest = [tool for tool, holds in self._conditions.items() if not holds]
        self._conditions.clear()
        if not hold and not rest:
            return sentence(decision)
        parts = [f"{listed(hold)} may be used" if hold else "", f"{listed(rest)} may not" if rest else ""]
        summary = ", ".join(part for part in parts if part)
        return _full_stop(f"Branch: by their conditions {summary}; on to {path(decision)}{_at(decision)}")

    def _escalated(self, decision: Decision) -> None:
        escalation = ExplainedEscalation(decision.id, decision.reason, decision.chosen, tuple(self._rungs))
        self.escalations.append(escalation)
        self._rungs.clear()

    def _replied(self, decision: Decision) -> None:
        by = str(decision.facts.get("by", "")) or self.escalations[-1].by
        self.escalations[-1] = replace(self.escalations[-1], reply=decision.chosen, by=by)

    @_describe.register
    def _(self, event: RungAsked) -> None:
        self._rungs.append(ExplainedRung(event.rung, event.answer, event.admitted, event.model, event.calls))
        model = f" ({event.model})" if event.model else ""
        self._say(event, EntryKind.ESCALATION, f"{event.rung}{model} was asked: {event.answer}.")

    @_describe.register
    def _(self, event: DemandTold) -> None:
        result = event.problem or listed([f"{skill} {share:.2f}" for skill, share in event.demand.items()])
        self._say(event, EntryKind.CHANGE, f"{event.model} was asked what {event.key} demands: {result}.")

    @_describe.register
    def _(self, event: RunWaiting) -> None:
        question = str(event.question.get("text", ""))
        choices = tuple(str(choice) for choice in event.question.get("choices", ()))
        if self.escalations:
            self.escalations[-1] = replace(self.escalations[-1], question=question, choices=choices)
        self._say(event, EntryKind.PERSON, f"A person is asked: {question}")

    @_describe.register
    def _(self, event: RunResumed) -> None:
        if event.after_crash:
            self._say(event, EntryKind.CHANGE, "Picked up again after the process that ran it had stopped.")
        elif event.answer == WITHDRAWN:
            self._say(event, EntryKind.CHANGE, "A call continues without an answer: its question is withdrawn.")
        else:
            self._say(event, EntryKind.PERSON, f"Answered by {event.by or 'a person'}: {event.answer}.")

    # -- work ----------------------------------------------------------------------------------------------------

    @_describe.register
    def _(self, event: CallEnded) -> None:
        if event.failure is not None:
            failure = event.failure
            attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
            kind = kind_words(failure.kind)
            text = f"{event.tool} failed ({kind}{attempt}, {duration(event.seconds)}): {failure.message}"
            self._say(event, EntryKind.FAILURE, _full_stop(text), event.tool, failure=failure.id)
        elif event.cancelled:
            self._say(event, EntryKind.CALL, f"{event.tool} was cancelled.", event.tool)
        elif event.asked:
            self._say(event, EntryKind.CALL, f"{event.tool} asks a person.", event.tool)
        elif event.ok:
            price = f", {usd(event.cost)}" if event.cost else ""
            found = " (found out afterwards)" if event.reconciled else ""
            text = f"{event.tool} gave {listed(event.gives)} ({duration(event.seconds)}{price}){found}."
            self._say(event, EntryKind.CALL, text, event.tool)

    @_describe.register
    def _(self, event: PartEnded) -> None:
        how = f" ({duration(event.seconds)})"
        if event.left_out:
            text = f"{event.tool} left {event.part} out: {event.left_out}"
        elif event.ok:
            text = f"{event.tool} called {event.part}{how}"
        else:
            text = f"{event.tool} called {event.part}, which failed: {kind_words(event.failure)}, {event.error}{how}"
        self._say(event, EntryKind.CALL, _full_stop(text), event.tool)

    @_describe.register
    def _(self, event: EffectUndone) -> None:
        if event.ok:
            self._say(event, EntryKind.UNDOING, f"The effect of {event.tool} was undone.", event.tool)
        else:
            text = f"The effect of {event.tool} could not be undone: {event.reason}"
            self._say(event, EntryKind.UNDOING, _full_stop(text), event.tool)

    # -- what changed --------------------------------------------------------------------------------------------

    @_describe.register
    def _(self, event: SignalRaised) -> None:
        text = f"{event.monitor or 'A monitor'} on {event.target}: {event.kind}, {event.action}: {event.reason}"
        self._say(event, EntryKind.SIGNAL, _full_stop(text))

    @_describe.register
    def _(self, event: ToolAllowed) -> None:
        if event.approved:
            text = f"{event.tool} was approved."
        elif event.abandon:
            text = f"The effect of {event.tool} may be left standing."
        else:
            text = f"{event.tool} may be used again{' in spite of its health' if event.forced else ''}."
        self._say(event, EntryKind.CHANGE, text, event.tool)

    @_describe.register
    def _(self, event: ValueProvided) -> None:
        taint = "; nothing is written with it unless a person approves" if event.tainted else ""
        self._say(event, EntryKind.CHANGE, f"{event.key} was provided by {event.by}{taint}.")

    @_describe.register
    def _(self, event: ValuesExpired) -> None:
        self._say(event, EntryKind.CHANGE, f"What {listed(event.tools)} had read was too old; it is read again.")

    @_describe.register
    def _(self, event: BudgetRaised) -> None:
        self._say(event, EntryKind.CHANGE, "The budget was raised.")

    @_describe.register
    def _(self, event: GraphChanged) -> None:
        self._say(event, EntryKind.CHANGE, f"The tools changed: planned on revision {event.revision} from here on.")

    @_describe.register
    def _(self, event: ProblemReported) -> None:
        self._say(event, EntryKind.PROBLEM, _full_stop(f"{event.source} had a problem: {event.message}"))


def sentence(decision: Decision) -> str:
    """A decision in one plain sentence."""
    match decision.kind:
        case DecisionKind.ROUTE:
            text = f"Route chosen: {path(decision)}{_at(decision)}"
        case DecisionKind.REROUTE if decision.chosen_tools:
            text = f"Rerouted to {path(decision)}{_at(decision)}"
        case DecisionKind.REROUTE:
            return _full_stop(f"{decision.chosen.capitalize()}: {decision.reason}")
        case DecisionKind.BRANCH:
            return _full_stop(f"Branch: {decision.reason}; on to {path(decision)}{_at(decision)}")
        case DecisionKind.SELECT:
            text = f"{decision.chosen} selected for {decision.subject}{_rivals(decision)}: {decision.reason}"
        case DecisionKind.RETRY:
            text = f"{decision.subject} is tried again: {decision.reason}"
        case DecisionKind.RECONCILE:
            text = f"Looked whether {decision.subject} took place: {decision.reason}; {decision.chosen}"
        case DecisionKind.COMPENSATE:
            text = f"{decision.chosen} is undone: {decision.reason}"
        case DecisionKind.DEMOTE:
            text = f"Lowered the goal to {decision.chosen}: {decision.reason}"
        case DecisionKind.ESCALATE:
            text = f"Escalated: {decision.reason.rstrip('. ')}. What came of it: {decision.chosen}"
        case DecisionKind.RESUME:
            text = f"Resumed: {decision.chosen} ({decision.reason})"
        case DecisionKind.HALT:
            text = f"Stopped: {decision.reason}"
    return _full_stop(text)


def path(decision: Decision) -> str:
    """The tools of a chosen route with arrows between them; of a long one the first and the last."""
    return abridged(decision.chosen_tools) or decision.chosen


def kind_words(kind: object) -> str:
    """The name of a failure class for people: `invalid output`."""
    return str(kind).replace("_", " ")


def _at(decision: Decision) -> str:
    return "" if decision.price is None else f" at {usd(decision.price)}"


def _rivals(decision: Decision) -> str:
    others = [c for c in decision.candidates if c.name != decision.chosen]
    usable = [f"{c.name} ({usd(c.price)})" for c in others if c.price is not None]
    return f" at {usd(decision.price)}, before {listed(usable)}" if usable else _at(decision)


def _full_stop(text: str) -> str:
    text = text.rstrip()
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
