"""The input of monitors: the latest event, every live run, the tools and their health."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.core.enums import PartKind
from orchestrator.core.events import (
    BudgetRaised,
    CallEnded,
    CallStarted,
    DemandTold,
    Event,
    PartEnded,
    RunEnded,
    RunResumed,
    RunStarted,
    RunWaiting,
    WorkJudged,
)
from orchestrator.core.goal import UNLIMITED, Budget
from orchestrator.core.policy import Policy
from orchestrator.graph.tool import Tool
from orchestrator.health import ToolHealth

DAY = 86_400
"""Seconds; days begin at midnight UTC."""


class MonitoredHealth(Protocol):
    """The part of `HealthRegistry` that monitors may use."""

    def status(self, name: str, to: str | None = None) -> ToolHealth:
        """The health of a tool or transition."""
        ...

    def touched(self) -> tuple[str, ...]:
        """The tools with observations."""
        ...

    def record_check(self, name: str, ok: bool, message: str = "") -> None:
        """Record a background check."""
        ...


@dataclass(slots=True)
class RunFacts:
    """A live run as monitors see it. Read-only; the hub updates it."""

    run_id: str
    goal: str
    began: float
    """Monotonic seconds."""
    budget: Budget = field(default=UNLIMITED)
    cost: float = 0.0
    """US dollars."""
    calls: int = 0
    """Attempts."""
    in_flight: dict[str, int] = field(default_factory=dict[str, int])
    repeated: dict[str, int] = field(default_factory=dict[str, int])
    """Attempts by tool since a key last got its first value."""
    last_event: float = 0.0
    """Monotonic seconds."""
    waiting: bool = False
    """Whether it waits for a person."""
    asked_at: float | None = None
    """Monotonic seconds when it began to wait."""

    def seconds(self, now: float) -> float:
        """Seconds of the run, without those in which a person was asked."""
        return (now if self.asked_at is None else self.asked_at) - self.began


@dataclass(slots=True)
class DailySpend:
    """US dollars and calls of all runs since midnight UTC."""

    day: int = 0
    usd: float = 0.0
    calls: int = 0
    seconds: float = 0.0
    """Of calls, one after another."""

    def begin(self, time: float) -> None:
        """Start again on a new day; `time` in seconds since the epoch."""
        if int(time // DAY) != self.day:
            self.day, self.usd, self.calls, self.seconds = int(time // DAY), 0.0, 0, 0.0


@dataclass(frozen=True, slots=True)
class MonitorFacts:
    """The argument of `watch`."""

    events: tuple[Event, ...]
    """The events since the last call, oldest first; empty when only time has passed."""
    now: float
    """Monotonic seconds."""
    time: float
    """Seconds since the epoch."""
    runs: Mapping[str, RunFacts]
    tools: Mapping[str, Tool]
    health: MonitoredHealth
    policy: Policy
    today: DailySpend
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = asyncio.to_thread
    """Runs a blocking function outside the event loop."""

    def ended(self) -> Iterable[CallEnded]:
        """The attempts that ended since the last call, without those that were cancelled or asked a person."""
        ended = (event for event in self.events if isinstance(event, CallEnded))
        return (event for event in ended if not event.cancelled and not event.asked)


class Monitor(Protocol):
    """An observer: `watch` is called in the background, after events and at least every `interval` seconds.

    An `async def` shares the event loop with the runs and must not block; a plain `def` runs in a thread and may.
    `woken_by`, a tuple of event types, and a method `wakes(event) -> bool` select the events after which it is called
    at once; the others are passed with the next call.
    """

    name: str
    interval: float

    def watch(self, facts: MonitorFacts) -> Any:
        """The signals to raise: an iterable of `Signal`, or an awaitable of one."""
        ...


class RunStatistics:
    """Keeps `RunFacts` and `DailySpend` up to date from events."""

    def __init__(self, today: DailySpend | None = None) -> None:
        self.runs: dict[str, RunFacts] = {}
        self.today = today or DailySpend()

    def apply(self, event: Event, now: float) -> None:
        """Apply one event; `now` in monotonic seconds."""
        if int(event.at // DAY) != self.today.day:
            self.today.begin(event.at)
        if isinstance(event, RunStarted):
            goal = " + ".join(event.goal.get("keys", ()))
            self.runs[event.run_id] = RunFacts(event.run_id, goal, now, Budget.from_json(event.budget))
        run = self.runs.get(event.run_id)
        if isinstance(event, CallEnded):
            self.today.usd += event.cost - event.children_cost
            self.today.calls += 1
            self.today.seconds += event.seconds
        if isinstance(event, WorkJudged | DemandTold):
            self.today.usd += event.cost
        if run is None:
            return
        run.last_event = now
        if isinstance(event, BudgetRaised):
            run.budget = Budget.from_json(event.budget)
        if isinstance(event, RunWaiting) and run.asked_at is None:
            run.asked_at, run.waiting = now, True
        elif isinstance(event, RunResumed) and run.asked_at is not None:
            run.began, run.asked_at, run.waiting = run.began + now - run.asked_at, None, False
        if isinstance(event, CallStarted):
            run.calls += 1
            run.in_flight[event.tool] = run.in_flight.get(event.tool, 0) + 1
            run.repeated[event.tool] = run.repeated.get(event.tool, 0) + 1
        elif isinstance(event, CallEnded):
            run.cost += event.cost
            run.in_flight[event.tool] = run.in_flight.get(event.tool, 0) - 1
            if event.kept:
                run.repeated.clear()
        elif isinstance(event, PartEnded):
            run.calls += event.kind is PartKind.TOOL and not event.left_out
        elif isinstance(event, DemandTold):
            run.cost += event.cost
        elif isinstance(event, RunEnded):
            del self.runs[event.run_id]
