"""`Planner`: the cheapest feasible route from where a run stands. Pure: no clock, no randomness, no I/O."""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, TypeVar

from ..errors import NoRoute
from ..graph import ToolGraph
from ..policy import Policy
from ..pricing import PriceFacts, PriceTable, Pricing, Recorded
from ..route import Problem, Route
from ..view import GraphView
from .assemble import chain, to_route
from .compiled import Compiled
from .impasse import explain
from .joins import best_plan, named
from .paths import Path, shortest
from .rooted import Rooted
from .situation import Situation
from .skeleton import Skeleton
from .weights import NEVER, Prices, Weights

KEEP_REVISIONS = 4
KEEP_GOALS = 32

K = TypeVar("K")
V = TypeVar("V")


class Planner:
    """Plans on the current revision of a graph, or on the one that a run was given.

    Calls from several threads take turns: what was learned about one goal serves the next.
    """

    def __init__(self, graph: ToolGraph, prices: PriceTable, policy: Policy) -> None:
        self._graph = graph
        self._prices = prices
        self._policy = policy
        self._lock = Lock()
        self._grounds: dict[int, _Ground] = {}

    def plan(self, problem: Problem, view: GraphView | None = None) -> Route:
        """The cheapest route. Raises `NoRoute`, whose impasse says what is missing and who is to blame."""
        with self._lock:
            return self._ground(view or self._graph.view()).plan(problem, self._policy)

    def plan_recorded(
        self,
        view: Mapping[str, Any],
        problem: Problem,
        facts: Mapping[str, PriceFacts],
        policy: Policy,
        pricing: Pricing | None = None,
    ) -> Route:
        """Plan again from records: a view's JSON, and the facts that prices were made of (`PriceTable.record`)."""
        revision = GraphView.from_json(view)
        prices = PriceTable(revision, policy, pricing, Recorded(facts))
        return _Ground(revision, prices).plan(problem, policy)

    def warm(self) -> None:
        """Make the current revision ready for planning, so that the first plan need not."""
        with self._lock:
            self._ground(self._graph.view()).weights.sync()

    def forget(self) -> None:
        """Forget what was learned about goals. The next plan of each is as its first; nothing else changes."""
        with self._lock:
            for ground in self._grounds.values():
                ground.roots.clear()
                ground.skeletons.clear()

    def weights(self) -> Weights:
        """The costs on the current revision, up to date."""
        with self._lock:
            ground = self._ground(self._graph.view())
            ground.weights.sync()
            return ground.weights

    def _ground(self, view: GraphView) -> "_Ground":
        known = self._grounds.pop(id(view), None) or _Ground(view, self._prices)
        while len(self._grounds) >= KEEP_REVISIONS:
            del self._grounds[next(iter(self._grounds))]
        self._grounds[id(view)] = known
        return known


class _Ground:
    """One revision made ready for planning, with what was learned about the goals asked for."""

    def __init__(self, view: GraphView, prices: Prices) -> None:
        self.weights = Weights(Compiled(view), prices)
        self.roots: dict[int, Rooted] = {}
        self.skeletons: dict[tuple[int, ...], Skeleton] = {}

    def plan(self, problem: Problem, policy: Policy) -> Route:
        """The cheapest route, without its alternatives."""
        self.weights.sync()
        situation = Situation(self.weights, problem)
        goal, mask = situation.open_goal()
        if goal and min(goal) < 0:
            raise NoRoute(explain(None, situation, policy.planning_states))
        simple, path = situation.compiled.simple, Path()
        if len(goal) == 1 and (simple or not situation.stakes.names):
            path = shortest(self._root(goal[0]), situation, mask)
            if path.cost < min(path.joined, NEVER):
                return chain(situation, path) or to_route(situation, [start for _, start in path.starts], path.cost)
        return self._join(situation, goal, path, policy.planning_states)

    def _join(self, situation: Situation, goal: tuple[int, ...], path: Path, states: int) -> Route:
        skeleton = _recent(self.skeletons, goal, lambda: Skeleton(situation.compiled, goal))
        found = best_plan(skeleton, situation, states)
        starts = tuple(start for _, start in path.starts)
        if found is None and path.cost >= NEVER:
            raise NoRoute(explain(skeleton, situation, states))
        if found is None or (path.cost, named(situation, starts)) < (found.cost, named(situation, found.starts)):
            return to_route(situation, starts, min(path.cost, path.joined))
        bound = min(path.cost, path.joined) if path.looked_at else 0
        return to_route(situation, found.starts, max(found.bound, bound))

    def _root(self, goal: int) -> Rooted:
        return _recent(self.roots, goal, lambda: Rooted(self.weights, goal))


def _recent(known: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """What is known under `key`, or made now; the least recently asked for goes when there is too much."""
    found = known.pop(key, None)
    if found is None:
        found = make()
        while len(known) >= KEEP_GOALS:
            del known[next(iter(known))]
    known[key] = found
    return found
