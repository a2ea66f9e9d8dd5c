"""`analyse`: how robust the way to a goal is, computed from the graph and today's health; nothing is run.

Single points of failure and minimal cut sets (the fault-tree analysis of reliability engineering), the chance that the
goal is reached when tools fail independently, and what one more alternative would add.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from orchestrator.core.errors import InputError, nearest
from orchestrator.core.outcome import NoRoute
from orchestrator.core.policy import Policy
from orchestrator.core.price import PriceFacts, Pricing
from orchestrator.core.route import Problem, Route
from orchestrator.core.text import plain
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import PriceTable, RecordedHealthFacts
from orchestrator.graph.revision import GraphRevision
from orchestrator.routing import Planner

MOST_PLANS: Final = 4000
"""Plans that one analysis makes; what is not worked out by then is given as a bound."""
MOST_CASES: Final = 20_000
"""Combinations of working and failed tools that are looked at for one chance."""
NEGLIGIBLE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class ToolAnalysis:
    """What one tool of the route means for the goal."""

    tool: str
    success: float
    """Probability that a call of it works, in [0, 1]."""
    without: tuple[str, ...] | None
    """The cheapest route without it; `None` where the goal is then out of reach."""
    price_without: float | None
    """US dollars."""
    more: float | None
    """By how much that is more expensive than the route of today, in US dollars."""
    chance_with_alternative: float
    """Chance of success if it had an alternative that is as good as itself."""


@dataclass(frozen=True, slots=True)
class Resilience:
    """How robust the way to a goal is."""

    goal: tuple[str, ...]
    given: tuple[str, ...]
    route: tuple[str, ...]
    """The cheapest route."""
    price: float
    """Of that route, in US dollars."""
    route_chance: float
    """Chance that every call of that route works at its first attempt."""
    chance: float
    """Chance that the goal is reached, rerouting included; tools fail independently. A lower bound."""
    chance_at_most: float
    """The upper bound; equal to `chance` where all cases were looked at."""
    expected_price: float
    """Mean price of the route that is taken in the end, in US dollars, given that the goal is reached."""
    single_points: tuple[str, ...]
    """Tools whose loss alone puts the goal out of reach."""
    cuts: tuple[tuple[str, ...], ...]
    """The smallest sets of tools whose loss together puts the goal out of reach, smallest first."""
    cuts_complete: bool
    """Whether these are all sets up to the size that was asked for."""
    tools: tuple[ToolAnalysis, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, for programs."""
        return asdict(self)


def analyse(
    view: GraphRevision,
    facts: Mapping[str, PriceFacts],
    problem: Problem,
    policy: Policy,
    *,
    pricing: Pricing | None = None,
    most: int = 3,
) -> Resilience:
    """Analyse the way to the goal of `problem` under these price facts; cut sets up to `most` tools.

    Raises `NoRoute` when there is no way at all.
    """
    plans = _Plans(view, facts, problem, policy, pricing)
    route = plans.route(frozenset())
    if route is None:
        raise plans.no_route()
    success = {name: facts[name].success if name in facts else 0.0 for name in view.nodes}
    chance = _chance(plans, success)
    cuts, complete = _cuts(plans, most)
    chain = 1.0
    for tool in route.tools:
        chain *= success[tool]
    return Resilience(
        goal=problem.goal,
        given=tuple(sorted(problem.at_hand)),
        route=route.tools,
        price=route.price,
        route_chance=chain,
        chance=chance.reached,
        chance_at_most=min(1.0, chance.reached + chance.unknown),
        expected_price=chance.price / chance.reached if chance.reached else route.price,
        single_points=tuple(cut[0] for cut in cuts if len(cut) == 1),
        cuts=tuple(cuts),
        cuts_complete=complete,
        tools=tuple(_tool(plans, route, tool, success) for tool in route.tools),
    )


def source_keys(view: GraphRevision, goal: tuple[str, ...]) -> tuple[str, ...]:
    """The keys that the tools relevant to a goal need and no tool gives: what a caller has to provide."""
    needed = {key for name in view.relevant(goal) for key in view.nodes[name].needs}
    return tuple(sorted(key for key in needed if not view.producers(key)))


def check_tools(view: GraphRevision, names: Iterable[str]) -> None:
    """Raises `InputError` for a name that no tool of the graph has."""
    for name in names:
        if name not in view.nodes:
            raise InputError(f"There is no tool {plain(name, 60)!r}.{nearest(name, view.nodes)}")


