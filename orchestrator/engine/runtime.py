"""`Runtime`: what all runs of one orchestrator share. It is complete when constructed; no attribute is set
afterwards.
"""

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
from orchestrator.core.price import formula_name
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
"""Maximum concurrent calls of a tool with an open circuit that is used as the last resort."""
NO_LIMITS: Final[Mapping[str, float | None]] = {"usd": None, "seconds": None, "calls": None}
"""The limits of a run without limits of its own."""
UNKNOWN_LATENCY: Final = 1.0
"""Assumed seconds of a queued call whose tool has no declared and no measured latency."""
DIALS = 8
"""Maximum number of dial settings whose prices are kept up to date."""


class OpenedSpan(Protocol):
    """The open span of a run."""

    @property
    def traceparent(self) -> str:
        """W3C trace context; empty without tracing."""
        ...

    @property
    def trace_id(self) -> str:
        """The trace of the run; empty without tracing."""
        ...

    def end(self) -> None:
        """End the span of a run that was not started."""
        ...


class Tracing(Protocol):
    """Maps each run to its span."""

    def open(self, run_id: str, goal: str, link: str = "") -> OpenedSpan:
        """Start the span of a run in the current context."""
        ...

    def adopt(self, run_id: str, goal: str, opened: Any) -> None:
        """Make `opened` the span of this run."""
        ...

    def expect(self, run_id: str, goal: str, traceparent: str) -> None:
        """Note the trace context of the first span of a recovered run."""
        ...

    def trace_id_of(self, traceparent: str) -> str:
        """The trace of a W3C trace context; empty for none."""
        ...

    def within(self, run_id: str) -> AbstractContextManager[None]:
        """Make the run's span the current one within a `with` block."""
        ...

    def abandon(self, run_id: str, error: BaseException) -> None:
        """Close the span of a run that stopped without an end."""
        ...

    def ended(self, run_id: str, store: Store) -> None:
        """Note that a run has ended and its end was passed to the store."""
        ...


class Observers(Protocol):
    """Background work that is informed when runs start, record and end. Every call returns at once, except `learn`."""

    def start(self) -> None:
        """Start the background work, such as the heartbeat, for runs in the running event loop."""
        ...

    def begun(self, run: Any) -> None:
        """A run has started: signals that are active already apply to it too."""
        ...

    def ended(self, run: Any) -> None:
        """A run has ended: the work of its agents is judged."""
        ...

    def waits(self, run_id: str) -> None:
        """A run waits, and its question is recorded: notify people."""
        ...

    def gate(self, tool: Tool, run_id: str, values: Mapping[str, Any]) -> tuple[Signal, ...]:
        """The signals of monitors before a write starts."""
        ...

    async def learn(self) -> None:
        """Apply observations about agents, outside the path of a call."""
        ...


class ReachChild(Protocol):
    """Runs a child goal for a call of a run."""

    def __call__(
        self, parent: Any, run_id: str, goal: Goal[Any], inputs: Mapping[str, Any], call_id: str, *, tainted: bool
    ) -> Awaitable[tuple[Outcome[Any], RunState]]:
        """The child's outcome and its state."""
        ...


