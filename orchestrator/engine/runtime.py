"""`Runtime`: what all runs of one orchestrator share. Complete when made; nobody assigns to it afterwards."""

import asyncio
import random
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Final, Protocol

from orchestrator.core.clock import Clock
from orchestrator.core.errors import InputError
from orchestrator.core.events import Sink
from orchestrator.core.goal import Budget, Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.policy import Policy
from orchestrator.core.process.forks import renew_after_fork
from orchestrator.engine.background.heartbeat import Heartbeat
from orchestrator.engine.planning.demands import Demands, DemandSource
from orchestrator.graph.graph import GraphRevision, ToolGraph
from orchestrator.graph.price_table import PriceTable
from orchestrator.graph.tool import Tool
from orchestrator.health import HealthRegistry
from orchestrator.health.failures.classify import FailureTable
from orchestrator.health.monitors.signal import Signal
from orchestrator.health.retry_budget import RetryBudget
from orchestrator.routing import Planner
from orchestrator.selection import Selector, dialled
from orchestrator.store.memory import MemoryStore
from orchestrator.store.protocol import Store

from .fleet_limits import FleetLimit
from .registry import RunRegistry
from .slots import Slots
from .spending import Charges, DailyLimits
from .state import RunState
from .threads import Threads

LAST_RESORT_CALLS = 2
"""Calls at one time to a tool with an open circuit that there is no alternative to."""
NO_LIMITS: Final[Mapping[str, float | None]] = {"usd": None, "seconds": None, "calls": None}
"""The limits of a run that has none of its own."""
UNKNOWN_LATENCY: Final = 1.0
"""Seconds that a call ahead in a queue is taken to need where its tool declares no latency and none was measured."""
DIALS = 8
"""Settings of the preference dial whose prices are kept up to date."""


class OpenedSpan(Protocol):
    """The span of a run that has begun."""

    @property
    def traceparent(self) -> str:
        """W3C trace context; empty where nothing traces."""
        ...

    @property
    def trace_id(self) -> str:
        """The trace that the run is part of; empty where nothing traces."""
        ...

    def end(self) -> None:
        """End the span of a run that was not begun after all."""
        ...


class Tracing(Protocol):
    """Maps each run to its span."""

    def open(self, run_id: str, goal: str, link: str = "") -> Any:
        """Begin the span of a run in the current context: an `OpenedSpan`."""
        ...

    def adopt(self, run_id: str, goal: str, opened: Any) -> None:
        """From now on `opened` is the span of this run."""
        ...

    def expect(self, run_id: str, goal: str, traceparent: str) -> None:
        """A run was recovered whose first span had this trace context."""
        ...

    def trace_id_of(self, traceparent: str) -> str:
        """The trace of a W3C trace context; empty for none."""
        ...

    def within(self, run_id: str) -> AbstractContextManager[None]:
        """Make the run's span the current one for the length of a `with`."""
        ...

    def abandon(self, run_id: str, error: BaseException) -> None:
        """A run stopped without an end."""
        ...

    def ended(self, run_id: str, store: Store) -> None:
        """A run has ended and its end was handed to the store."""
        ...


class Observers(Protocol):
    """Background work that runs call when they begin, record and end. Every call returns at once, except `learn`."""

    def begun(self, run: Any) -> None:
        """A run has begun: signals that hold already reach it too."""
        ...

    def ended(self, run: Any) -> None:
        """A run has ended: the work of its agents is to be judged."""
        ...

    def waits(self, run_id: str) -> None:
        """A run waits, and its question is on record: announce it to people."""
        ...

    def gate(self, tool: Tool, run_id: str, values: Mapping[str, Any]) -> tuple[Signal, ...]:
        """What monitors say before a write begins."""
        ...

    async def learn(self) -> None:
        """Learn from what runs have shown of agents; off the path of a call."""
        ...


class ReachChild(Protocol):
    """Runs a child goal for a call of a run."""

    def __call__(
        self, parent: Any, run_id: str, goal: Goal[Any], inputs: Mapping[str, Any], call_id: str, *, tainted: bool
    ) -> Awaitable[tuple[Outcome[Any], RunState]]:
        """The child's outcome, and where it stands."""
        ...


