"""`Run`: one run as it goes on. It tells its story as events, and its state is what they fold to."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.core.decision import Decision
from orchestrator.core.enums import DecisionKind, Effect
from orchestrator.core.errors import DefinitionError, OwnershipLost
from orchestrator.core.events import (
    ConditionChecked,
    Decided,
    Event,
    GraphChanged,
    ProblemReported,
    Progressed,
    Sink,
    ToolExcluded,
    ValuesExpired,
    to_body,
)
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Escalated, Outcome
from orchestrator.core.route import Candidate, Impasse, Route
from orchestrator.engine.planning import planning
from orchestrator.engine.planning import planning as candidates
from orchestrator.engine.planning import selection as choosing
from orchestrator.engine.planning.agents import NOBODY
from orchestrator.engine.planning.planning import Planned
from orchestrator.graph.graph import GraphRevision
from orchestrator.graph.tool import Tool

from .state import RunState
from .values import ValueTable, digest

if TYPE_CHECKING:
    from orchestrator.engine.lifecycle.escalation import Escalator

    from .runtime import Runtime

T = TypeVar("T")


class Run:
    """The live side of a run: values, the current route, and what a call may ask of it."""

    def __init__(
        self,
        runtime: "Runtime",
        state: RunState,
        *,
        durable: bool,
        parent: "Run | None" = None,
        token: int | None = None,
    ) -> None:
        self.runtime = runtime
        self.state = state
        self.parent = parent
        self.token = token
        """Fencing token: a worker that lost the run can no longer write its records."""
        self.view: GraphRevision = runtime.graph.view()
        self.values = ValueTable(state.run_id, runtime.store, durable=durable, token=token)
        self.route: Route | None = None
        self.first_route: Route | None = None
        self.last_resort = False
        """Whether the route uses tools with an open circuit, because there is no other."""
        self.impasse: Impasse | None = None
        """Why there is no route."""
        self.dead_end: Planned | None = None
        """What it was planned on that there is no route."""
        self.cast = NOBODY
        """What the current route was planned on about agents."""
        self.not_retried: dict[str, dict[str, Any]] = {}
        """Failure -> the facts that it was not tried again on, until a decision answers it."""
        self.open: list[Impasse] = []
        """Steps that only a person, or a rung of the ladder, can settle."""
        self.approval_wanted: dict[str, str] = {}
        """Tool (or the whole run) -> why a monitor wants a person to approve its writes."""
        self.began = runtime.clock.monotonic()
        self.loop = asyncio.get_running_loop()
        self.fenced = False
        """Whether another owner has the run: nothing more is decided, done or recorded here."""
        self.cancelled: str | None = None
        """Why the run is to stop, once it is."""
        self.wake = asyncio.Event()
        self.result: Future[Outcome[Any]] = Future()
        """The outcome, once the run has ended or waits; anybody may join it, from any thread."""
        self.trace_id = ""
        """Of the trace that the run began in; the same for all who ask for this run."""
        self.escalator: Escalator | None = None
        self.answer: tuple[Any, str] | None = None
        """A person's answer on its way in, and who gave it."""
        self.final: Outcome[Any] | None = None
        self.task: asyncio.Task[Outcome[Any]] | None = None
        self.graph: Any = None
        """The compiled LangGraph that carries this run."""
        self.durable = durable
        self.had_children = False
        self.let_go = False
        """Whether the run, which waits, is no longer owned by this process."""
        self.named = False
        """Whether the caller chose the run's id."""
        self._stream: Sink | None = None
        self.repriced: set[str] = set()
        """Tools whose health changed since the run last looked."""
        self.children: dict[str, Run] = {}
        """Child runs that have not ended."""

    def rebind(self) -> None:
        """Go on in the running event loop, which may be another one than before."""
        self.loop = asyncio.get_running_loop()
        self.wake = asyncio.Event()
        self.result = Future()

    def fence(self) -> None:
        """Stop at once: another owner has the run. From any thread; the whole tree stops."""
        if self.parent is not None and not self.parent.fenced:
            self.parent.fence()
        if self.fenced:
            return
        self.fenced = True
        for child in list(self.children.values()):
            child.fence()
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def wake_up(self) -> None:
        """Have the run look again, from any thread."""
        with contextlib.suppress(RuntimeError):  # its event loop is gone, and nobody sleeps any more
            self.loop.call_soon_threadsafe(self.wake.set)

    def nudge(self, names: Iterable[str]) -> None:
        """The health of these tools changed: have the run look again if it still relies on one."""
        self.repriced.update(names)
        if self.route is not None and not self.state.done.keys() >= self.repriced:
            self.wake_up()

    def stream_to(self, sink: Sink) -> None:
        """Have one more sink hear this run's events, and no other's."""
        self._stream = sink

    @property
    def streams(self) -> bool:
        """Whether a sink follows this run alone."""
        return self._stream is not None

    def traced(self) -> "contextlib.AbstractContextManager[None]":
        """Make the run's span the current one: what is started meanwhile is its child."""
        return self.runtime.tracing.within(self.state.run_id)

    # -- the story ---------------------------------------------------------------------------------------------------

    def stamp(self) -> dict[str, Any]:
        """What every event of this run carries."""
        return {"run_id": self.state.run_id, "at": self.runtime.clock.time()}

    def other_policy(self) -> dict[str, Any] | None:
        """The policy now in force, where the run was under another so far: it was resumed by somebody else."""
        policy = self.runtime.policy.model_dump(mode="json")
        return None if policy == self.state.policy else policy

    def emit(self, event: Event) -> None:
        """Tell an event: to the state, the ledger, and every sink. A sink that fails is reported; the run goes on.

        Raises `OwnershipLost` once the run is fenced.
        """
        if self.fenced:
            raise OwnershipLost(f"another process has taken over the run {self.state.run_id!r}")
        self.state.apply(event)
        self.publish(event)

    def publish(self, event: Event) -> None:
        """Tell an event to the ledger and the sinks."""
        if self.fenced:
            return
        if not isinstance(event, Progressed):
            self.runtime.store.append(event.run_id, type(event).__name__, to_body(event), event.at, self.token)
        for sink in (*self.runtime.sinks, *([self._stream] if self._stream else ())):
            try:
                sink.on_event(event)
            except Exception as error:
                self._report_sink(sink, event, error)

    def _report_sink(self, sink: object, event: Event, error: Exception) -> None:
        if not isinstance(event, ProblemReported):
            message = f"{type(error).__name__}: {error}"
            self.publish(ProblemReported(**self.stamp(), source=type(sink).__name__, message=message))

    def publish_from_anywhere(self, event: Event) -> None:
        """Tell an event from any thread."""
        self.loop.call_soon_threadsafe(self.publish, event)

    def emit_from_anywhere(self, event: Event) -> None:
        """Tell an event from any thread; at once in the run's own event loop."""
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if here:
            self.emit(event)
        else:
            self.loop.call_soon_threadsafe(self.emit, event)

    def decide(
        self,
        kind: DecisionKind,
        chosen: str,
        *,
        reason: str = "",
        answers: tuple[str, ...] = (),
        candidates: tuple[Candidate, ...] = (),
        subject: str | None = None,
        price: float | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Decision:
        """Put a decision on record."""
        given_up = {failure: self.not_retried.pop(failure) for failure in answers if failure in self.not_retried}
        if given_up:
            facts = {**(facts or {}), "not_retried": given_up}
        decision = Decision(
            id=self.state.next_decision_id(),
            kind=kind,
            chosen=chosen,
            candidates=candidates,
            reason=reason,
            answers=answers,
            subject=subject,
            price=price,
            facts=facts or {},
        )
        self.emit(Decided(**self.stamp(), decision=decision))
        return decision

    # -- planning ----------------------------------------------------------------------------------------------------

    def replan(self, kind: DecisionKind, reason: str, *, subject: str | None = None) -> bool:
        """Plan from where the run stands and put the decision on record; False when there is no route.

        The decision answers the failures that are its to answer. Without a route nothing is decided yet: calls in
        flight finish first, and then the impasse is escalated.
        """
        self.follow_graph()
        self.runtime.health.poll()
        self._expire()
        self.check_conditions()
        choosing.exclude_refused(self)
        planned = planning.plan(self.runtime, self.state, self.view, self.values.values)
        self.route, self.impasse, self.last_resort = planned.route, planned.impasse, planned.last_resort
        self.dead_end = planned if planned.route is None else None
        self.cast = planned.cast
        if planned.route is None:
            return False
        if self.first_route is None:
            self.first_route = planned.route
        self.decide(
            kind,
            planning.describe_route(planned.route),
            reason=reason + (" (tools with an open circuit admitted as a last resort)" if planned.last_resort else ""),
            answers=self.state.to_answer if kind is DecisionKind.REROUTE else (),
            candidates=candidates.pricer(self.runtime, self.view, self.state.problem().unusable, planned).route(
                planned.route
            ),
            price=planned.route.price,
            subject=subject,
            facts=planning.route_facts(self.runtime, self.view, planned),
        )
        choosing.decide_agents(self, planned)
        return True

    def follow_graph(self) -> None:
        """Plan on the newest revision; what is in flight goes on."""
        view = self.runtime.graph.view()
        if view.digest != self.state.graph:
            self.view = view
            self.emit(GraphChanged(**self.stamp(), graph=self.runtime.remember_graph(view), revision=view.revision))

    def _expire(self) -> None:
        """Forget reads that are older than their `ttl` and that nothing done was made from; they run again."""
        now, taken = self.runtime.clock.time(), {key for done in self.state.done.values() for key in done.keys}
        old = [
            name
            for name, at in self.state.done_at.items()
            if name in self.state.done
            and (tool := self.view.tools.get(name)) is not None
            and tool.ttl is not None
            and tool.effect is Effect.READ
            and now - at > tool.ttl
            and not taken.intersection(tool.gives)
        ]
        if old:
            for name in old:
                self.values.drop(name)
            self.emit(ValuesExpired(**self.stamp(), tools=tuple(sorted(old))))

    def check_conditions(self) -> list[str]:
        """Ask every `when` whose inputs have come to hand; returns the tools that were asked."""
        asked: list[str] = []
        for name in self.view.conditional(self.state.goal):
            tool = self.view.tools[name]
            if tool.when is None or name in self.state.conditions or name in self.state.done:
                continue
            inputs = self.inputs_of(tool)
            wanted = planning.parameters_of(tool.when)
            required = [p for p in tool.needs if wanted is None or p in wanted]
            if all(parameter in inputs for parameter in required):
                self._check_condition(tool, inputs)
                asked.append(name)
        return asked

    def _check_condition(self, tool: Tool, inputs: Mapping[str, Any]) -> None:
        assert tool.when is not None
        try:
            holds = bool(tool.when(**self.accepted(tool.when, inputs)))
        except Exception as error:
            self.emit(ToolExcluded(**self.stamp(), tool=tool.name, reason=f"its `when` raised {type(error).__name__}"))
            holds = False
        self.emit(ConditionChecked(**self.stamp(), tool=tool.name, holds=holds))

    # -- what a call may ask -----------------------------------------------------------------------------------------

    def inputs_of(self, tool: Tool) -> dict[str, Any]:
        """The values at hand for a tool's parameters."""
        values = self.values.values
        pairs = (*tool.needs.items(), *tool.optional.items())
        return {parameter: values[key] for parameter, key in pairs if key in values}

    def accepted(self, call: Callable[..., Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the inputs that a user's function takes."""
        wanted = planning.parameters_of(call)
        return {name: value for name, value in inputs.items() if wanted is None or name in wanted}

    def over_budget(self, tool: Tool) -> str:
        """Why the budget (this run's, or that of a run above) does not allow an attempt; empty when it does."""
        budget = self.state.budget
        over = self.out_of_calls(above=False)
        if over:
            return over
        if budget.usd is not None:
            spent, cost = self.spent(), self._cost_of(tool.name)
            if spent + cost > budget.usd + 1e-12:
                return f"it costs ${cost:g}, and ${max(0.0, budget.usd - spent):g} of ${budget.usd:g} is left"
        return self.parent.over_budget(tool) if self.parent else ""

    def out_of_calls(self, *, above: bool = True) -> str:
        """Why this run, or one `above` it, may make no call at all any more; empty when it may."""
        budget, left = self.state.budget, self.seconds_left()
        if budget.calls is not None and self.calls() >= budget.calls:
            return f"the budget of {budget.calls} calls is used up"
        if left is not None and left <= 0:
            return "the deadline has passed"
        return self.parent.out_of_calls() if above and self.parent else ""

    def calls(self) -> int:
        """Attempts so far, with what agents called themselves; those of live children included."""
        return self.state.started_calls + self.state.own_calls + sum(child.calls() for child in self.children.values())

    def spent(self) -> float:
        """US dollars so far: what ended calls cost, what calls in flight are expected to, and live children."""
        reserved = sum(self._cost_of(name) for name in self.state.doing)
        return self.state.cost + reserved + sum(child.spent() for child in self.children.values())

    def _cost_of(self, name: str) -> float:
        return self.runtime.health.money(name, self.view.tools[name].planned_cost()) if name in self.view.tools else 0.0

    def seconds_left(self) -> float | None:
        """Until the deadline of this run or of one above it; `None` without one."""
        limit = self.state.budget.seconds
        own = None if limit is None else limit - (self.runtime.clock.time() - self.state.started_at)
        above = self.parent.seconds_left() if self.parent else None
        return min((left for left in (own, above) if left is not None), default=None)

    async def within_deadline(self, work: Awaitable[T], timeout: float | None) -> T:
        """The result of `work` within its time-out and the run's deadline. Raises `TimeoutError`."""
        left = self.seconds_left()
        limits = [limit for limit in (timeout, None if left is None else max(0.0, left)) if limit is not None]
        limit = min(limits, default=None)
        try:
            return await self.runtime.clock.wait_for(work, limit)
        except TimeoutError as error:
            raise TimeoutError(str(error) or f"no answer within {limit:g} s") from None

    def answer_for(self, tool: str, number: int) -> tuple[bool, Any]:
        """A person's answer to the `number`th question of a tool."""
        return self.values.answer(tool, number)

    # -- children ----------------------------------------------------------------------------------------------------

    def digest(self, inputs: Mapping[str, Any]) -> str:
        """SHA-256 of inputs."""
        return digest(inputs, self.view)

    def is_open(self, keys: tuple[str, ...], inputs_digest: str) -> bool:
        """Whether this run or one above it works on the same goal with equal inputs."""
        run: Run | None = self
        while run is not None:
            if run.state.wanted.keys == keys and run.state.inputs_digest == inputs_digest:
                return True
            run = run.parent
        return False

    async def child(self, run_id: str, goal: Goal[Any], inputs: Mapping[str, Any], call_id: str) -> Outcome[Any]:
        """Run a child goal, or give the outcome of the one that ran before a crash."""
        from orchestrator.engine.lifecycle.start import launch_child

        self.had_children = True
        try:
            return await launch_child(self, run_id, goal, inputs, call_id)
        except DefinitionError as error:
            raise Escalated(str(error)) from error
