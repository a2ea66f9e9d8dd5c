"""The published graphs give the published routes, and all failure sets agree with brute force."""

from itertools import combinations

import pytest

from orchestrator.core.route import Problem
from orchestrator.errors import NoRoute
from orchestrator.routing import Planner

from .brute import brute_force
from .published import GRAPHS, Edges, written

ROUTES = [
    ("support", (), ("CRM", "Stripe", "Email", "Complete")),
    ("support", ("Stripe",), ("CRM", "Razorpay", "Email", "Complete")),
    ("support", ("Email",), ("CRM", "Stripe", "SMS", "Complete")),
    ("support", ("Email", "Stripe"), ("CRM", "Razorpay", "SMS", "Complete")),
    ("travel", (), ("Flight", "Hotel", "Car", "Payment", "Confirm")),
    ("travel", ("Flight",), ("Train", "Hotel", "Car", "Payment", "Confirm")),
    ("travel", ("Hotel", "Car"), ("Flight", "Hostel", "Bus", "Payment", "Confirm")),
    ("travel", ("Flight", "Hotel", "Car"), ("Train", "Hostel", "Bus", "Payment", "Confirm")),
    ("moderation", (), ("Text", "Toxicity", "AutoApprove", "Complete")),
    ("moderation", ("Text",), ("Image", "Toxicity", "AutoApprove", "Complete")),
    ("moderation", ("AutoApprove",), ("Text", "Toxicity", "HumanReview", "Complete")),
    ("moderation", ("AutoApprove", "Text"), ("Image", "Toxicity", "HumanReview", "Complete")),
]


@pytest.mark.parametrize(("name", "down", "tools"), ROUTES)
def test_the_published_routes(name: str, down: tuple[str, ...], tools: tuple[str, ...]) -> None:
    edges, goal = GRAPHS[name]
    for backwards in (False, True):
        world = written(edges, backwards=backwards)
        planner = Planner(world.graph, world.prices, world.policy)
        for tool in down:
            world.trip(tool)
        route = planner.plan(Problem((goal,), {}))
        assert route.tools == tools
        assert route.bound == route.price


def test_all_failure_sets_agree_with_brute_force() -> None:
    feasible = sets = 0
    for edges, goal in GRAPHS.values():
        world = written(edges)
        names = [tool.name for tool in world.graph if tool.name != goal]
        for size in range(len(names) + 1):
            for down in combinations(sorted(names), size):
                sets += 1
                feasible += _agrees(edges, goal, down)
    assert (sets, feasible) == (224, 57)


def _agrees(edges: Edges, goal: str, down: tuple[str, ...]) -> bool:
    world = written(edges)
    for tool in down:
        world.trip(tool)
    problem = Problem((goal,), {})
    planner = Planner(world.graph, world.prices, world.policy)
    best = brute_force(world.graph.view(), world.prices, problem)
    if best is None:
        with pytest.raises(NoRoute) as raised:
            planner.plan(problem)
        assert raised.value.impasse.tools
        assert set(raised.value.impasse.tools) <= set(down)
        return False
    route = planner.plan(problem)
    assert (route.pico, tuple(sorted(route.tools))) == (best.pico, best.names)
    return True
