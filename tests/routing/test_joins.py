"""Joins against CP-SAT: true prices, bounds that hold, and plans that are near the best."""

from random import Random
from statistics import mean

import pytest

from benchmarks._joins import layered_joins
from orchestrator.core.policy import Policy
from orchestrator.core.route import Problem, Route
from orchestrator.errors import NoRoute
from orchestrator.graph.price_table import PriceTable
from orchestrator.routing import Planner

from .cpsat import cheapest_price
from .worlds import World


def ratio(tools: int, sharing: float, seed: int, wide: int, policy: Policy) -> float:
    """The price of the plan against the proven best."""
    graph = layered_joins(tools, sharing, seed, wide=wide)
    prices = PriceTable(graph, policy)
    problem = Problem(("goal",), {"k": None})
    route = Planner(graph, prices, policy).plan(problem)
    best = cheapest_price(graph.view(), prices, problem)
    assert best is not None
    assert route.bound_pico <= best <= route.pico
    assert route.pico == sum(step.pico for step in route.steps)
    return route.pico / best


@pytest.mark.parametrize("sharing", [0.2, 0.8])
def test_plans_of_168_tools_are_near_the_best(sharing: float) -> None:
    ratios = [ratio(168, sharing, seed, wide, Policy()) for seed in range(4) for wide in (14, 24)]
    assert mean(ratios) <= 1.01
    assert max(ratios) <= 1.10


@pytest.mark.campaign
@pytest.mark.parametrize("sharing", [0.2, 0.8])
@pytest.mark.parametrize("wide", [4, 8, 14, 24])
def test_plans_of_168_tools_are_near_the_best_at_length(sharing: float, wide: int) -> None:
    ratios = [ratio(168, sharing, seed, wide, Policy()) for seed in range(100, 140)]
    assert mean(ratios) <= 1.01
    assert max(ratios) <= 1.10


def random_joins(random: Random, tools: int, *, circles: bool) -> tuple[World, Problem]:
    """Tools that need and give several keys, some with transitions."""
    world = World()
    keys = tools // 2
    names = [f"t{i:02}" for i in range(tools)]
    for i, name in enumerate(names):
        gives = sorted(random.sample(range(keys), random.choice([1, 1, 2])))
        below = range(keys) if circles else range(min(gives))
        needs = [k for k in random.sample(below, min(len(below), random.choice([1, 2, 2, 3]))) if k not in gives]
        world.add(name, [f"k{k:02}" for k in needs], [f"k{k:02}" for k in gives], cost=random.randrange(1, 40) / 8)
        if i and random.random() < 0.15:
            for source in random.sample(names[:i], min(i, 2)):
                world.graph.connect(source, name, cost=random.randrange(4) / 8)
    goal = (f"k{keys - 1:02}", f"k{keys - 2:02}") if random.random() < 0.3 else (f"k{keys - 1:02}",)
    return world, Problem(goal, {"k00": None, "k01": None})


def planned(world: World, problem: Problem) -> Route | None:
    """The route, or none."""
    try:
        return Planner(world.graph, world.prices, world.policy).plan(problem)
    except NoRoute:
        return None


def compare(seed: int, *, circles: bool) -> float:
    """The plan's price against the best, 1 when neither finds one."""
    random = Random(seed)
    world, problem = random_joins(random, random.choice([10, 16, 24]), circles=circles)
    best = cheapest_price(world.graph.view(), world.prices, problem)
    route = planned(world, problem)
    assert (best is None) == (route is None), seed
    if best is None or route is None:
        return 1.0
    assert route.bound_pico <= best <= route.pico, seed
    return route.pico / best


def test_random_joins_without_circles_are_the_best() -> None:
    assert max(compare(seed, circles=False) for seed in range(60)) == 1.0


def test_random_joins_with_circles_are_near_the_best() -> None:
    ratios = [compare(seed, circles=True) for seed in range(100, 140)]
    assert mean(ratios) <= 1.01


@pytest.mark.campaign
def test_random_joins_at_length() -> None:
    assert max(compare(seed, circles=False) for seed in range(1000, 3000)) <= 1.05
    assert mean(compare(seed, circles=True) for seed in range(3000, 4000)) <= 1.01


def test_a_larger_budget_proves_what_a_small_one_finds() -> None:
    graph = layered_joins(96, 0.5, 3, wide=8)
    problem = Problem(("goal",), {"k": None})
    routes: list[Route] = []
    for states in (0, 4000, 400_000):
        policy = Policy(planning_states=states)
        routes.append(Planner(graph, PriceTable(graph, policy), policy).plan(problem))
    assert routes[0].pico >= routes[1].pico >= routes[2].pico
    assert routes[2].bound_pico == routes[2].pico
    assert routes[0].bound_pico <= routes[2].pico
