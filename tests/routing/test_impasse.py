"""Why there is no route: keys out of reach, and a smallest set of unusable tools that would open one."""

import math
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest

from orchestrator.core.route import Blame, Impasse, Problem, StartedFrom
from orchestrator.errors import NoRoute
from orchestrator.graph.price_table import PriceFacts, PriceTable
from orchestrator.routing import Planner

from .worlds import World, random_problem, random_world


def impasse(world: World, problem: Problem) -> Impasse:
    """The impasse of a problem that has no route."""
    with pytest.raises(NoRoute) as raised:
        Planner(world.graph, world.prices, world.policy).plan(problem)
    return raised.value.impasse


def solvable(world: World, problem: Problem) -> bool:
    """Whether there is a route."""
    try:
        Planner(world.graph, world.prices, world.policy).plan(problem)
    except NoRoute:
        return False
    return True


def quotes() -> World:
    """Two ways to a quote, one to the label."""
    world = World()
    world.add("api", ["parcel"], "quote", 1)
    world.add("table", ["parcel"], "quote", 2)
    world.add("buy", ["quote", "address"], "label", 3)
    return world


def test_a_goal_that_nobody_gives() -> None:
    found = impasse(quotes(), Problem(("lable",), {"parcel": None}))
    assert found.unreachable == ("lable",)
    assert found.blame == ()
    assert found.reason == "No tool gives 'lable' (did you mean 'label'?)"


def test_a_need_that_nobody_can_meet() -> None:
    found = impasse(quotes(), Problem(("label",), {"parcel": None}))
    assert found.unreachable == ("label", "address")
    assert found.blame == ()
    assert "'address' (needed by buy)" in found.reason


def test_the_tools_to_blame() -> None:
    world = quotes()
    at_hand = {"parcel": None, "address": None}
    world.trip("api")
    found = impasse(world, Problem(("label",), at_hand, unusable={"table": "refused: no tariff"}))
    assert set(found.unreachable) == {"label", "quote"}
    assert found.unreachable[0] == "label"
    assert found.blame == (Blame("api", "circuit open"),) or found.blame == (Blame("table", "refused: no tariff"),)
    found = impasse(world, Problem(("label",), at_hand, unusable={"table": "refused", "buy": "no permission"}))
    assert [blame.tool for blame in found.blame] in (["api", "buy"], ["buy", "table"])


def test_a_transition_to_blame() -> None:
    world = World()
    world.add("a")
    world.add("b")
    world.graph.connect("START", "a")
    world.graph.connect("a", "b")
    found = impasse(world, Problem(("b",), {}, unusable_transitions={("a", "b"): "forbidden by a monitor"}))
    assert found.blame == (Blame("a -> b", "forbidden by a monitor"),)
    world.health.transitions["a", "b"] = 0.0
    world.prices.invalidate(["b"])
    assert impasse(world, Problem(("b",), {})).blame == (Blame("a -> b", "circuit open"),)


@pytest.mark.parametrize("said", [math.inf, 1e300])
def test_a_pricing_that_rules_a_tool_out_is_no_open_circuit(said: float) -> None:
    world = quotes()
    world.prices = PriceTable(
        world.graph, world.policy, lambda facts: said if facts.tool == "buy" else 1.0, world.health
    )
    at_hand = {"parcel": None, "address": None}
    assert impasse(world, Problem(("label",), at_hand)).blame == (Blame("buy", "the pricing makes it infinite"),)
    world.trip("buy")
    assert impasse(world, Problem(("label",), at_hand)).blame == (Blame("buy", "circuit open"),)


def test_tools_that_wait_for_each_other() -> None:
    world = World()
    world.add("a", ["y"], "x")
    world.add("b", ["x"], "y")
    found = impasse(world, Problem(("x",), {}))
    assert found.unreachable == ("x",)
    assert "wait for each other" in found.reason


def test_an_irreversible_step_that_would_be_abandoned() -> None:
    world = World()
    world.add("pay", ["k"], "paid", effect="irreversible")
    world.add("ship", ["paid"], "shipped")
    world.add("pickup", ["k"], "shipped", cost=1)
    stands = Problem(
        ("shipped",), {"k": None, "paid": "pay"}, {"pay": StartedFrom(("k",))}, unusable={"ship": "used up its retries"}
    )
    found = impasse(world, stands)
    assert found.kind == "approval"
    assert found.subject == "pay"
    assert found.blame == (Blame("ship", "used up its retries"),)
    allowed = replace(stands, may_abandon=frozenset({"pay"}))
    route = Planner(world.graph, world.prices, world.policy).plan(allowed)
    assert route.tools == ("pickup",)
    assert route.abandons == ("pay",)


def test_facts_of_a_run_may_take_a_tool_down() -> None:
    world = quotes()
    down = PriceFacts("buy", 1, 0, 0, 1, 1, 0.0)
    found = impasse(world, Problem(("label",), {"parcel": None, "address": None}, facts={"buy": down}))
    assert found.blame == (Blame("buy", "circuit open"),)


def smallest_repair(world: World, problem: Problem) -> int | None:
    """By trying: the least number of unusable tools and transitions that, working again, open a route."""
    parts = [*problem.unusable, *problem.unusable_transitions]
    for size in range(len(parts) + 1):
        for mended in combinations(parts, size):
            tools = {name: reason for name, reason in problem.unusable.items() if name not in mended}
            barred = {edge: reason for edge, reason in problem.unusable_transitions.items() if edge not in mended}
            if solvable(world, replace(problem, unusable=tools, unusable_transitions=barred)):
                return size
    return None


def test_no_smaller_set_would_open_a_route() -> None:
    compared = 0
    for seed in range(400):
        random = Random(seed)
        world = random_world(random, tools=6, effects=False)
        problem = random_problem(random, world)
        names = sorted(world.graph.view().nodes)
        problem = replace(problem, unusable={name: "refused" for name in names if random.random() < 0.5})
        if solvable(world, problem):
            continue
        found = impasse(world, problem)
        least = smallest_repair(world, problem)
        assert len(found.blame) == (least or 0), seed
        if least:
            mended = replace(
                problem,
                unusable={n: r for n, r in problem.unusable.items() if n not in found.tools},
                unusable_transitions={
                    (a, b): r for (a, b), r in problem.unusable_transitions.items() if f"{a} -> {b}" not in found.tools
                },
            )
            assert solvable(world, mended), seed
            compared += 1
    assert compared > 40


def test_an_impasse_survives_json() -> None:
    found = impasse(quotes(), Problem(("label",), {"parcel": None}))
    assert Impasse.from_json(found.to_json()) == found