@dataclass(eq=False)
class Runtime:
    """The shared components. Decisions are made from `graph`, `prices`, `health`, `policy`; the rest is I/O."""

    graph: ToolGraph
    prices: PriceTable
    planner: Planner
    health: HealthRegistry
    healing: RetryBudget
    policy: Policy
    selector: Selector
    demands: Demands
    """The demands of steps."""
    store: Store
    clock: Clock
    ladder: tuple[Any, ...]
    tracing: Tracing
    observers: Observers
    reach: ReachChild
    end_orphans: Callable[[Any], Awaitable[None]]
    """Ends the recorded children for which a recovered run did not reach again."""
    heartbeat: Heartbeat
    """Renews the lease on the runs of this process."""
    own_pricing: bool = False
    """Whether the user's own pricing is used instead of the policy's formula."""
    deps: Any = None
    failures: FailureTable | None = None
    """The project's own rows of the failure table."""
    sinks: list[Sink] = field(default_factory=list[Sink])
    runs: RunRegistry = field(default_factory=RunRegistry)
    charges: Charges = field(default_factory=Charges)
    daily: DailyLimits = field(init=False)
    """The remaining daily limits over all processes."""
    threads: Threads = field(default_factory=Threads)
    draws: random.Random = field(default_factory=random.Random)
    """Random source of back-off delays only; no decision depends on it."""
    in_flight: Counter[str] = field(default_factory=Counter[str])
    """Calls in flight, by tool, over all runs."""
    deadlines: "set[asyncio.Task[None]]" = field(default_factory=set["asyncio.Task[None]"])
    """Questions whose default takes effect at their deadline."""
    given_up: "set[asyncio.Task[Any]]" = field(default_factory=set["asyncio.Task[Any]"])
    """Abandoned calls that have not ended."""
    fleet_limits: dict[str, int] = field(default_factory=dict[str, int])
    """Tool -> maximum concurrent calls over all processes of the store."""
    limits: dict[str, Slots] = field(default_factory=dict[str, Slots])
    """The slots of each tool with `max_concurrency` that was called."""
    _first_reports: dict[str, Slots] = field(default_factory=dict[str, Slots])
    stored_graphs: set[str] = field(default_factory=set[str])
    """Digests of the revisions that are in the store."""
    _dialled: "dict[float, Runtime]" = field(default_factory=dict[float, "Runtime"])
    _tables: "list[weakref.ref[PriceTable]]" = field(default_factory=list["weakref.ref[PriceTable]"])
    """The price tables of dials, including those that were evicted from `_dialled` and are still in use."""
    _usable: dict[str, tuple[bool, bool]] = field(default_factory=dict[str, tuple[bool, bool]])
    """Tool -> whether it was usable when its health last changed, and as a last resort."""

    @property
    def owner(self) -> str:
        """The identity of this process in the store's claims."""
        return self.heartbeat.owner

    @cached_property
    def policy_data(self) -> dict[str, Any]:
        """The policy as plain data, for records."""
        return self.policy.model_dump(mode="json")

    @cached_property
    def formula(self) -> str:
        """The name of the policy's price formula, for records."""
        return formula_name(self.policy)

    def limits_of(self, budget: Budget) -> Mapping[str, float | None]:
        """The limits of a run: its caller's, and for those not given the policy's."""
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
        """The limit of a tool over all processes, for one attempt; `None` if it has none."""
        most = self.fleet_limits.get(tool.name)
        if most is None:
            return None
        seconds = (tool.timeout or self.policy.timeout) + self.policy.patience
        return FleetLimit(self.store, self.threads, self.owner, tool.name, most, seconds)

    def classify_by(self, table: FailureTable) -> None:
        """Add the project's own rows before the built-in rows of the failure table."""
        self.failures = table
        self._dialled.clear()

    @asynccontextmanager
    async def probe_leases(self, name: str, owner: str) -> AsyncGenerator[None]:
        """Acquire probe leases from the store in a thread, so that `health.admit` in the event loop does no I/O."""
        if isinstance(self.store, MemoryStore) or not self.health.wanted_leases(name, owner):
            yield
            return
        async with self.runs.turn(f"probe of {name}"):  # one request at a time: the others find the probe taken
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
        if view.digest not in self.stored_graphs:
            self.stored_graphs.add(view.digest)
            self.store.put_graph(view.digest, view.to_json())
        return view.digest

    def crowded(self, name: str, *, last_resort: bool) -> bool:
        """Whether a tool with an open circuit, or one that has just recovered, has as many calls as allowed.

        A tool with an open circuit that is the last resort gets a few calls at a time; after its recovery it gets twice
        as many concurrent calls as have succeeded since, so that the returning load does not overload it.
        """
        limit = self.health.ramp_limit(name)
        if limit is None and last_resort and not self.health.usable(name):
            limit = LAST_RESORT_CALLS
        return limit is not None and self.in_flight[name] >= limit

    def limit(self, tool: Tool) -> Slots | None:
        """The slots of a tool with `max_concurrency`, over all event loops; they follow its newest declaration."""
        found = self.limits.get(tool.name)
        if found is None and tool.max_concurrency is not None:
            found = self.limits.setdefault(tool.name, Slots(lambda: self._newest_limit(tool.name)))
        return found

    def first_report(self, tool: Tool) -> Slots:
        """The single slot of a tool of unknown cost under a limit in dollars, until a call has reported its cost."""
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
        """In a forked child: drop the calls and deadlines of the parent's runs."""
        self.in_flight.clear()
        self.deadlines.clear()
        self.runs.after_fork()

    digest_key: bytes = field(init=False, default=b"", repr=False)
    """The store's key for the digests in records."""

    def __post_init__(self) -> None:
        self.digest_key = self.store.digest_key()
        if not hasattr(self, "daily"):
            self.daily = DailyLimits(self.store, self.clock, lambda: self.owner, self.threads.run)
        renew_after_fork(self)

    def dialled(self, dial: float | None) -> "Runtime":
        """The same runtime for a run with a dial from 0 (cheapest) to 1 (best), with prices of its own.

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
        """Update prices and wake runs after the health of these tools and transitions has changed.

        Runs are woken only when a tool goes down: otherwise no plan changes during a step.
        """
        names = sorted({target if isinstance(target, str) else target[1] for target in targets})
        self.prices.invalidate(names)
        for table in self._tables:
            prices = table()
            if prices is not None:
                prices.invalidate(names)
        down: list[str] = []
        for name in names:
            was, was_last_resort = self._usable.get(name, (True, True))
            usable, last_resort = self._usable[name] = self.health.usable_both(name)
            if (was and not usable) or (was_last_resort and not last_resort):
                down.append(name)
        if down:
            for run in self.runs.all_live():
                run.nudge(down)


__all__ = ["NO_LIMITS", "DemandSource", "Runtime"]
