"""What a route beat, and by how much."""

from dataclasses import replace
from random import Random

from orchestrator.core.route import Problem
from orchestrator.errors import NoRoute
from orchestrator.routing import Planner

from .brute import brute_force
from .worlds import World, random_problem, random_world


def test_the_next_best_route_and_the_next_best_producers() -> None:
    world = World()
    world.add("api", ["parcel"], "quote", 1)
    world.add("table", ["parcel"], "quote", 2)
    world.add("buy", ["quote"], "label", 3)
    world.add("dear", ["quote"], "label", 7)
    route = Planner(world.graph, world.prices, world.policy).plan(Problem(("label",), {"parcel": None}))
    assert route.tools == ("api", "buy")
    listed = [(a.instead_of, a.tools, round(a.more, 6)) for a in route.alternatives]
    assert listed == [
        (None, ("table", "buy"), 1.0),
        ("api", ("table", "buy"), 1.0),
        ("buy", ("api", "dear"), 4.0),
    ]


def test_alternatives_are_told_at_the_prices_of_the_choice() -> None:
    world = World()
    for name, cost in (("a", 1), ("b", 2), ("c", 3)):
        world.add(name, ["k"], "goal", cost)
    planner = Planner(world.graph, world.prices, world.policy)
    route = planner.plan(Problem(("goal",), {"k": None}))
    world.trip("a")
    world.trip("b")
    later = planner.plan(Problem(("goal",), {"k": None}))
    assert [(a.instead_of, a.tools) for a in route.alternatives] == [(None, ("b",)), ("a", ("b",))]
    assert (route.tools, later.tools) == (("a",), ("c",))
    assert later.alternatives == ()


def test_alternatives_are_the_best_without_the_step() -> None:
    compared = 0
    for seed in range(200):
        random = Random(seed)
        world = random_world(random, tools=7, keys=4, effects=False)
        problem = random_problem(random, world, keys=4)
        try:
            route = Planner(world.graph, world.prices, world.policy).plan(problem)
        except NoRoute:
            continue
        without = {a.instead_of: a for a in route.alternatives if a.instead_of}
        for tool in route.tools:
            other = replace(problem, unusable={**problem.unusable, tool: "out"})
            best = brute_force(world.graph.view(), world.prices, other)
            assert (best is None) == (tool not in without), seed
            if best is not None:
                assert without[tool].pico == best.pico == route.pico + without[tool].more_pico, seed
                compared += 1
        if route.alternatives:
            assert route.alternatives[0].pico == min(a.pico for a in without.values())
    assert compared > 30
