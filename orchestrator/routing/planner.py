"""`Planner`: the cheapest feasible route from where a run stands. Pure: no clock, no randomness, no I/O."""

from collections.abc import Mapping
from threading import Lock
from typing import Any

from ..errors import NoRoute
from ..graph import ToolGraph
from ..policy import Policy
from ..pricing import PriceFacts, PriceTable, Pricing, Recorded
from ..route import Problem, Route
from ..view import GraphView
from .assemble import chain, to_route
from .compiled import Compiled
from .exact import cheapest
from .hyperpath import derive, good_plan
from .impasse import explain
from .instance import Instance, build, of_path, open_goal
from .paths import Path, shortest
from .rooted import Rooted
from .situation import Situation
from .weights import NEVER, Prices, Weights

KEEP_REVISIONS = 4
KEEP_GOALS = 32


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

    def plan(self, problem: Problem, policy: Policy) -> Route:
        self.weights.sync()
        situation = Situation(self.weights, problem)
        goal, mask = open_goal(situation)
        path = Path()
        if len(goal) == 1 and goal[0] >= 0 and (situation.compiled.simple or not situation.stakes.names):
            path = shortest(self._root(goal[0]), situation, mask)
            if path.cost < min(path.joined, NEVER):
                return chain(situation, path) or to_route(*of_path(situation, path.starts), path.cost)
        return _plan_joins(situation, policy, path)

    def _root(self, goal: int) -> Rooted:
        known = self.roots.pop(goal, None) or Rooted(self.weights, goal)
        while len(self.roots) >= KEEP_GOALS:
            del self.roots[next(iter(self.roots))]
        self.roots[goal] = known
        return known


def _plan_joins(situation: Situation, policy: Policy, path: Path) -> Route:
    instance = build(situation)
    best = good_plan(instance) if instance.solvable else None
    proven = False
    if instance.solvable:
        best, proven = cheapest(instance, policy.planning_states, best)
    if best is None:
        raise NoRoute(explain(situation, instance, policy.planning_states))
    return to_route(instance, best[1], best[0] if proven else _bound(instance))


def _bound(instance: Instance) -> int:
    derived = derive(instance, longest=True)
    return max((derived[0][p] for p in instance.goal), default=0) if derived else 0
