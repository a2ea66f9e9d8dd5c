"""The one price: facts about a tool in, US dollars out, whole picodollars inside."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from .errors import DefinitionError, nearest
from .picodollar import PICO, picodollars
from .policy import Policy
from .view import GraphView, Node


@dataclass(frozen=True, slots=True)
class PriceFacts:
    """Everything a price is made of, for one tool by one transition."""

    tool: str
    money: float
    """US dollars: the tool's cost plus the cost of the transition that leads to it."""
    latency: float
    """Seconds."""
    risk: float
    """In [0, 1]."""
    competence: float
    """In [0, 1]; 1 for plain tools."""
    pressure: float
    """At least 1; grows as a quota or rate limit comes near."""
    success: float
    """Posterior mean probability of success in [0, 1]; 0 for an open circuit."""


Pricing = Callable[[PriceFacts], float]
"""A pure function of the facts: US dollars, `inf` for unusable."""


def standard(policy: Policy) -> Pricing:
    """The formula of the framework under a policy's weights.

    price = (step_cost + money + time_value * latency + risk_value * risk + quality_value * (1 - competence))
            * pressure / success

    Dividing by the probability of success is no heuristic: for independent alternatives tried one after another until
    one succeeds, ascending cost/p minimises the expected cost (Mitten, Operations Research, 1960).
    """

    def price(facts: PriceFacts) -> float:
        if facts.success <= 0:
            return math.inf
        spent = (
            policy.step_cost
            + facts.money
            + policy.time_value * facts.latency
            + policy.risk_value * facts.risk
            + policy.quality_value * (1 - facts.competence)
        )
        return spent * facts.pressure / facts.success

    return price


def self_healing_router(policy: Policy) -> Pricing:
    """The formula of the published Self-Healing Router (arXiv 2603.01548).

    base * max(.5, latency_ms / 100) / max(.01, reliability) * (1 + 5 * rate_limit_proximity), where the base is the
    cost of the edge and the last factor is our pressure.
    """
    del policy

    def price(facts: PriceFacts) -> float:
        if facts.success <= 0:
            return math.inf
        return facts.money * max(0.5, facts.latency * 10) / max(0.01, facts.success) * facts.pressure

    return price


PRICINGS: Final[dict[str, Callable[[Policy], Pricing]]] = {
    "standard": standard,
    "self_healing_router": self_healing_router,
}
"""The pricings that a policy may name."""


class HealthFacts(Protocol):
    """What the price asks of those who watch the tools. Every answer is read when a tool is re-priced, not before."""

    def success(self, name: str) -> float:
        """Posterior mean probability of success in [0, 1]; 0 for an open circuit."""
        ...

    def latency(self, name: str, declared: float) -> float:
        """Expected seconds; `declared` until something is known."""
        ...

    def pressure(self, name: str) -> float:
        """At least 1; grows as a quota or rate limit comes near."""
        ...

    def money(self, name: str, declared: float) -> float:
        """Expected US dollars per call; `declared` until something is known."""
        ...

    def competence(self, name: str) -> float:
        """In [0, 1]; 1 for plain tools."""
        ...

    def transition_success(self, source: str, target: str) -> float:
        """As `success`, for a transition; 1 where nothing is known."""
        ...


class Healthy:
    """`HealthFacts` where nothing ever fails: everything is as declared."""

    def success(self, name: str) -> float:
        """1."""
        return 1.0

    def latency(self, name: str, declared: float) -> float:
        """As declared."""
        return declared

    def pressure(self, name: str) -> float:
        """1."""
        return 1.0

    def money(self, name: str, declared: float) -> float:
        """As declared."""
        return declared

    def competence(self, name: str) -> float:
        """1."""
        return 1.0

    def transition_success(self, source: str, target: str) -> float:
        """1."""
        return 1.0


class HasView(Protocol):
    """A live graph."""

    def view(self) -> GraphView:
        """Its current revision."""
        ...


KEEP_CHANGES: Final = 100_000
"""Changes that are remembered; who is further behind takes everything for changed."""


