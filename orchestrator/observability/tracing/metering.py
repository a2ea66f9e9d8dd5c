"""Runs as OpenTelemetry metrics."""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from opentelemetry import metrics
from opentelemetry.context import get_current
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from orchestrator.core import conventions as names
from orchestrator.core.decision import Decision
from orchestrator.core.enums import ESCALATING, DecisionKind
from orchestrator.core.events import CallEnded, CallStarted, Decided, Event, RunEnded, RunStarted, RunWaiting

MOST_KEPT: Final = 256
"""Maximum number of buffered measurements of calls; beyond it, each new one flushes an old one."""


class Circuits(Protocol):
    """The source of circuit states: the health registry."""

    def touched(self) -> tuple[str, ...]:
        """Names of the tools with observations."""
        ...

    def status(self, name: str) -> Any:
        """The health of a tool; its `circuit` is the state."""
        ...


class Meters:
    """The instruments. They are created at the first measurement, and cost nothing without a metric reader.

    A measurement is too slow for the path of a call, so those of calls are buffered until the run ends or metrics are
    collected.
    """

    def __init__(self, provider: MeterProvider | None = None, circuits: Circuits | None = None) -> None:
        self._provider = provider
        self._circuits = circuits
        self._goals: dict[str, str] = {}
        self._agents: set[str] = set()
        self._kept: deque[Callable[[], None]] = deque()
        self._made = False
        self.on = False
        """Whether a provider collects metrics; the API's default provider does not. Checked when a run starts."""

    def look(self) -> None:
        """Check whether a provider collects metrics now."""
        provider = self._provider or metrics.get_meter_provider()
        self.on = not type(provider).__module__.startswith("opentelemetry.metrics")

    def take(self, event: Event) -> None:
        """Handle one event."""
        if not self._made:
            self._make()
        match event:
            case CallStarted():
                if event.agent:
                    self._agents.add(event.tool)
            case CallEnded():
                self._called(event)
            case Decided():
                self._decided(event.decision)
            case RunStarted():
                self._goals[event.run_id] = " + ".join(event.goal.get("keys", ()))
            case RunEnded():
                self._ended(event)
                self.hand_over()
            case RunWaiting():
                self.hand_over()
            case _:
                pass

    def hand_over(self, but: int = 0) -> None:
        """Pass at most so many buffered measurements to the instruments. Callable from any thread."""
        with suppress(IndexError):  # another thread was faster
            while len(self._kept) > but:
                self._kept.popleft()()

    def _make(self) -> None:
        meter = (self._provider or metrics.get_meter_provider()).get_meter(names.SCOPE)

        def seconds(name: str, what: str, bounds: tuple[float, ...]) -> metrics.Histogram:
            return meter.create_histogram(name, "s", what, explicit_bucket_boundaries_advisory=bounds)

        def dollars(name: str, what: str) -> metrics.Histogram:
            return meter.create_histogram(name, "USD", what, explicit_bucket_boundaries_advisory=names.DOLLARS)

        self._tools = seconds(names.TOOL_DURATION, "Duration of an attempt of a tool", names.SECONDS)
        self._agent = seconds(names.AGENT_DURATION, "Duration of an attempt of an agent, and of a run", names.SECONDS)
        self._runs = seconds(names.WORKFLOW_DURATION, "Duration of a run", names.RUN_SECONDS_BOUNDS)
        self._price = dollars(names.PRICE_OF_RUN, "Planned price of a run")
        self._cost = dollars(names.COST_OF_RUN, "Actual cost of a run")
        self._failures = meter.create_counter(names.FAILURES, "{failure}", "Failed attempts by class")
        self._decisions = meter.create_counter(names.DECISIONS, "{decision}", "Decisions by kind")
        self._reroutes = meter.create_counter(names.REROUTES, "{reroute}", "Routes recomputed after a failure")
        self._escalations = meter.create_counter(names.ESCALATIONS, "{escalation}", "Impasses that were escalated")
        self._llm_calls = meter.create_counter(names.LLM_CALLS, "{call}", "Model calls of the control plane")
        if self._circuits is not None:
            meter.create_observable_gauge(
                names.CIRCUIT, [self._observe], "1", "Circuit of a tool: 0 closed, 1 half open, 2 open"
            )
        self._made = True

    def _observe(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        assert self._circuits is not None
        self.hand_over()
        for name in self._circuits.touched():
            state = names.CIRCUIT_STATES[str(self._circuits.status(name).circuit)]
            yield Observation(state, {names.TOOL_NAME: name})

    def _called(self, event: CallEnded) -> None:
        if event.cancelled or event.asked or event.reconciled:
            return
        agent = event.tool in self._agents
        found = {names.AGENT_NAME: event.tool, names.OPERATION: names.INVOKE_AGENT} if agent else {}
        if not agent:
            found[names.TOOL_NAME] = event.tool
        if event.failure is not None:
            found[names.ERROR_TYPE] = str(event.failure.kind)
            self._failures.add(1, {names.TOOL_NAME: event.tool, names.ERROR_TYPE: str(event.failure.kind)})
        record = (self._agent if agent else self._tools).record
        self._kept.append(partial(record, event.seconds, found, get_current()))
        self.hand_over(MOST_KEPT)

    def _decided(self, decision: Decision) -> None:
        self._decisions.add(1, {names.DECISION_KIND: str(decision.kind)})
        if decision.kind is DecisionKind.REROUTE:
            self._reroutes.add(1)
        elif decision.kind in ESCALATING:
            self._escalations.add(1, {names.DECISION_KIND: str(decision.kind)})

    def _ended(self, event: RunEnded) -> None:
        goal, status = self._goals.pop(event.run_id, " + ".join(event.goal)), str(event.status)
        found = {names.WORKFLOW_NAME: goal, names.RUN_STATUS: status}
        self._runs.record(event.seconds, found)
        self._agent.record(
            event.seconds,
            {names.OPERATION: names.INVOKE_WORKFLOW, names.AGENT_NAME: goal, names.RUN_STATUS: status},
        )
        self._cost.record(event.cost, found)
        if event.price is not None:
            self._price.record(event.price, found)
        if event.llm_calls:
            self._llm_calls.add(event.llm_calls, found)
