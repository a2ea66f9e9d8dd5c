"""A stage for monitors: events by hand, a clock by hand, and everything that was said."""

from collections.abc import Iterable
from typing import Any

from orchestrator.core.clock import Clock
from orchestrator.core.enums import Effect, FailureKind, Status
from orchestrator.core.events import CallEnded, CallStarted, Event, RunEnded, RunStarted
from orchestrator.core.failure import Failure
from orchestrator.core.policy import Policy
from orchestrator.graph.tool import Tool
from orchestrator.health import HealthRegistry
from orchestrator.health.monitors import DailySpend, MonitorFacts, MonitorHub, RunFacts, Signal, WinningSignal
from orchestrator.health.monitors.facts import RunStatistics
from orchestrator.testing import FakeClock

RUN = "run-1"


def tool(name: str, **options: Any) -> Tool:
    """A tool that does nothing."""

    def call(a: int) -> int:
        return a

    return Tool(call, name=name, gives=f"{name}_out", **options)


def run_started(run_id: str = RUN, **budget: float | None) -> RunStarted:
    """A run begins."""
    return RunStarted(
        run_id=run_id,
        at=0.0,
        goal={"keys": ["b"]},
        inputs=("a",),
        inputs_digest="",
        policy={},
        graph="",
        revision=1,
        budget=budget,
    )


def run_ended(run_id: str = RUN) -> RunEnded:
    """A run ends."""
    return RunEnded(
        run_id=run_id, at=0.0, status=Status.REACHED, goal=("b",), price=0.0, cost=0.0, seconds=0.0, llm_calls=0
    )


def began(name: str = "t", attempt: int = 1, run_id: str = RUN, at: float = 0.0) -> CallStarted:
    """A call begins."""
    return CallStarted(
        run_id=run_id, at=at, call_id=f"{name}#{attempt}", tool=name, attempt=attempt, effect=Effect.READ, keys=("a",)
    )


def ended(
    name: str = "t",
    kind: FailureKind | None = None,
    *,
    seconds: float = 0.1,
    cost: float = 0.0,
    kept: tuple[str, ...] = (),
    status: int | None = None,
    run_id: str = RUN,
    at: float = 0.0,
) -> CallEnded:
    """A call ends; with `kind`, it failed."""
    failure = None if kind is None else Failure(id="f1", tool=name, kind=kind, message="boom", status=status)
    return CallEnded(
        run_id=run_id,
        at=at,
        call_id=f"{name}#1",
        tool=name,
        attempt=1,
        seconds=seconds,
        ok=kind is None,
        cost=cost,
        kept=kept,
        failure=failure,
    )


class Stage:
    """Facts for one monitor, look by look, without a hub."""

    def __init__(self, *tools: Tool, policy: Policy | None = None) -> None:
        self.clock = FakeClock()
        self.policy = policy or Policy()
        self.health = HealthRegistry(self.policy, self.clock)
        self.tools = {each.name: each for each in tools}
        self.fold = RunStatistics()

    def facts(self, *events: Event) -> MonitorFacts:
        """What a monitor sees after these events."""
        for event in events:
            self.fold.apply(event, self.clock.monotonic())
        return MonitorFacts(
            events=events,
            now=self.clock.monotonic(),
            time=self.clock.time(),
            runs=dict(self.fold.runs),
            tools=self.tools,
            health=self.health,
            policy=self.policy,
            today=self.fold.today,
        )

    def run(self) -> RunFacts:
        """The run that goes on."""
        return self.fold.runs[RUN]


class Company:
    """A hub with monitors, and what it told the engine."""

    def __init__(self, monitors: Iterable[Any], *, clock: Clock | None = None, patience: float = 10.0) -> None:
        self.clock = clock or FakeClock()
        self.policy = Policy()
        self.health = HealthRegistry(self.policy, self.clock)
        self.verdicts: list[WinningSignal] = []
        self.problems: list[tuple[str, str]] = []
        self.hub = MonitorHub(
            monitors,
            self.clock,
            self.health,
            self.policy,
            tools=lambda: {"t": tool("t"), "u": tool("u", effect="write", cost=5.0)},
            on_verdict=self.verdicts.append,
            on_problem=lambda name, error: self.problems.append((name, type(error).__name__)),
            today=DailySpend(),
            patience=patience,
        )

    @property
    def signals(self) -> list[Signal]:
        """The signals that newly won, in order."""
        return [verdict.winner for verdict in self.verdicts]
