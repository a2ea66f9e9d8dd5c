"""`Planner`: finds the cheapest feasible route from the state of a run. Pure: no clock, no randomness, no I/O."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from orchestrator.core.errors import DefinitionError
from orchestrator.core.outcome import NoRoute
from orchestrator.core.policy import Policy
from orchestrator.core.process.forks import new_lock
from orchestrator.core.route import Alternative, Problem, Route
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import PriceTable
from orchestrator.graph.revision import GraphRevision
from orchestrator.routing.joins.decisions import Skeleton
from orchestrator.routing.joins.solver import best_plan, named
from orchestrator.routing.paths.astar import Path, shortest
from orchestrator.routing.paths.distances import Rooted

from .assemble import Explain, chain, to_route
from .compiled import Compiled
from .growth import grow, leads_to
from .impasse import impasse_of
from .situation import Situation
from .weights import NEVER, RoutingWeights


def beaten(plan: Callable[[Problem], Route], problem: Problem) -> tuple[Alternative, ...]:
    """The alternatives of the route that `plan` chooses for `problem`, best first.

    The first, `instead_of` nothing in particular, is the next best route as a whole: any other route lacks one of the
    chosen steps. Then for each step the best route that does without it, cheapest first.
    """
    chosen = plan(problem)
    found: list[Alternative] = []
    for step in chosen.steps:
        if step.tool in problem.running:
            continue
        try:
            other = plan(replace(problem, unusable={**problem.unusable, step.tool: "left out"}))
        except NoRoute:
            continue
        found.append(Alternative(step.tool, other.tools, other.pico, other.pico - chosen.pico))
    found.sort(key=lambda a: (a.pico, len(a.tools), a.instead_of or ""))
    return (replace(found[0], instead_of=None), *found) if found else ()


def only_path(situation: Situation, key: int) -> Path | None:
    """The path to a key where nothing can be chosen: one tool gives each key on the way, and waits for one key at most.

    `None` where there is a choice, a transition, an effect that might be abandoned, or something that cannot be used.
    """
    c, free, shut, values = situation.compiled, situation.free, situation.shut, situation.weights.values
    if situation.stakes.names or situation.over or c.transition_source:
        return None
    starts: list[tuple[int, int]] = []
    cost = 0
    while key >= 0:
        if len(c.producers[key]) != 1 or len(starts) >= LONGEST_READ:
            return None
        tool = c.producers[key][0]
        if tool in shut or values[tool] >= NEVER:
            return None
        starts.append((tool, tool))
        cost += values[tool]
        key = -1
        for k in c.needs[tool]:
            if k not in free:
                if key >= 0:
                    return None
                key = k
    starts.reverse()
    return Path(cost, starts)


KEEP_REVISIONS = 4
KEEP_GOALS = 32
LONGEST_READ = 64
"""Steps up to which a route without a choice is read off the graph: a cycle ends there."""

K = TypeVar("K")
V = TypeVar("V")


class Planner:
    """Plans on the current revision of a graph, or on the one that a run was given.

    Calls from several threads are serialised. Data about a goal are cached for its next plan.
    """

    def __init__(self, graph: ToolGraph, prices: PriceTable, policy: Policy) -> None:
        self._graph = graph
        self._prices = prices
        self._policy = policy
        self._lock = new_lock()
        self._grounds: dict[int, _PreparedRevision] = {}
        self._latest: _PreparedRevision | None = None
        """The revision that was planned on last."""
        graph.followed_by(self)

    def follow(self, view: GraphRevision) -> None:
        """Take in what is new in a revision that has just been made: the change pays for it, and not the next plan."""
        with self._lock:
            if self._latest is not None and leads_to(self._latest.weights.compiled.view, view):
                self._latest = self._grown(view)
                if self._latest is not None:
                    self._grounds[id(view)] = self._latest
                    with suppress(DefinitionError):  # a pricing that raises does so in the next plan
                        self._latest.take_in()

    def plan(self, problem: Problem, view: GraphRevision | None = None) -> Route:
        """The cheapest route. Raises `NoRoute`, whose impasse has the missing keys and the blamed tools."""
        with self._lock:
            view = view or self._graph.view()
            ground = self._latest
            if ground is None or ground.weights.compiled.view is not view:
                ground = self._latest = self._ground(view)
            explain = partial(self._beaten, view, problem, self._prices.now)
            return ground.plan(problem, self._policy, explain)

    def _beaten(self, view: GraphRevision, problem: Problem, cursor: int) -> tuple[Alternative, ...]:
        """What the route chosen for `problem` beat, on the graph and at the prices of that time."""
        with self._lock:
            then = self._ground(view).as_of(cursor)
            return beaten(lambda p: then.plan(p, self._policy), problem)

    def forget(self) -> None:
        """Drop cached data about goals. Only the speed of the next plans changes."""
        with self._lock:
            for ground in self._grounds.values():
                ground.forget()

    def weights(self) -> RoutingWeights:
        """The costs on the current revision, up to date."""
        with self._lock:
            ground = self._ground(self._graph.view())
            ground.weights.sync()
            return ground.weights

    def _ground(self, view: GraphRevision) -> "_PreparedRevision":
        known = (
            self._grounds.pop(id(view), None)
            or self._grown(view)
            or _PreparedRevision(RoutingWeights(Compiled(view), self._prices))
        )
        while len(self._grounds) >= KEEP_REVISIONS:
            del self._grounds[next(iter(self._grounds))]
        self._grounds[id(view)] = known
        return known

    def _grown(self, view: GraphRevision) -> "_PreparedRevision | None":
        """The ground of the latest revision that this one came from, brought up to it."""
        earlier = [g for g in self._grounds.values() if leads_to(g.weights.compiled.view, view)]
        ground = max(earlier, key=lambda g: g.weights.compiled.view.position, default=None)
        if ground is None:
            return None
        before = id(ground.weights.compiled.view)
        if not ground.grow(view):
            return None
        del self._grounds[before]
        return ground


class _PreparedRevision:
    """One revision prepared for planning, with cached data about its goals."""

    def __init__(self, weights: RoutingWeights) -> None:
        self.weights = weights
        self.roots: dict[int, Rooted] = {}
        self.skeletons: dict[tuple[int, ...], Skeleton] = {}
        self._root_of_last: Rooted | None = None

    def forget(self) -> None:
        """Forget what was learned about goals."""
        self.roots.clear()
        self.skeletons.clear()
        self._root_of_last = None

    def as_of(self, cursor: int) -> "_PreparedRevision":
        """The same revision at the prices of then."""
        self.weights.sync()
        then = _PreparedRevision(self.weights.as_of(cursor))
        then.skeletons = self.skeletons
        return then

    def grow(self, view: GraphRevision) -> bool:
        """Become the ground of a later revision; False where that is better made again."""
        c = self.weights.compiled
        if not grow(c, view):
            return False
        tools, _, new = c.growths[-1]
        changed = [*tools, *new]
        self.skeletons = {goal: known for goal, known in self.skeletons.items() if not known.affected_by(changed)}
        return True

    def take_in(self) -> None:
        """Price what was added to the graph, and add it to the distances of the goal that was asked for last."""
        self.weights.sync()
        if self._root_of_last is not None:
            self._root_of_last.grow()

    def plan(self, problem: Problem, policy: Policy, explain: Explain | None = None) -> Route:
        """The cheapest route; `explain` computes its alternatives."""
        self.weights.sync()
        situation = Situation(self.weights, problem)
        goal, mask = situation.open_goal()
        if goal and min(goal) < 0:
            raise NoRoute(impasse_of(None, situation, policy.planning_states))
        path = Path()
        if len(goal) == 1 and (not situation.stakes.names or not situation.compiled.joining):
            path = only_path(situation, goal[0]) or shortest(self._root(goal[0]), situation, mask)
            if path.cost < path.joined and path.cost < NEVER:
                route = chain(situation, path, explain)
                return route or to_route(situation, [start for _, start in path.starts], path.cost, explain)
        skeleton = _recent(self.skeletons, goal, lambda: Skeleton(situation.compiled, goal))
        found = best_plan(skeleton, situation, policy.planning_states)
        if found is None:
            raise NoRoute(impasse_of(skeleton, situation, policy.planning_states))
        if path.joined < NEVER and found.bound < found.cost:  # the bound holds for paths too: it is the longest chain
            path = shortest(self._root(goal[0]), situation, mask, found.cost)
            starts = [start for _, start in path.starts]
            if (path.cost, named(situation, starts)) < (found.cost, named(situation, found.starts)):
                return to_route(situation, starts, found.bound, explain)
        return to_route(situation, found.starts, found.bound, explain)

    def _root(self, goal: int) -> Rooted:
        if self._root_of_last is None or self._root_of_last.goal != goal:
            self._root_of_last = _recent(self.roots, goal, lambda: Rooted(self.weights, goal))
        return self._root_of_last


def _recent(known: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """What is known under `key`, or made now; the least recently asked for goes when there is too much."""
    found = known.pop(key, None)
    if found is None:
        found = make()
        while len(known) >= KEEP_GOALS:
            del known[next(iter(known))]
    known[key] = found
    return found
