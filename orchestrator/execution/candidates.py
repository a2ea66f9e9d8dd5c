"""What a planning decision chose among: tools priced as the plan saw them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.graph import GraphView
from orchestrator.picodollar import PICO
from orchestrator.pricing import PriceFacts, PriceTable
from orchestrator.route import Candidate, Route
from orchestrator.tooling import Tool

from .planning import Planned, describe_route

if TYPE_CHECKING:
    from .services import Services


@dataclass(frozen=True, slots=True)
class Pricer:
    """Prices single tools as candidates. Pure but for `why`, which says why a circuit is open."""

    prices: PriceTable
    view: GraphView
    unusable: Mapping[str, str]
    facts: Mapping[str, PriceFacts]
    why: Callable[[str], str] = lambda name: ""

    def candidate(self, name: str, reason: str = "") -> Candidate:
        """One tool as a candidate: its price by its cheapest transition, or why it cannot be used."""
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
        """The route that was chosen, then for each of its steps the other tools that give the key it is there for."""
        listed = [Candidate(describe_route(route), route.price, "the chosen route")]
        told = set(route.tools)
        wanted = {*route.goal, *(key for step in route.steps for key in self.view.nodes[step.tool].needs)}
        for step in route.steps:
            for key in sorted(wanted.intersection(self.view.nodes[step.tool].gives)):
                for name in self.view.producers(key):
                    if name not in told:
                        told.add(name)
                        listed.append(self.candidate(name, f"instead of {step.tool}"))
        return tuple(listed)

    def agents(self, names: Iterable[str]) -> tuple[Candidate, ...]:
        """Agents that could do the same work, the cheapest first."""
        listed = [self.candidate(name) for name in names]
        return tuple(sorted(listed, key=lambda c: (c.price is None, c.price or 0.0, c.name)))


def pricer(services: "Services", view: GraphView, unusable: Mapping[str, str], planned: Planned) -> Pricer:
    """Prices candidates as a plan saw them."""
    return Pricer(
        services.prices, view, unusable, planned.facts, lambda name: services.health.status(name).reason or ""
    )


def agent_steps(route: Route, view: GraphView) -> list[tuple[str, str]]:
    """The steps of a route that an agent does, as (agent, key): each is a choice by skill.

    Of several keys that an agent gives, the key is the first that its step is wanted for: one of the goal, or one that
    another step takes from it; the first of all where a transition alone leads on from it.
    """
    taken = {(source, key) for step in route.steps for key, source in step.sources.items()}
    chosen: list[tuple[str, str]] = []
    for step in route.steps:
        tool: Tool = view.tools[step.tool]
        if tool.is_agent:
            wanted = [key for key in tool.gives if key in route.goal or (step.tool, key) in taken]
            chosen.append((step.tool, (*wanted, *tool.gives)[0]))
    return chosen
