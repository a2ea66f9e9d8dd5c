"""`PriceTable`: the current price of every tool by every transition."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from orchestrator.core.errors import DefinitionError, nearest
from orchestrator.core.policy import Policy
from orchestrator.core.price import (
    PICO,
    PRICINGS,
    UNPAYABLE,
    Formula,
    PriceFacts,
    Pricing,
    QualityOnce,
    picodollars,
    price_by,
    self_healing_router,
    standard,
)
from orchestrator.core.process.forks import new_lock

from .health_facts import (
    HealthFacts,
    HealthFactsByTarget,
    HealthFactsInOneRead,
    NoHealthFacts,
    RecordedHealthFacts,
    transition_name,
)
from .revision import GraphRevision, ToolSpec, Transition


class HasView(Protocol):
    """A live graph."""

    def view(self) -> GraphRevision:
        """Its current revision."""
        ...


KEEP_CHANGES: Final = 100_000
"""Length of the log of changes; a reader that is further behind treats everything as changed."""

_Entry = tuple[ToolSpec, float, float, float, float, float, int | None]
"""ToolSpec, money, latency, competence, pressure, success, picodollars without transition."""


class PriceTable:
    """The current price of every tool by every transition. A price is computed once and again after `invalidate`.

    `pricing` replaces the policy's formula. What is down (success 0, an open transition) stays infinite whatever it
    says. Where the facts say what they were `touched` by, everything else is taken to be as it was in the beginning,
    and they are not asked again. Raises `DefinitionError` where the policy names no known pricing, or a price is
    negative or NaN.
    """

    def __init__(
        self,
        graph: HasView | GraphRevision,
        policy: Policy,
        pricing: Pricing | None = None,
        facts: HealthFacts | None = None,
    ) -> None:
        if pricing is None:
            if policy.pricing not in PRICINGS:
                hint = nearest(policy.pricing, PRICINGS)
                raise DefinitionError(f"Policy {policy.name!r}: there is no pricing {policy.pricing!r}.{hint}")
            pricing = PRICINGS[policy.pricing](policy)
        self.pricing = pricing
        self._usd = pricing.usd if isinstance(pricing, Formula) else None
        self._graph = graph
        self._health = facts or NoHealthFacts()
        self._reading = self._health.reading if isinstance(self._health, HealthFactsInOneRead) else self._one_by_one
        self._entries: dict[str, _Entry] = {}
        self._facts: dict[str, tuple[ToolSpec, PriceFacts]] = {}
        self._changes: list[tuple[str, _Entry | None]] = []
        self._lock = new_lock()
        self._forgotten = 0
        self.now = 0
        """A cursor for `changes_since`: everything up to here is known."""
        self._touched: set[str] | None = None
        self.untouched_success = 1.0
        """The probability of success of a tool without recorded facts."""
        if isinstance(self._health, HealthFactsByTarget):
            self._touched = {*self._health.touched(), *(b for _, b in self._health.touched_transitions())}
            self.untouched_success = self._health.success("")

    def invalidate(self, names: Iterable[str]) -> None:
        """Drop the prices of these tools, because a term has changed.

        After a change of a transition's health, name the tool that it leads to.
        """
        names = list(names)
        with self._lock:
            if self._touched is not None:
                self._touched.update(names)
            for name in names:
                self._facts.pop(name, None)
                self._changes.append((name, self._entries.pop(name, None)))
            self.now += len(names)
            if len(self._changes) > KEEP_CHANGES:
                self._forgotten += len(self._changes)
                self._changes.clear()

    def changes_since(self, cursor: int) -> tuple[int, Iterable[str] | None]:
        """A new cursor, and the tools re-priced since the old one; `None` when that is no longer known."""
        with self._lock:
            now = self.now
            if cursor >= now:
                return now, ()
            if cursor < self._forgotten:
                return now, None
            if now == cursor + 1:
                return now, (self._changes[-1][0],)
            return now, dict.fromkeys([name for name, _ in self._changes[cursor - self._forgotten :]])

    def changed_from(self, cursor: int) -> Mapping[str, Mapping[str | None, int | None]]:
        """The prices at `cursor`, in picodollars by source of each transition, of the tools re-priced since."""
        now: dict[str, Mapping[str | None, int | None]] = {}
        for name, entry in self._changes[max(0, cursor - self._forgotten) :]:
            if entry is not None and name not in now:
                node = entry[0]
                view = self._graph if isinstance(self._graph, GraphRevision) else self._graph.view()
                found: dict[str | None, int | None] = {None: entry[6]}
                for t in view.incoming(name):
                    found[t.source] = self._price(entry, t.cost, self._passes(t.source, node.name))
                now[name] = found
        return now

    def facts(self, tool: str, transition_cost: float = 0.0, source: str | None = None) -> PriceFacts:
        """The current price facts of `tool`, with the transition from `source` if there is one."""
        return self._by(self.node_facts(self._node(tool)), source, transition_cost)

    def price(
        self,
        tool: str,
        transition_cost: float = 0.0,
        overrides: PriceFacts | None = None,
        source: str | None = None,
    ) -> int | None:
        """Picodollars; `None` for infinite. `overrides` are facts (without transition) in place of the shared ones."""
        return self.pico(self._node(tool), source, transition_cost, overrides)

    def weight(self, node: ToolSpec, source: str | None = None, transition_cost: float = 0.0) -> float:
        """The price in US dollars; `inf` for what is down."""
        pico = self.pico(node, source, transition_cost)
        return math.inf if pico is None else pico / PICO

    def pico(
        self,
        node: ToolSpec,
        source: str | None = None,
        transition_cost: float = 0.0,
        overrides: PriceFacts | None = None,
    ) -> int | None:
        """The price of a node of any revision in picodollars; `None` for infinite."""
        if overrides is not None:
            facts = self._by(overrides, source, transition_cost)
            return None if facts.success <= 0 else price_by(self.pricing, facts)
        entry = self._entries.get(node.name)
        if entry is None or entry[0] is not node:
            entry = self._entry(node)
        if source is None and not transition_cost:
            return entry[6]
        return self._price(entry, transition_cost, 1.0 if source is None else self._passes(source, node.name))

    def picos(self, node: ToolSpec, transitions: Iterable[Transition]) -> list[int | None]:
        """The prices of a node by each of these transitions that lead to it."""
        entry = self._entries.get(node.name)
        if entry is None or entry[0] is not node:
            entry = self._entry(node)
        if entry[5] <= 0:
            return [None for _ in transitions]
        return [self._price(entry, t.cost, self._passes(t.source, node.name)) for t in transitions]

    def untouched_picos(
        self, nodes: Sequence[ToolSpec], rows: Sequence[int], costs: Sequence[float]
    ) -> list[int] | None:
        """The prices of nodes that nothing is known of, at once: for each of `rows` (places in `nodes`) by a transition
        of such a cost. `None` where one by one is the only way: another pricing, or facts that do not say what they
        know, or a price that is not finite.
        """
        touched, formula = self._touched, self.pricing
        if touched is None or type(formula) is not QualityOnce or self.untouched_success <= 0:
            return None
        assert isinstance(formula, QualityOnce)
        import numpy as np  # here, so that small graphs do without it

        money, latency, risk = (np.array(v) for v in zip(*[(n.cost, n.latency, n.risk) for n in nodes], strict=True))
        at = np.array(rows)
        attempts = 1.0 / self.untouched_success
        usd = formula.price(money[at] + np.array(costs), latency[at], risk[at], 1.0, attempts)
        if not (usd >= 0).all() or not (usd < UNPAYABLE).all():
            return None
        picos = np.rint(usd * PICO)
        if (picos < 2**62).all():
            whole: list[int] = picos.astype(np.int64).tolist()
            return whole
        return [int(pico) for pico in picos.tolist()]

    def is_touched(self, name: str) -> bool:
        """Whether a tool has recorded facts, or they must be asked for."""
        return self._touched is None or name in self._touched

    def node_facts(self, node: ToolSpec) -> PriceFacts:
        """The current price facts of a node of any revision, without transition."""
        known = self._facts.get(node.name)
        if known is not None and known[0] is node:
            return known[1]
        entry = self._entries.get(node.name)
        if entry is None or entry[0] is not node:
            entry = self._entry(node)
        facts = _facts(entry)
        self._facts[node.name] = (node, facts)
        return facts

    def success(self, node: ToolSpec) -> float:
        """The probability of success of a node, as its price has it."""
        entry = self._entries.get(node.name)
        if entry is None or entry[0] is not node:
            entry = self._entry(node)
        return entry[5]

    def touched(self, names: Iterable[str]) -> dict[str, PriceFacts]:
        """The facts of those among `names` that have recorded facts. All others are as declared, and succeed
        with probability `untouched_success`. A short record of what prices are made of.
        """
        if self._touched is None:
            return {name: self.node_facts(self._node(name)) for name in names}
        return {name: self.node_facts(self._node(name)) for name in names if name in self._touched}

    def record(self, view: GraphRevision, names: Iterable[str] | None = None) -> dict[str, PriceFacts]:
        """The facts from which `RecordedHealthFacts` gives the same prices later: those of these tools, or of all.

        A transition whose health is not perfect is recorded under `transition_name(source, target)`.
        """
        found: dict[str, PriceFacts] = {}
        for name in view.nodes if names is None else names:
            found[name] = self.node_facts(view.nodes[name])
            for t in view.incoming(name):
                success = self._passes(t.source, name)
                if success != 1:
                    label = transition_name(t.source, name)
                    found[label] = PriceFacts(label, 0.0, 0.0, 0.0, 1.0, 1.0, success)
        return found

    def _node(self, tool: str) -> ToolSpec:
        view = self._graph if isinstance(self._graph, GraphRevision) else self._graph.view()
        node = view.nodes.get(tool)
        if node is None:
            raise DefinitionError(f"There is no tool {tool!r}.{nearest(tool, view.nodes)}")
        return node

    def _one_by_one(self, name: str, cost: float, latency: float) -> tuple[float, float, float, float, float]:
        health = self._health
        return (
            health.money(name, cost),
            health.latency(name, latency),
            health.competence(name),
            health.pressure(name),
            health.success(name),
        )

    def _entry(self, node: ToolSpec) -> _Entry:
        name = node.name
        if self._touched is not None and name not in self._touched:
            facts = (node.cost, node.latency, 1.0, 1.0, self.untouched_success)
        else:
            facts = self._reading(name, node.cost, node.latency)
        entry = (node, *facts, self._price((node, *facts, None), 0.0, 1.0))
        self._entries[name] = entry
        return entry

    def _price(self, entry: _Entry, transition_cost: float, passes: float) -> int | None:
        node, money, latency, competence, pressure, success, _ = entry
        success *= passes
        if success <= 0:
            return None
        if self._usd is None:
            return price_by(self.pricing, _facts(entry, transition_cost, passes))
        usd = self._usd(money + transition_cost, latency, node.risk, competence, pressure, success)
        return round(usd * PICO) if 0 <= usd < UNPAYABLE else picodollars(usd, node.name)

    def _passes(self, source: str, target: str) -> float:
        if self._touched is not None and target not in self._touched:
            return 1.0
        return self._health.transition_success(source, target)

    def _by(self, facts: PriceFacts, source: str | None, transition_cost: float) -> PriceFacts:
        passes = 1.0 if source is None else self._passes(source, facts.tool)
        if not transition_cost and passes == 1:
            return facts
        return replace(facts, money=facts.money + transition_cost, success=facts.success * passes)


def _facts(entry: _Entry, transition_cost: float = 0.0, passes: float = 1.0) -> PriceFacts:
    node, money, latency, competence, pressure, success, _ = entry
    return PriceFacts(node.name, money + transition_cost, latency, node.risk, competence, pressure, success * passes)


__all__ = [
    "PICO",
    "PRICINGS",
    "HealthFacts",
    "NoHealthFacts",
    "PriceFacts",
    "PriceTable",
    "Pricing",
    "RecordedHealthFacts",
    "picodollars",
    "self_healing_router",
    "standard",
    "transition_name",
]
