"""Every plan against every other: random small graphs, from the start and from where runs come to stand."""

from random import Random

import pytest

from orchestrator.core.route import Problem, Route
from orchestrator.errors import NoRoute
from orchestrator.routing import Planner

from .brute import Found, brute_force
from .worlds import World, advance, random_problem, random_world


def planned(planner: Planner, problem: Problem) -> Route | None:
    """The route, or none."""
    try:
        return planner.plan(problem)
    except NoRoute:
        return None


def summary(route: Route | None, problem: Problem) -> Found | None:
    """What brute force says of a route."""
    if route is None:
        return None
    started = sorted(step.tool for step in route.steps if step.tool not in problem.running)
    return Found(route.pico, len(started), tuple(started))


def check(world: World, problem: Problem, route: Route) -> None:
    """A route is what it says: its steps can run in their order, and cost what it costs."""
    view = world.graph.view()
    had, done = set(problem.at_hand), set(problem.done)
    total = 0
    for step in route.steps:
        node = view.nodes[step.tool]
        assert set(step.after) <= done - set(problem.done)
        assert set(step.sources) >= set(node.needs) or step.tool in problem.running
        for key, source in step.sources.items():
            assert key in had
            assert source is None or source in done or key in problem.at_hand
        assert (step.via is None) == (not view.incoming(step.tool)) or step.tool in problem.running
        had.update(node.gives)
        done.add(step.tool)
        total += step.pico
    assert set(problem.goal) <= had
    undo = sum(view.nodes[name].undo_cost or 0 for name in route.abandons if not view.nodes[name].final)
    assert route.pico == total + undo
    assert route.bound_pico <= route.pico


def compare(seed: int, *, effects: bool = True) -> int:
    """Comparisons along one run, with failures and recoveries between its steps."""
    random = Random(seed)
    world = random_world(random, tools=random.choice([3, 4, 5, 6, 7]), effects=effects)
    planner = Planner(world.graph, world.prices, world.policy)
    waiting = [random_problem(random, world)]
    names = sorted(world.graph.view().nodes)
    compared = 0
    while waiting and compared < 8:
        problem = waiting.pop(0)
        if random.random() < 0.3:
            name = random.choice(names)
            (world.restore if name in world.health.successes else world.trip)(name)
        route = planned(planner, problem)
        assert summary(route, problem) == brute_force(world.graph.view(), world.prices, problem), (seed, problem)
        compared += 1
        if route is not None:
            check(world, problem, route)
            if compared < 4:
                waiting += advance(random, world, problem, route)
    return compared


def test_plans_are_the_best_of_all() -> None:
    assert sum(compare(seed) for seed in range(500)) > 500


def test_plans_without_effects_are_the_best_of_all() -> None:
    assert sum(compare(seed, effects=False) for seed in range(10_000, 10_250)) > 250


@pytest.mark.campaign
def test_plans_are_the_best_of_all_at_length() -> None:
    assert sum(compare(seed) for seed in range(20_000, 30_000)) > 10_000