class PriceTable:
    """The current price of every tool by every transition. A price is computed once and again after `invalidate`.

    `pricing` replaces the policy's formula. What is down (success 0, an open transition) stays infinite whatever it
    says. Raises `DefinitionError` where the policy names no known pricing, or a price is negative or NaN.
    """

    def __init__(
        self,
        graph: HasView | GraphView,
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
        self._graph = graph
        self._health = facts or Healthy()
        self._priced: dict[str, tuple[Node, PriceFacts, int | None]] = {}
        self._by_transition: dict[str, dict[tuple[str, float], int | None]] = {}
        self._changes: list[str] = []
        self._forgotten = 0

    def invalidate(self, names: Iterable[str]) -> None:
        """Forget the prices of these tools: something that they are made of has changed.

        What changes a transition's health changes the price of the tool that it leads to: name that one.
        """
        names = list(names)
        for name in names:
            self._priced.pop(name, None)
            self._by_transition.pop(name, None)
        self._changes.extend(names)
        if len(self._changes) > KEEP_CHANGES:
            self._forgotten += len(self._changes)
            self._changes.clear()

    def changes_since(self, cursor: int) -> tuple[int, Iterable[str] | None]:
        """A new cursor, and the tools re-priced since the old one; `None` when that is no longer known."""
        now = self._forgotten + len(self._changes)
        if cursor < self._forgotten:
            return now, None
        return now, dict.fromkeys(self._changes[cursor - self._forgotten :])

    def facts(self, tool: str, transition_cost: float = 0.0, source: str | None = None) -> PriceFacts:
        """What the price of `tool` is made of now, by the transition from `source` where there is one."""
        return self._by(self._base(self._node(tool))[1], source, transition_cost)

    def price(
        self,
        tool: str,
        transition_cost: float = 0.0,
        overrides: PriceFacts | None = None,
        source: str | None = None,
    ) -> int | None:
        """Picodollars; `None` for infinite. `overrides` are facts (without transition) in place of the shared ones."""
        return self.pico(self._node(tool), source, transition_cost, overrides)

    def weight(self, node: Node, source: str | None = None, transition_cost: float = 0.0) -> float:
        """The price in US dollars; `inf` for what is down."""
        pico = self.pico(node, source, transition_cost)
        return math.inf if pico is None else pico / PICO

    def pico(
        self,
        node: Node,
        source: str | None = None,
        transition_cost: float = 0.0,
        overrides: PriceFacts | None = None,
    ) -> int | None:
        """The price of a node of any revision in picodollars; `None` for infinite."""
        if overrides is not None:
            return self._compute(self._by(overrides, source, transition_cost))
        _, facts, plain = self._base(node)
        if source is None and not transition_cost:
            return plain
        known = self._by_transition.setdefault(node.name, {})
        entry = (source or "", transition_cost)
        if entry not in known:
            known[entry] = self._compute(self._by(facts, source, transition_cost))
        return known[entry]

    def node_facts(self, node: Node) -> PriceFacts:
        """What the price of a node of any revision is made of now, without transition."""
        return self._base(node)[1]

    def record(self, view: GraphView) -> dict[str, PriceFacts]:
        """All that `Planner.plan_recorded` needs to come to the same prices later: the facts of every tool.

        A transition whose health is not perfect is recorded under `transition_name(source, target)`.
        """
        found = {name: self._base(node)[1] for name, node in view.nodes.items()}
        for t in view.transitions:
            success = self._health.transition_success(t.source, t.target)
            if success != 1:
                name = transition_name(t.source, t.target)
                found[name] = PriceFacts(name, 0.0, 0.0, 0.0, 1.0, 1.0, success)
        return found

    def _node(self, tool: str) -> Node:
        view = self._graph if isinstance(self._graph, GraphView) else self._graph.view()
        if tool not in view.nodes:
            raise DefinitionError(f"There is no tool {tool!r}.{nearest(tool, view.nodes)}")
        return view.nodes[tool]

    def _base(self, node: Node) -> tuple[Node, PriceFacts, int | None]:
        entry = self._priced.get(node.name)
        if entry is None or entry[0] is not node:
            name, health = node.name, self._health
            facts = PriceFacts(
                tool=name,
                money=health.money(name, node.cost),
                latency=health.latency(name, node.latency),
                risk=node.risk,
                competence=health.competence(name),
                pressure=health.pressure(name),
                success=health.success(name),
            )
            entry = (node, facts, self._compute(facts))
            self._priced[name] = entry
            self._by_transition.pop(name, None)
        return entry

    def _by(self, facts: PriceFacts, source: str | None, transition_cost: float) -> PriceFacts:
        success = 1.0 if source is None else self._health.transition_success(source, facts.tool)
        if not transition_cost and success == 1:
            return facts
        return replace(facts, money=facts.money + transition_cost, success=facts.success * success)

    def _compute(self, facts: PriceFacts) -> int | None:
        if facts.success <= 0:
            return None
        return picodollars(self.pricing(facts), facts.tool)


class Recorded(Healthy):
    """`HealthFacts` out of a record: replay prices with it, and asks nobody."""

    def __init__(self, facts: Mapping[str, PriceFacts]) -> None:
        self._facts = facts

    def success(self, name: str) -> float:
        """As recorded; 0 for a tool that was not."""
        return self._facts[name].success if name in self._facts else 0.0

    def latency(self, name: str, declared: float) -> float:
        """As recorded."""
        return self._facts[name].latency if name in self._facts else declared

    def pressure(self, name: str) -> float:
        """As recorded."""
        return self._facts[name].pressure if name in self._facts else 1.0

    def money(self, name: str, declared: float) -> float:
        """As recorded."""
        return self._facts[name].money if name in self._facts else declared

    def competence(self, name: str) -> float:
        """As recorded."""
        return self._facts[name].competence if name in self._facts else 1.0

    def transition_success(self, source: str, target: str) -> float:
        """As recorded; 1 where nothing was."""
        name = transition_name(source, target)
        return self._facts[name].success if name in self._facts else 1.0


def transition_name(source: str, target: str) -> str:
    """How a transition is named in records and explanations."""
    return f"{source} -> {target}"


__all__ = [
    "PICO",
    "PRICINGS",
    "HealthFacts",
    "Healthy",
    "PriceFacts",
    "PriceTable",
    "Pricing",
    "Recorded",
    "picodollars",
    "self_healing_router",
    "standard",
    "transition_name",
]