@dataclass(eq=False)
class Runtime:
    """The shared parts. Decisions are made from `graph`, `prices`, `health`, `policy`; the rest is I/O."""

    graph: ToolGraph
    prices: PriceTable
    planner: Planner
    health: HealthRegistry
    healing: RetryBudget
    policy: Policy
    selector: Selector
    demands: Demands
    """What steps demand of who does them."""
    store: Store
    clock: Clock
    ladder: tuple[Any, ...]
    tracing: Tracing
    observers: Observers
    reach: ReachChild
    end_orphans: Callable[[Any], Awaitable[None]]
    """Ends the children on record of a recovered run that it did not reach for again."""
    heartbeat: Heartbeat
    """Renews the lease on the runs of this process."""
    own_pricing: bool = False
    """Whether the user's own pricing is in force, and not a policy's formula."""
    deps: Any = None
    failures: FailureTable | None = None
    """The project's own rows of the failure table."""
    sinks: list[Sink] = field(default_factory=list[Sink])
    runs: RunRegistry = field(default_factory=RunRegistry)
    charges: Charges = field(default_factory=Charges)
    daily: DailyLimits = field(init=False)
    """What may still be spent today, over all processes."""
    threads: Threads = field(default_factory=Threads)
    draws: random.Random = field(default_factory=random.Random)
    """Draws back-off delays only. A delay never decides anything."""
    in_flight: Counter[str] = field(default_factory=Counter[str])
    """Calls in flight, by tool, over all runs."""
    deadlines: "set[asyncio.Task[None]]" = field(default_factory=set["asyncio.Task[None]"])
    """Questions whose default takes effect at their deadline."""
    given_up: "set[asyncio.Task[Any]]" = field(default_factory=set["asyncio.Task[Any]"])
    """Abandoned calls that have not ended."""
    fleet_limits: dict[str, int] = field(default_factory=dict[str, int])
    """Tool -> the most calls at one time over all processes of the store."""
    limits: dict[str, Slots] = field(default_factory=dict[str, Slots])
    """The slots of the tools with `max_concurrency` that were called."""
    _first_reports: dict[str, Slots] = field(default_factory=dict[str, Slots])
    _stored_graphs: set[str] = field(default_factory=set[str])
    _dialled: "dict[float, Runtime]" = field(default_factory=dict[float, "Runtime"])
    _tables: "list[weakref.ref[PriceTable]]" = field(default_factory=list["weakref.ref[PriceTable]"])
    """The price tables of dials, those that left `_dialled` and are still in use included."""
    _usable: dict[str, tuple[bool, bool]] = field(default_factory=dict[str, tuple[bool, bool]])
    """Tool -> whether it was usable when its health last changed, and as a last resort."""

    @property
    def owner(self) -> str:
        """Who drives the runs of this process, for the store's claims."""
        return self.heartbeat.owner

    @cached_property
    def policy_data(self) -> dict[str, Any]:
        """The policy as plain data, for records."""
        return self.policy.model_dump(mode="json")

    def limits_of(self, budget: Budget) -> Mapping[str, float | None]:
        """The limits of a run: those that its caller gave, and where it gave none, the policy's."""
        return {**self.own_limits, **budget.given()}

    @cached_property
    def own_limits(self) -> Mapping[str, float | None]:
        """The policy's limits of a run."""
        policy = self.policy
        return {"usd": policy.max_spend, "seconds": policy.max_seconds, "calls": policy.max_calls}

    @cached_property
    def limits_days(self) -> bool:
        """Whether the policy limits what is spent in a day."""
        return bool(self.policy.max_spend_per) or self.policy.max_spend_per_day is not None

    def fleet_limit(self, tool: Tool) -> FleetLimit | None:
        """A limit of the tool over all processes, for one attempt; `None`: it has none."""
        most = self.fleet_limits.get(tool.name)
        if most is None:
            return None
        seconds = (tool.timeout or self.policy.timeout) + self.policy.patience
        return FleetLimit(self.store, self.threads, self.owner, tool.name, most, seconds)

    def classify_by(self, table: FailureTable) -> None:
        """Put the project's own rows of the failure table before the shipped ones."""
        self.failures = table
        self._dialled.clear()

    @asynccontextmanager
    async def probe_leases(self, name: str, owner: str) -> AsyncGenerator[None]:
        """Around `health.admit` in the event loop: what it would ask the store for is asked in a thread before."""
        if isinstance(self.store, MemoryStore) or not self.health.wanted_leases(name, owner):
            yield
            return
        async with self.runs.turn(f"probe of {name}"):  # one asker at a time: the others find the circuit taken
            leases = self.health.wanted_leases(name, owner)
            try:
                for label, seconds in leases:
                    await self.threads.run(partial(self.health.probes.ask, label, owner, seconds))
                yield
            finally:
                for label, _ in leases:
                    self.health.probes.give_back_unused(label, owner)

    def store_graph(self, view: GraphRevision) -> str:
        """Store a revision of the graph once, under its digest."""
        if view.digest not in self._stored_graphs:
            self._stored_graphs.add(view.digest)
            self.store.put_graph(view.digest, view.to_json())
        return view.digest

    def crowded(self, name: str, *, last_resort: bool) -> bool:
        """Whether a tool with an open circuit, or one that has just recovered, has as many calls as it may.

        While its circuit is open a tool that is the last resort gets a trickle, and after its recovery twice as many
        calls at one time as have succeeded since: healing must not become the overload.
        """
        limit = self.health.ramp_limit(name)
        if limit is None and last_resort and not self.health.usable(name):
            limit = LAST_RESORT_CALLS
        return limit is not None and self.in_flight[name] >= limit

    def limit(self, tool: Tool) -> Slots | None:
        """The slots of a tool with `max_concurrency`; they follow its newest declaration, over all event loops."""
        found = self.limits.get(tool.name)
        if found is None and tool.max_concurrency is not None:
            found = self.limits.setdefault(tool.name, Slots(lambda: self._newest_limit(tool.name)))
        return found

    def first_report(self, tool: Tool) -> Slots:
        """The one slot of a tool of unknown cost under a limit in dollars, until a call has reported."""
        found = self._first_reports.get(tool.name)
        if found is None:
            slots = Slots(lambda: None if self.charges.known(tool) else 1)
            found = self._first_reports.setdefault(tool.name, slots)
        return found

    def queues(self, run_id: str = "") -> dict[str, float]:
        """The saturated tools -> seconds until one more call of each would get a slot, estimated from latencies.

        For a run: calls that others have planned next count, and where it has planned one itself, those before it.
        """
        found: dict[str, float] = {}
        if not self.limits:
            return found
        now = self.clock.monotonic()
        for name, slots in list(self.limits.items()):
            capacity = slots.capacity()
            ahead = 0 if capacity is None else slots.ahead(run_id, now)
            if capacity is not None and ahead >= capacity:
                found[name] = (ahead - capacity + 1) / capacity * self._expected_latency(name)
        return found

    def _expected_latency(self, name: str) -> float:
        tool = self.graph.get(name)
        declared = tool.planned_latency() if tool else 0.0
        if not declared and self.policy.learn and not self.health.timed(name):
            return UNKNOWN_LATENCY
        return self.health.latency(name, declared)

    def _newest_limit(self, name: str) -> int | None:
        declared = self.graph.view().tools.get(name)
        return declared.max_concurrency if declared else None

    def after_fork(self) -> None:
        """In a forked child: calls and deadlines of the parent's runs are not here."""
        self.in_flight.clear()
        self.deadlines.clear()
        self.runs.after_fork()

    digest_key: bytes = field(init=False, default=b"", repr=False)
    """The key of digests in records; it is the store's."""

    def __post_init__(self) -> None:
        self.digest_key = self.store.digest_key()
        if not hasattr(self, "daily"):
            self.daily = DailyLimits(self.store, self.clock, lambda: self.owner, self.threads.run)
        renew_after_fork(self)

    def dialled(self, dial: float | None) -> "Runtime":
        """The same parts for a run with a preference from 0 (cheapest) to 1 (best): its prices are its own.

        Raises `InputError` for a dial outside [0, 1], or where the user's own pricing is in force, which has none.
        """
        if dial is None or dial == 0.5:
            return self
        if self.own_pricing:
            raise InputError("The dial sets a policy's quality_value; the pricing of this orchestrator is its own.")
        policy = dialled(self.policy, dial)
        if dial not in self._dialled:
            prices = PriceTable(self.graph, policy, None, self.health)
            planner = Planner(self.graph, prices, policy)
            self._dialled[dial] = made = replace(self, policy=policy, prices=prices, planner=planner)
            made.daily = self.daily
            self._tables[:] = [*(table for table in self._tables if table() is not None), weakref.ref(prices)]
            while len(self._dialled) > DIALS:
                del self._dialled[next(iter(self._dialled))]
        return self._dialled[dial]

    def repriced(self, targets: Iterable[str | tuple[str, str]]) -> None:
        """The health of these tools and transitions has changed: their prices, and what runs rely on.

        Runs are woken only when a tool goes down: while it stays up, or stays down, no plan changes in mid-step.
        """
        names = sorted({target if isinstance(target, str) else target[1] for target in targets})
        self.prices.invalidate(names)
        for table in self._tables:
            prices = table()
            if prices is not None:
                prices.invalidate(names)
        down = [name for name in names if self._went_down(name)]
        if down:
            for run in self.runs.all_live():
                run.nudge(down)

    def _went_down(self, name: str) -> bool:
        was, was_last_resort = self._usable.get(name, (True, True))
        usable, last_resort = self._usable[name] = self.health.usable_both(name)
        return (was and not usable) or (was_last_resort and not last_resort)


__all__ = ["NO_LIMITS", "DemandSource", "Runtime"]
