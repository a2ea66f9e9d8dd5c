"""The end of a search is read off the distances where they are exact, and left to the search where they are not."""

import pickle
from contextlib import suppress
from copy import copy
from dataclasses import replace
from random import Random

import pytest

from orchestrator.core.route import Problem, StartedFrom
from orchestrator.errors import NoRoute
from orchestrator.routing import Planner
from orchestrator.routing.compiled import Compiled
from orchestrator.routing.paths.astar import shortest
from orchestrator.routing.paths.distances import Rooted
from orchestrator.routing.paths.search import AStarSearch
from orchestrator.routing.paths.straight import straight
from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import RoutingWeights

from .worlds import World, random_problem, random_world

START_KEY: dict[str, str | None] = {"k0": None}


class Ladder:
    """Keys k0 ... k`rungs`, with a cheap and a dear tool from each to the next; all learned distances stay."""

    def __init__(self, rungs: int, *, dear: float = 3.0) -> None:
        self.world = World()
        for i in range(rungs):
            self.world.add(f"cheap{i}", [f"k{i}"], f"k{i + 1}", 1.0)
            self.world.add(f"dear{i}", [f"k{i}"], f"k{i + 1}", dear)
        self.goal = f"k{rungs}"
        self.weights = RoutingWeights(Compiled(self.world.graph.view()), self.world.prices)
        self.root = Rooted(self.weights, self.weights.compiled.key[self.goal])

    def straight(self, problem: Problem | None = None) -> tuple[list[str], bool]:
        """The tools of the nearest way from k0 (or the last key at hand), and whether it leads to the goal."""
        self.weights.sync()
        problem = problem or Problem((self.goal,), START_KEY)
        situation = Situation(self.weights, problem)
        self.root.prepare(situation)
        steps, whole = straight(AStarSearch(self.root, situation), self.weights.compiled.key[list(problem.at_hand)[-1]])
        return [self.weights.compiled.names[tool] for tool, _ in steps], whole

    def search(self) -> list[str]:
        """The tools of the best path."""
        self.weights.sync()
        found = shortest(self.root, Situation(self.weights, Problem((self.goal,), START_KEY)), 0)
        assert found.cost == sum(self.weights.values[start] for _, start in found.starts)
        return [self.weights.compiled.names[tool] for tool, _ in found.starts]


def test_straight_on_after_a_failure_was_searched_around_and_after_a_recovery() -> None:
    ladder = Ladder(4)
    assert ladder.straight() == (["cheap0", "cheap1", "cheap2", "cheap3"], True)
    ladder.world.trip("cheap2")
    assert not ladder.straight()[1], "the distances before the failure are not known to be exact"
    assert ladder.search() == ["cheap0", "cheap1", "dear2", "cheap3"]
    assert ladder.straight() == (["cheap0", "cheap1", "dear2", "cheap3"], True)
    stands = Problem((ladder.goal,), {**START_KEY, "k1": "cheap0"}, {"cheap0": StartedFrom(("k0",))})
    assert ladder.straight(stands) == (["cheap1", "dear2", "cheap3"], True)
    ladder.world.restore("cheap2")
    assert ladder.straight() == (["cheap0", "cheap1", "cheap2", "cheap3"], True)


def test_several_best_paths_are_left_to_the_search() -> None:
    ladder = Ladder(3, dear=1.0)
    assert ladder.straight() == ([], False)
    ladder.world.trip("dear0")
    ladder.world.trip("dear2")
    assert ladder.straight() == (["cheap0"], False)
    ladder.world.trip("dear1")
    assert ladder.straight() == (["cheap0", "cheap1", "cheap2"], True)


def test_a_tool_that_this_run_may_not_start_is_left_to_the_search() -> None:
    ladder = Ladder(3)
    without = Problem((ladder.goal,), START_KEY, unusable={"cheap1": "refused"})
    assert ladder.straight(without) == (["cheap0"], False)
    assert ladder.straight() == (["cheap0", "cheap1", "cheap2"], True)


def test_the_ways_on_from_a_place_with_many_are_brought_up_to_date_one_by_one() -> None:
    random = Random(3)
    world = World()
    for i in range(60):
        world.add(f"out{i}", ["k0"], f"m{i}", 1.0 + random.random())
        world.add(f"on{i}", [f"m{i}"], "goal", 1.0 + random.random())
    weights = RoutingWeights(Compiled(world.graph.view()), world.prices)
    root = Rooted(weights, weights.compiled.key["goal"])
    names, down = sorted(world.graph.view().nodes), list[str]()
    for _ in range(80):
        down.append(random.choice(names))
        world.trip(down[-1])
        while len(down) > 5:
            world.restore(down.pop(0))
        weights.sync()
        shortest(root, Situation(weights, Problem(("goal",), {"k0": None})), 0)
        for place, known in root.known.items():
            assert known == root.ways(place, {})


def test_steps_that_are_made_after_the_graph_has_changed_are_those_of_the_plan() -> None:
    random, lazy = Random(5), 0
    for _ in range(150):
        world = random_world(random, effects=False)
        problem = random_problem(random, world)
        planner = Planner(world.graph, world.prices, world.policy)
        try:
            early, late = planner.plan(problem), planner.plan(problem)
        except NoRoute:
            continue
        steps = early.steps
        lazy += "steps" not in late.__dict__
        for name in random.sample(sorted(world.graph.view().nodes), 3):
            world.graph.remove(name)
        world.add("later", ["k0"], "k1")
        world.prices.invalidate(sorted(world.graph.view().nodes))
        with suppress(NoRoute):
            planner.plan(problem)
        assert late.steps == steps
        assert late.tools == tuple(step.tool for step in steps)
        assert late == early
    assert lazy > 30, "most of these plans are paths"


def test_a_route_whose_steps_are_not_made_yet_is_a_route_like_any_other() -> None:
    ladder = Ladder(3)
    planner = Planner(ladder.world.graph, ladder.world.prices, ladder.world.policy)
    problem = Problem((ladder.goal,), START_KEY)
    assert "steps" not in planner.plan(problem).__dict__
    assert planner.plan(problem) == planner.plan(problem)
    assert replace(planner.plan(problem), not_storable=("k1",)).steps == planner.plan(problem).steps
    assert copy(planner.plan(problem)).steps == planner.plan(problem).steps
    assert pickle.loads(pickle.dumps(replace(planner.plan(problem), explain=None))) == planner.plan(problem)
    with pytest.raises(AttributeError, match="'Route' object has no attribute 'step'"):
        planner.plan(problem).step  # type: ignore[attr-defined]  # noqa: B018