class _Plans:
    """Cheapest routes by the set of tools that are lost, each planned once."""

    def __init__(
        self,
        view: GraphRevision,
        facts: Mapping[str, PriceFacts],
        problem: Problem,
        policy: Policy,
        pricing: Pricing | None,
    ) -> None:
        self._view = view
        self._problem = problem
        self._planner = Planner(ToolGraph(), PriceTable(view, policy, pricing, RecordedHealthFacts(facts)), policy)
        self._known: dict[frozenset[str], Route | None] = {}
        self._impasse: NoRoute | None = None

    @property
    def spent(self) -> bool:
        """Whether no more plans are to be made."""
        return len(self._known) >= MOST_PLANS

    def route(self, lost: frozenset[str]) -> Route | None:
        """The cheapest route without these tools."""
        if lost not in self._known:
            unusable = {**self._problem.unusable, **dict.fromkeys(lost, "lost")}
            try:
                self._known[lost] = self._planner.plan(replace(self._problem, unusable=unusable), self._view)
            except NoRoute as error:
                self._impasse = self._impasse or error
                self._known[lost] = None
        return self._known[lost]

    def no_route(self) -> NoRoute:
        """Why there was no way."""
        assert self._impasse is not None
        return self._impasse


@dataclass(slots=True)
class _Chance:
    reached: float = 0.0
    unknown: float = 0.0
    price: float = 0.0
    """Sum of price times probability over the cases in which the goal is reached."""


def _chance(plans: _Plans, success: Mapping[str, float]) -> _Chance:
    """The chance that the goal is reached, by conditioning on one tool of the route after another.

    A case fixes which tools work and which are lost. Where the cheapest route consists of working tools, the goal is
    reached; where there is no route, it is not; else the case is split on the route's first open tool. The most
    probable cases are split first, so that what is left over is the least.
    """
    found = _Chance()
    cases: list[tuple[float, int, frozenset[str], frozenset[str]]] = [(-1.0, 0, frozenset(), frozenset())]
    looked = 0
    while cases:
        negative, _, works, lost = heapq.heappop(cases)
        weight = -negative
        looked += 1
        if weight < NEGLIGIBLE or looked > MOST_CASES or (plans.spent and looked > MOST_PLANS):
            found.unknown += weight
            continue
        route = plans.route(lost)
        if route is None:
            continue
        tool = next((name for name in route.tools if name not in works), None)
        if tool is None:
            found.reached += weight
            found.price += weight * route.price
            continue
        p = success[tool]
        heapq.heappush(cases, (-weight * p, 2 * looked, works | {tool}, lost))
        heapq.heappush(cases, (-weight * (1 - p), 2 * looked + 1, works, lost | {tool}))
    return found


def _cuts(plans: _Plans, most: int) -> tuple[list[tuple[str, ...]], bool]:
    """The minimal cut sets up to a size, and whether these are all.

    A cut hits every route, so it contains a tool of the cheapest route that is left: a hitting-set tree, breadth first
    (Reiter 1987).
    """
    cuts: list[frozenset[str]] = []
    level: list[frozenset[str]] = [frozenset()]
    for _ in range(most + 1):
        following: dict[frozenset[str], None] = {}
        for lost in level:
            if any(cut <= lost for cut in cuts):
                continue
            if plans.spent:
                return _sorted(cuts), False
            route = plans.route(lost)
            if route is None:
                if all(plans.route(lost - {tool}) is not None for tool in lost):
                    cuts.append(lost)
            elif len(lost) < most:
                following |= dict.fromkeys(lost | {tool} for tool in route.tools)
        level = list(following)
    return _sorted(cuts), True


def _sorted(cuts: Iterable[frozenset[str]]) -> list[tuple[str, ...]]:
    return sorted((tuple(sorted(cut)) for cut in cuts), key=lambda cut: (len(cut), cut))


def _tool(plans: _Plans, route: Route, tool: str, success: Mapping[str, float]) -> ToolAnalysis:
    other = plans.route(frozenset({tool}))
    p = success[tool]
    better = _chance(plans, {**success, tool: 1 - (1 - p) ** 2})
    return ToolAnalysis(
        tool=tool,
        success=p,
        without=None if other is None else other.tools,
        price_without=None if other is None else other.price,
        more=None if other is None else other.price - route.price,
        chance_with_alternative=better.reached,
    )


__all__ = ["Resilience", "ToolAnalysis", "analyse", "check_tools", "source_keys"]
