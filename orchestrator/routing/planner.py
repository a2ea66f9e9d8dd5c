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
from .assemble import to_route
from .compiled import Compiled
from .exact import cheapest
from .hyperpath import derive, good_plan
from .impasse import explain
from .instance import Instance, build
from .situation import Situation


class Planner:
    """Plans on the current revision of a graph, or on the one that a run was given.

    Calls from several threads take turns: what was learned about one goal serves the next.
    """

    def __init__(self, graph: ToolGraph, prices: PriceTable, policy: Policy) -> None:
        self._graph = graph
        self._prices = prices
        self._policy = policy
        self._lock = Lock()
        self._compiled: dict[int, Compiled] = {}

    def plan(self, problem: Problem, view: GraphView | None = None) -> Route:
        """The cheapest route. Raises `NoRoute`, whose impasse says what is missing and who is to blame."""
        with self._lock:
            return _plan(Situation(self._compile(view or self._graph.view()), self._prices, problem), self._policy)

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
        return _plan(Situation(Compiled(revision), prices, problem), policy)

    def _compile(self, view: GraphView) -> Compiled:
        known = self._compiled.get(id(view))
        if known is None:
            known = Compiled(view)
            while len(self._compiled) >= 4:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[id(view)] = known
        return known


def _plan(situation: Situation, policy: Policy) -> Route:
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
