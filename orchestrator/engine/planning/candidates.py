"""The candidates of a decision: the chosen route and its alternatives, or the agents that could do the same work."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from orchestrator.core.outcome import NoRoute
from orchestrator.core.price import PICO
from orchestrator.core.route import Candidate, Route
from orchestrator.engine.runtime import Runtime
from orchestrator.graph.graph import GraphRevision
from orchestrator.graph.price_table import PriceFacts, PriceTable

from .planning import Planned, chosen_route, describe_route

MOST_RIVALS = 5
"""Alternative routes that a decision lists."""


@dataclass(frozen=True, slots=True)
class Pricer:
    """Prices single tools as candidates. Pure except for `why`, which returns the reason of an open circuit."""

    prices: PriceTable
    view: GraphRevision
    unusable: Mapping[str, str]
    facts: Mapping[str, PriceFacts]
    why: Callable[[str], str] = lambda _: ""
    plan: Callable[[Mapping[str, str]], Route | None] | None = None
    """Plans again without these tools; `None` when the record lists alternative tools instead of routes."""

    def candidate(self, name: str, reason: str = "") -> Candidate:
        """One tool as a candidate: its price by its cheapest transition, or the reason why it cannot be used."""
        node = self.view.nodes[name]
        shared = self.prices.node_facts(node)
        fact = self.facts.get(name) or shared
        if name in self.unusable:
            return Candidate(name, None, self.unusable[name], fact)
        own = None if fact is shared else fact
        pico = self.prices.pico(node, None, 0.0, own)
        incoming = self.view.incoming(name)
        if incoming:
            picos = [self.prices.pico(node, t.source, t.cost, own) for t in incoming]
            pico = min((pico for pico in picos if pico is not None), default=None)
        if pico is None:
            return Candidate(name, None, self.why(name) or "its circuit is open", fact)
        return Candidate(name, pico / PICO, reason, fact)

    def route(self, route: Route) -> tuple[Candidate, ...]:
        """The chosen route, then for each step the routes by other tools that give the key for which the step was
        chosen.

        All prices are of whole routes. An alternative tool that cannot be used is listed by itself, without a price.
        """
        chosen = chosen_route(route)
        listed, routes = [chosen], {chosen.name}
        for step, key, name in alternatives(route, self.view):
            reason = f"instead of {step}"
            rival = self.candidate(name, reason)
            if rival.price is None or self.plan is None:
                listed.append(rival)
            elif len(routes) <= MOST_RIVALS:
                rival = self._alternative_route(key, rival, reason)
                if rival.name not in routes:
                    routes.add(rival.name)
                    listed.append(rival)
        return tuple(listed)

    def _alternative_route(self, key: str, rival: Candidate, reason: str) -> Candidate:
        """The cheapest route by a tool that gives a key."""
        assert self.plan is not None
        others = {name: "another gives it" for name in self.view.producers(key) if name != rival.name}
        found = self.plan(others)
        if found is None or rival.name not in found.tools:
            return Candidate(rival.name, None, "no route leads by it from here", rival.facts)
        return Candidate(describe_route(found), found.price, reason)

    def agents(self, names: Iterable[str]) -> tuple[Candidate, ...]:
        """Agents that could do the same work, the cheapest first."""
        listed = [self.candidate(name) for name in names]
        return tuple(sorted(listed, key=lambda c: (c.price is None, c.price or 0.0, c.name)))


def alternatives(route: Route, view: GraphRevision) -> list[tuple[str, str, str]]:
    """Step, key, and another tool that gives the key; each tool once."""
    found: list[tuple[str, str, str]] = []
    seen, wanted, nodes = set(route.tools), set(route.goal), view.nodes
    for step in route.steps:
        wanted.update(nodes[step.tool].needs)
    for step in route.steps:
        for key in sorted(wanted.intersection(nodes[step.tool].gives)):
            for name in view.producers(key):
                if name not in seen:
                    seen.add(name)
                    found.append((step.tool, key, name))
    return found


def pricer(runtime: Runtime, view: GraphRevision, unusable: Mapping[str, str], planned: Planned) -> Pricer:
    """A `Pricer` with the prices of a plan."""

    def plan_without(others: Mapping[str, str]) -> Route | None:
        problem = planned.problem
        if problem is None:
            return None
        nodes, now = view.nodes, runtime.prices.node_facts  # later changes are ignored
        then = {name: fact for name, fact in planned.facts.items() if name in nodes and now(nodes[name]) is not fact}
        changed = replace(problem, unusable={**problem.unusable, **others}, facts={**problem.facts, **then})
        try:
            return runtime.planner.plan(changed, view)
        except NoRoute:
            return None

    def why(name: str) -> str:
        return runtime.health.status(name).reason or ""

    return Pricer(runtime.prices, view, unusable, planned.facts, why, plan_without)


__all__ = ["Pricer", "pricer"]
