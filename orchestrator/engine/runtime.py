"""`Runtime`: what all runs of one orchestrator share."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.core.clock import Clock
from orchestrator.core.errors import InputError
from orchestrator.core.events import Sink
from orchestrator.core.forks import renew_after_fork
from orchestrator.core.outcome import Outcome
from orchestrator.core.policy import Policy
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
from orchestrator.selection import Demand, Selector, dialled
from orchestrator.store.protocol import Store

from .slots import Slots
from .threads import Threads

if TYPE_CHECKING:
    from orchestrator.observability.tracing import TracingSink

    from .run import Run

LAST_RESORT_CALLS = 2
"""Calls at one time to a tool with an open circuit that there is no alternative to."""
KEPT_OUTCOMES = 1024
"""Outcomes of ended runs that a process remembers."""
DIALS = 8
"""Settings of the preference dial whose prices are kept up to date."""


async def _learn_nothing() -> None:
    pass


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
    store: Store
    clock: Clock
    ladder: tuple[Any, ...]
    tracing: "TracingSink"
    """Knows the span of each run; also one of the sinks."""
    own_pricing: bool = False
    """Whether the user's own pricing is in force, and not a policy's formula."""
    on_begin: "Callable[[Run], None]" = lambda run: None
    """Told of every run that begins: signals that hold already reach it too."""
    failures: FailureTable | None = None
    """The project's own rows of the failure table."""
    deps: Any = None
    sinks: list[Sink] = field(default_factory=list[Sink])
    demands: Demands = field(init=False)
    """What steps demand of who does them."""
    learn: Callable[[], Awaitable[None]] = _learn_nothing
    """Learns from what runs have shown of agents; off the path of a call."""
    hear: "Callable[[Run], None]" = lambda run: None
    """Told of every run that has ended, so that the work of its agents is judged; returns at once."""
    threads: Threads = field(default_factory=Threads)
    draws: random.Random = field(default_factory=random.Random)
    """Draws back-off delays only. A delay never decides anything."""
    in_flight: Counter[str] = field(default_factory=Counter[str])
    """Calls in flight, by tool, over all runs."""
    deadlines: "set[asyncio.Task[None]]" = field(default_factory=set["asyncio.Task[None]"])
    """Questions whose default takes effect when nobody answers."""
    live: dict[str, "Run"] = field(default_factory=dict[str, "Run"])
    """Runs of this process that have not ended, by id."""
    heartbeat: Heartbeat = field(init=False)
    """Renews the lease on the runs of this process."""
    announce: Callable[[str], None] = lambda run_id: None
    """Tells people of a run that waits, once its question is on record."""
    gate: Callable[[Tool, str, Mapping[str, Any]], tuple[Signal, ...]] = lambda tool, run_id, values: ()
    """What monitors say before a write begins."""
    _limits: dict[str, Slots] = field(default_factory=dict[str, Slots])
    _ended: dict[str, tuple[Outcome[Any], str]] = field(default_factory=dict[str, tuple[Outcome[Any], str]])
    _stored_graphs: set[str] = field(default_factory=set[str])
    _dialled: dict[float, tuple[Policy, PriceTable, Planner]] = field(
        default_factory=dict[float, tuple[Policy, PriceTable, Planner]]
    )

    def remember_graph(self, view: GraphRevision) -> str:
        """Store a revision of the graph once, under its digest."""
        if view.digest not in self._stored_graphs:
            self._stored_graphs.add(view.digest)
            self.store.put_graph(view.digest, view.to_json())
        return view.digest

    @staticmethod
    def as_demand(weights: Mapping[str, float], size: float | None = None) -> Demand:
        """A demand from its record."""
        return Demand(weights, size=size)

    def outcome(self, run_id: str) -> tuple[Outcome[Any], str] | None:
        """The outcome of a run that ended in this process, and the digest of its inputs."""
        return self._ended.get(run_id)

    def remember_outcome(self, outcome: Outcome[Any], inputs_digest: str) -> None:
        """Keep the outcome of a run, so that its id gives it again; the oldest are forgotten."""
        self._ended[outcome.run_id] = (outcome, inputs_digest)
        while len(self._ended) > KEPT_OUTCOMES:
            del self._ended[next(iter(self._ended))]

    def forget_values(self, run: "Run") -> None:
        """Delete the stored values of an ended run and its children, unless they are to be kept.

        A run whose id its caller chose keeps the values of its goal: that id is to give the same outcome again.
        """
        if self.policy.keep_values:
            return
        for row in self.store.runs(parent=run.state.run_id, limit=1_000_000) if run.had_children else ():
            self.store.drop_values(row.run_id)
        self.store.drop_values(run.state.run_id, run.token)
        if run.named:
            run.values.store_again(run.state.goal, run.state.at_hand, run.view)

    def crowded(self, name: str, *, last_resort: bool) -> bool:
        """Whether a tool that is failing everybody, or has only just recovered, has as many calls as it may.

        While its circuit is open a tool that is the last resort gets a trickle, and after its recovery twice as many
        calls at one time as have succeeded since: healing must not become the overload.
        """
        limit = self.health.ramp_limit(name)
        if limit is None and last_resort and not self.health.usable(name):
            limit = LAST_RESORT_CALLS
        return limit is not None and self.in_flight[name] >= limit

    def limit(self, tool: Tool) -> Slots | None:
        """The slots of a tool with `max_concurrency`; they follow its newest declaration, over all event loops."""
        found = self._limits.get(tool.name)
        if found is None and tool.max_concurrency is not None:
            found = self._limits.setdefault(tool.name, Slots(lambda: self._newest_limit(tool.name)))
        return found

    def _newest_limit(self, name: str) -> int | None:
        declared = self.graph.view().tools.get(name)
        return declared.max_concurrency if declared else None

    @property
    def owner(self) -> str:
        """Who drives the runs of this process, for the store's claims."""
        return self.heartbeat.owner

    def after_fork(self) -> None:
        """In a forked child: calls and deadlines of the parent's runs are not here."""
        self.in_flight.clear()
        self.deadlines.clear()

    def __post_init__(self) -> None:
        renew_after_fork(self)
        live: Any = self.live
        self.heartbeat = Heartbeat(self.store, live, on_problem=lambda problem: self.store.on_problem(problem))
        self.demands = Demands(self.selector, on_problem=lambda problem: self.store.on_problem(problem))

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
            self._dialled[dial] = (policy, prices, Planner(self.graph, prices, policy))
            while len(self._dialled) > DIALS:
                del self._dialled[next(iter(self._dialled))]
        policy, prices, planner = self._dialled[dial]
        made = copy(self)
        made.policy, made.prices, made.planner = policy, prices, planner
        return made

    def repriced(self, targets: Iterable[str | tuple[str, str]]) -> None:
        """The health of these tools and transitions has changed: their prices, and what runs rely on."""
        names = sorted({target if isinstance(target, str) else target[1] for target in targets})
        for prices in (self.prices, *(prices for _, prices, _ in list(self._dialled.values()))):
            prices.invalidate(names)
        for run in list(self.live.values()):
            run.nudge(names)


__all__ = ["DemandSource", "Runtime"]
