"""Planning as runs use it: determinism, revisions, replay, calls in flight, what was done, and bad input."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from orchestrator.core.enums import START
from orchestrator.core.policy import Policy
from orchestrator.core.route import Problem, Route, StartedFrom
from orchestrator.errors import DefinitionError, NoRoute
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import PriceFacts, PriceTable, RecordedHealthFacts
from orchestrator.graph.revision import GraphRevision
from orchestrator.graph.tool import Tool
from orchestrator.routing import Planner

from .worlds import World, advance, random_problem, random_world


def planner_of(world: World) -> Planner:
    """A planner that knows nothing yet."""
    return Planner(world.graph, world.prices, world.policy)


def parcels() -> World:
    """A dataflow with a join and a write."""
    world = World()
    world.add("api", ["parcel"], "quote", 0.002, latency=0.3)
    world.add("table", ["parcel"], "quote", 0.01)
    world.add("geocode", ["parcel"], "address", 0.001)
    world.add("buy", ["quote", "address"], "label", 0.1, effect="write", undo=0.5)
    world.add("mail", ["label"], "sent", 0.01, effect="irreversible")
    return world


PARCEL: dict[str, str | None] = {"parcel": None}


def test_a_join_with_its_order_sources_and_true_price() -> None:
    world = parcels()
    route = planner_of(world).plan(Problem(("sent",), PARCEL))
    assert route.tools == ("geocode", "api", "buy", "mail")
    buy, mail = route.steps[2:]
    assert buy.sources == {"quote": "api", "address": "geocode"}
    assert buy.after == ("geocode", "api")
    assert mail.after == ("buy",)
    assert route.pico == sum(step.pico for step in route.steps) == route.bound_pico
    assert route.price == sum(world.prices.price(tool) or 0 for tool in route.tools) / 10**12


def test_what_is_at_hand_costs_nothing_and_is_not_produced_again() -> None:
    route = planner_of(parcels()).plan(Problem(("label",), {**PARCEL, "quote": "api", "address": None}))
    assert route.tools == ("buy",)
    assert route.steps[0].sources == {"quote": "api", "address": None}
    reached = planner_of(parcels()).plan(Problem(("label",), {"label": None}))
    assert (reached.steps, reached.pico, reached.bound_pico) == ((), 0, 0)


def test_a_call_in_flight_costs_nothing_and_is_a_step() -> None:
    problem = Problem(("label",), PARCEL, running={"table": StartedFrom(("parcel",))})
    route = planner_of(parcels()).plan(problem)
    assert set(route.tools) == {"table", "geocode", "buy"}
    assert route.tools[0] == "table"
    step = route.steps[0]
    assert (step.pico, step.sources, step.after) == (0, {"parcel": None}, ())
    assert "table" in route.steps[-1].after


def test_an_optional_key_is_taken_when_it_is_there() -> None:
    world = World()
    world.add("hint", ["k"], "hints", 0.1)
    world.add("write", ["k"], "text", 0.1, optional=["hints"])
    world.add("both", ["text", "hints"], "goal", 0.1)
    alone = planner_of(world).plan(Problem(("text",), {"k": None}))
    assert alone.steps[0].sources == {"k": None}
    given = planner_of(world).plan(Problem(("text",), {"k": None, "hints": None}))
    assert given.steps[0].sources == {"k": None, "hints": None}
    joined = planner_of(world).plan(Problem(("goal",), {"k": None}))
    assert [step.sources for step in joined.steps if step.tool == "write"] == [{"k": None, "hints": "hint"}]


def test_an_abandoned_write_is_paid_for() -> None:
    world = World()
    world.add("hotel", ["k"], "hotel", 0.1, effect="write", undo=1.0)
    world.add("car", ["hotel"], "trip", 3.0)
    world.add("package", ["k"], "trip", 2.5)
    stands = Problem(("trip",), {"k": None, "hotel": "hotel"}, {"hotel": StartedFrom(("k",))})
    kept = planner_of(world).plan(stands)
    assert (kept.tools, kept.abandons) == (("car",), ())
    left = planner_of(world).plan(replace(stands, unusable={"car": "refused"}))
    assert (left.tools, left.abandons) == (("package",), ("hotel",))
    assert left.pico == (world.prices.price("package") or 0) + 10**12


def test_a_provided_value_counts_as_done_for_the_tools_that_give_it() -> None:
    world = World()
    world.add("login", [], "session", 5.0)
    world.add("fetch", [], "page", 1.0)
    world.graph.connect("login", "fetch", cost=0.5)
    world.graph.connect(START, "login")
    route = planner_of(world).plan(Problem(("page",), {"session": None}))
    assert [(step.tool, step.via, step.after) for step in route.steps] == [("fetch", "login", ())]


def test_equal_facts_give_equal_routes_whatever_the_order_of_writing() -> None:
    for seed in range(40):
        first = planned_shuffled(seed, 0)
        assert all(planned_shuffled(seed, shuffle) == first for shuffle in (1, 2)), seed


def test_the_hash_seed_does_not_matter() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-m", "tests.routing.test_planner"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert "t3" in said.pop()


def planned_shuffled(seed: int, shuffle: int) -> tuple[object, ...]:
    """A route on one graph, written in another order."""
    model = random_world(Random(seed), tools=7, keys=5)
    problem = random_problem(Random(seed + 1), model, keys=5)
    tools, transitions = list(model.graph), list(model.graph.view().transitions)
    Random(shuffle).shuffle(tools)
    Random(shuffle).shuffle(transitions)
    graph = ToolGraph()
    for tool in tools:
        graph.add(tool)
    for t in transitions:
        graph.connect(t.source, t.target, t.cost)
    try:
        route = Planner(graph, PriceTable(graph, Policy()), Policy()).plan(problem)
    except NoRoute as no_route:
        return (no_route.impasse,)
    return route.steps, route.pico, route.abandons


def test_what_was_planned_before_does_not_matter() -> None:
    for seed in range(60):
        random = Random(seed)
        world = random_world(random, tools=7, keys=5)
        old = planner_of(world)
        names = sorted(world.graph.view().nodes)
        problem = random_problem(random, world, keys=5)
        for _ in range(6):
            name = random.choice(names)
            (world.restore if name in world.health.successes else world.trip)(name)
            known, fresh = outcome(old, problem), outcome(planner_of(world), problem)
            assert known == fresh, seed
            if isinstance(known, Route):
                problem = next(advance(random, world, problem, known), problem)


def outcome(planner: Planner, problem: Problem) -> object:
    """A route or an impasse."""
    try:
        return planner.plan(problem)
    except NoRoute as no_route:
        return no_route.impasse


def test_a_record_gives_the_same_route() -> None:
    for seed in range(60):
        random = Random(seed)
        world = random_world(random, tools=6)
        for name in sorted(world.graph.view().nodes):
            world.health.successes[name] = random.choice([0.0, 0.5, 0.9])
        for t in world.graph.view().transitions:
            world.health.transitions[t.source, t.target] = random.choice([0.0, 0.5, 1.0, 1.0])
        problem = random_problem(random, world)
        record, view = world.prices.record(world.graph.view()), GraphRevision.from_json(world.graph.view().to_json())
        planner = planner_of(world)
        planned = outcome(planner, problem)
        try:
            prices = PriceTable(view, world.policy, None, RecordedHealthFacts(record))
            again: object = Planner(ToolGraph(), prices, world.policy).plan(problem, view)
        except NoRoute as no_route:
            again = no_route.impasse
        assert again == planned, seed


def test_facts_of_one_run_do_not_touch_the_next() -> None:
    world = parcels()
    planner = planner_of(world)
    usual = planner.plan(Problem(("quote",), PARCEL))
    assert usual.tools == ("api",)
    cheap = PriceFacts("table", 0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
    dear = PriceFacts("api", 9.0, 0.0, 0.0, 1.0, 1.0, 1.0)
    assert planner.plan(Problem(("quote",), PARCEL, facts={"table": cheap})).tools == ("table",)
    assert planner.plan(Problem(("quote",), PARCEL, facts={"api": dear})).tools == ("table",)
    assert planner.plan(Problem(("quote",), PARCEL)) == usual


def test_each_plan_is_of_one_revision() -> None:
    world = parcels()
    planner = planner_of(world)
    old = world.graph.view()
    world.add("free", ["parcel"], "quote", 0.0)
    assert planner.plan(Problem(("quote",), PARCEL)).tools == ("free",)
    pinned = planner.plan(Problem(("quote",), PARCEL), old)
    assert (pinned.tools, pinned.revision) == (("api",), old.revision)
    world.graph.remove("free")
    world.graph.remove("api")
    assert planner.plan(Problem(("quote",), PARCEL)).tools == ("table",)
    dear = Tool(lambda parcel: None, name="table", gives="quote", cost=5.0)
    with world.graph.override(dear):
        assert planner.plan(Problem(("quote",), PARCEL)).price > 5
    assert planner.plan(Problem(("quote",), PARCEL)).price < 1


def test_a_run_may_know_tools_that_are_gone() -> None:
    world = parcels()
    gone = Problem(
        ("label",),
        {**PARCEL, "quote": "vanished"},
        {"vanished": StartedFrom(("parcel",))},
        running={"vanishing": StartedFrom(())},
        unusable={"lost": "refused"},
        unusable_transitions={("lost", "buy"): "down", ("buy", "lost"): "down"},
        facts={"lost": PriceFacts("lost", 1, 1, 1, 1, 1, 1)},
    )
    route = planner_of(world).plan(gone)
    assert route.steps[-1].sources["quote"] == "vanished"


def test_plans_from_several_threads() -> None:
    world = random_world(Random(5), tools=12, keys=8, effects=False)
    planner = planner_of(world)
    problems = [random_problem(Random(seed), world, keys=8) for seed in range(60)]
    alone = [outcome(planner_of(world), problem) for problem in problems]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda problem: outcome(planner, problem), problems))
    assert together == alone


def test_a_user_pricing_that_is_wrong_is_an_error_and_no_wrong_plan() -> None:
    world = parcels()
    prices = PriceTable(world.graph, world.policy, lambda facts: -1.0)
    with pytest.raises(DefinitionError, match="pricing gave"):
        Planner(world.graph, prices, world.policy).plan(Problem(("label",), PARCEL))


def test_a_user_pricing_needs_no_floor() -> None:
    world = parcels()
    prices = PriceTable(world.graph, world.policy, lambda facts: 1.0 if facts.tool == "table" else 2.0)
    planner = Planner(world.graph, prices, world.policy)
    assert planner.plan(Problem(("quote",), PARCEL)).tools == ("table",)


def test_two_tools_do_not_produce_the_same_key_where_one_will_do() -> None:
    world = World()
    world.add("pair", ["k"], ["a", "b"], 1.0)
    world.add("only_a", ["k"], "a", 0.5)
    world.add("join", ["a", "b"], "goal", 0.1)
    route = planner_of(world).plan(Problem(("goal",), {"k": None}))
    assert route.tools == ("pair", "join")


def test_deep_and_wide_graphs_are_planned() -> None:
    world = World()
    for i in range(1500):
        world.add(f"t{i:04}", [f"k{i}"], f"k{i + 1}", 0.001)
    route = planner_of(world).plan(Problem(("k1500",), {"k0": None}))
    assert len(route.steps) == 1500
    joined = World()
    for i in range(600):
        joined.add(f"a{i:03}", [f"k{i}"], f"l{i}", 0.001)
        joined.add(f"b{i:03}", [f"k{i}"], f"m{i}", 0.001)
        joined.add(f"c{i:03}", [f"l{i}", f"m{i}"], f"k{i + 1}", 0.001)
    route = planner_of(joined).plan(Problem(("k600",), {"k0": None}))
    assert len(route.steps) == 1800
    assert route.bound_pico == route.pico
    done = {step.tool: StartedFrom(tuple(step.sources), step.via) for step in route.steps[:1500]}
    at_hand: dict[str, str | None] = {"k0": None}
    for name in done:
        at_hand.update(dict.fromkeys(joined.graph.view().nodes[name].gives, name))
    assert len(planner_of(joined).plan(Problem(("k600",), at_hand, done)).steps) == 300


def test_forgetting_changes_nothing() -> None:
    world = parcels()
    planner = planner_of(world)
    first = planner.plan(Problem(("sent",), PARCEL))
    planner.forget()
    assert planner.plan(Problem(("sent",), PARCEL)) == first


if __name__ == "__main__":
    for number in range(60):
        print(planned_shuffled(number, 0))
