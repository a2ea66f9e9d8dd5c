"""`analyse`: how robust the routes to a goal are, computed from the graph and the current health; nothing is run.

It finds single points of failure and minimal cut sets (as in fault-tree analysis), the probability of reaching the goal
when tools fail independently, and the gain of one more alternative.
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
"""Maximum number of plans of one analysis; beyond it, results are bounds."""
MOST_CASES: Final = 20_000
"""Maximum number of combinations of working and failed tools for one probability."""
NEGLIGIBLE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class ToolAnalysis:
    """The importance of one tool of the route for the goal."""

    tool: str
    success: float
    """Probability that a call of it works, in [0, 1]."""
    without: tuple[str, ...] | None
    """The cheapest route without it; `None` if the goal cannot be reached without it."""
    price_without: float | None
    """US dollars."""
    more: float | None
    """Additional price of that route compared with the current one, in US dollars."""
    chance_with_alternative: float
    """Probability of success if it had an equally good alternative."""


@dataclass(frozen=True, slots=True)
class Resilience:
    """The robustness of the routes to a goal."""

    goal: tuple[str, ...]
    given: tuple[str, ...]
    route: tuple[str, ...]
    """The cheapest route."""
    price: float
    """The price of that route in US dollars."""
    route_chance: float
    """Probability that every call of that route works at its first attempt."""
    chance: float
    """Probability that the goal is reached, with rerouting; tools fail independently. A lower bound."""
    chance_at_most: float
    """The upper bound; equal to `chance` if all cases were examined."""
    expected_price: float
    """Mean price of the final route in US dollars, given that the goal is reached."""
    single_points: tuple[str, ...]
    """Single points of failure: tools whose loss alone makes the goal unreachable."""
    cuts: tuple[tuple[str, ...], ...]
    """The minimal sets of tools whose joint loss makes the goal unreachable, smallest first."""
    cuts_complete: bool
    """Whether these are all sets up to the requested size."""
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
    """Analyse the routes to the goal of `problem` under these price facts; cut sets of up to `most` tools.

    Raises `NoRoute` when there is no route.
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
    """The inputs of a goal: the keys that its relevant tools need and no tool gives."""
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
        """The impasse, when there is no route."""
        assert self._impasse is not None
        return self._impasse


@dataclass(slots=True)
class _Chance:
    reached: float = 0.0
    unknown: float = 0.0
    price: float = 0.0
    """Sum of price times probability over the cases in which the goal is reached."""


def _chance(plans: _Plans, success: Mapping[str, float]) -> _Chance:
    """The probability that the goal is reached, by conditioning on one tool of the route after another.

    A case fixes which tools work and which are lost. If the cheapest route consists of working tools, the goal is
    reached; if there is no route, it is not; else the case is split on the route's first undetermined tool. The most
    probable cases are split first, so that the unexamined probability is minimal.
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

    A cut set hits every route, so it contains a tool of the cheapest remaining route: a hitting-set tree, breadth first
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
