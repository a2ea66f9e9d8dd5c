"""A planner that follows a graph through changes decides as one that sees it for the first time."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.enums import START
from orchestrator.core.errors import DefinitionError
from orchestrator.core.outcome import NoRoute
from orchestrator.core.route import Problem, Route
from orchestrator.graph.price_table import PriceFacts, PriceTable
from orchestrator.graph.revision import GraphRevision
from orchestrator.graph.tool import Tool
from orchestrator.routing import Planner
from orchestrator.routing import growth as growing
from orchestrator.routing.compiled import Compiled
from orchestrator.routing.situation import Situation
from tests.routing.brute import brute_force
from tests.routing.test_rooted import assert_holds
from tests.routing.worlds import World, advance, random_problem, random_world


def change(random: Random, world: World, number: int) -> None:
    """One change of the graph: a tool added, removed or replaced, or a transition."""
    graph = world.graph
    names = sorted(graph.view().nodes)
    kind = random.choice(["add", "add", "remove", "replace", "connect", "connect", "again"])
    with suppress(DefinitionError):
        if kind == "remove" and len(names) > 2:
            graph.remove(random.choice(names))
        elif kind == "connect":
            graph.connect(random.choice([START, *names]), random.choice(names), cost=random.choice([0, 1, 2]) / 10)
        elif kind == "replace":
            other = _made(random, random.choice(names))
            graph.replace(other)
        elif kind == "again":
            tool = graph.remove(random.choice(names))
            graph.add(tool)
        else:
            graph.add(_made(random, f"{random.choice('asxz')}{number}"))


def _made(random: Random, name: str) -> Tool:
    world = World()
    rest = random.sample(range(8), 4)
    count = random.choice([0, 1, 1, 2])
    world.add(name, [f"k{k}" for k in rest[:count]], [f"k{rest[3]}"], cost=random.choice([0, 1, 2, 3]) / 10)
    return world.graph[name]


def told(planner: Planner, problem: Problem) -> Route | str:
    """The route, or why there is none."""
    try:
        return planner.plan(problem)
    except NoRoute as error:
        return repr(error.impasse)


def same(one: Route | str, other: Route | str) -> bool:
    """Whether two planners say the same, their alternatives included."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return one == other and one.bound_pico == other.bound_pico and one.alternatives == other.alternatives


def changing(seed: int, *, keys: int = 6, tools: int = 6) -> Iterator[tuple[World, Planner, Problem]]:
    """A planner that lives through changes of its graph, with failures and runs between them."""
    random = Random(seed)
    world = random_world(random, tools=tools, keys=keys)
    planner = Planner(world.graph, world.prices, world.policy)
    for number in range(12):
        for _ in range(random.choice([1, 1, 1, 3])):
            change(random, world, number)
        names = sorted(world.graph.view().nodes)
        if random.random() < 0.4:
            name = random.choice(names)
            (world.restore if name in world.health.successes else world.trip)(name)
        problem = random_problem(random, world)
        yield world, planner, problem
        with suppress(NoRoute):
            route = planner.plan(problem)
            for later in list(advance(random, world, problem, route))[:2]:
                yield world, planner, later


@settings(max_examples=60)
@given(st.integers(0, 10**9))
def test_the_same_decisions_as_a_planner_that_starts_anew(seed: int) -> None:
    for world, planner, problem in changing(seed):
        view = world.graph.view()
        anew = Planner(world.graph, world.prices, world.policy)
        grown, expected = told(planner, problem), told(anew, problem)
        assert same(grown, expected), (seed, grown, expected)
        rebuilt = GraphRevision.from_json(view.to_json())
        assert view.digest == rebuilt.digest
        assert list(view.nodes) == sorted(view.nodes) == sorted(tool.name for tool in world.graph)
        for key in sorted(view.keys | rebuilt.keys):
            assert view.producers(key) == rebuilt.producers(key)
            assert view.consumers(key) == rebuilt.consumers(key)
        for name in view.nodes:
            assert view.incoming(name) == rebuilt.incoming(name)
        for goal in view.keys:
            assert view.relevant((goal,)) == rebuilt.relevant((goal,))


@settings(max_examples=60)
@given(st.integers(0, 10**9))
def test_the_best_of_all_plans(seed: int) -> None:
    for world, planner, problem in changing(seed, keys=5, tools=4):
        if len(world.graph) > 7:
            return
        route = told(planner, problem)
        best = brute_force(world.graph.view(), world.prices, problem)
        if isinstance(route, str):
            assert best is None
        else:
            started = tuple(sorted(step.tool for step in route.steps if step.tool not in problem.running))
            assert best is not None
            assert (route.pico, len(started), started) == best


@settings(max_examples=60)
@given(st.integers(0, 10**9))
def test_distances_stay_below_the_truth(seed: int) -> None:
    for _, planner, problem in changing(seed):
        told(planner, problem)
        weights = planner.weights()
        for ground in planner._grounds.values():  # pyright: ignore[reportPrivateUsage]
            for root in ground.roots.values() if ground.weights is weights else ():
                root.prepare(Situation(weights, Problem((), {})))
                assert_holds(root)


def chain(length: int) -> World:
    """A chain of tools, `k0` to `k<length>`."""
    world = World()
    for i in range(length):
        world.add(f"t{i:05}", [f"k{i}"], [f"k{i + 1}"], cost=0.1)
    return world


def test_a_graph_that_grows_by_one_tool_is_not_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    world = chain(50)
    planner = Planner(world.graph, world.prices, world.policy)
    problem = Problem(("k50",), {"k0": None})
    before = planner.plan(problem)
    made: list[Compiled] = []
    number = Compiled.__init__

    def noted(self: Compiled, view: GraphRevision) -> None:
        made.append(self)
        number(self, view)

    monkeypatch.setattr(Compiled, "__init__", noted)
    for i in range(300):
        world.add(f"z{i}", ["k0"], [f"z{i}"], cost=0.1)
        assert planner.plan(problem).tools == before.tools
    world.add("shortcut", ["k10"], ["k40"], cost=0.1)
    assert len(planner.plan(problem).tools) == 21
    world.graph.remove("shortcut")
    assert planner.plan(problem).tools == before.tools
    assert len(made) < 6, "room for more grows with the graph"


def test_a_route_is_explained_by_the_graph_that_it_was_chosen_on() -> None:
    world = chain(3)
    world.add("dear", ["k1"], ["k2"], cost=0.5)
    planner = Planner(world.graph, world.prices, world.policy)
    route = planner.plan(Problem(("k3",), {"k0": None}))
    world.add("cheap", ["k1"], ["k2"], cost=0.01)
    assert "cheap" in planner.plan(Problem(("k3",), {"k0": None})).tools
    assert {tool for other in route.alternatives for tool in other.tools} == {"t00000", "dear", "t00002"}


def test_a_revision_of_before_is_planned_on_as_it_was() -> None:
    world = chain(3)
    planner = Planner(world.graph, world.prices, world.policy)
    problem, old = Problem(("k3",), {"k0": None}), world.graph.view()
    before = planner.plan(problem)
    world.add("shortcut", ["k0"], ["k3"], cost=0.1)
    assert planner.plan(problem).tools == ("shortcut",)
    assert planner.plan(problem, old) == before
    world.graph.remove("t00001")
    assert planner.plan(problem, old) == before
    assert planner.plan(problem).tools == ("shortcut",)


def test_growing_is_left_off_where_much_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = chain(10)
    planner = Planner(world.graph, world.prices, world.policy)
    problem = Problem(("k10",), {"k0": None})
    planner.plan(problem)
    grown: list[bool] = []
    grow = growing.grow
    monkeypatch.setattr("orchestrator.routing.planner.grow", lambda c, v: grown.append(grow(c, v)) or grown[-1])
    for i in range(200):
        world.add(f"z{i}", ["k0"], [f"z{i}"], cost=0.1)
    assert len(planner.plan(problem).tools) == 10
    assert grown[:1] == [True], "the first change finds a plan made, and is taken in at once"
    assert grown[1:] in ([False], [])


def test_a_change_takes_itself_in_so_that_the_next_plan_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    world = chain(10)
    planner = Planner(world.graph, world.prices, world.policy)
    problem = Problem(("k10",), {"k0": None})
    planner.plan(problem)
    world.add("shortcut", ["k0"], ["k9"], cost=0.01)

    def late(c: Compiled, view: GraphRevision) -> bool:
        raise AssertionError("the plan pays for the change")

    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.routing.planner.grow", late)
        assert planner.plan(problem).tools == ("shortcut", "t00009")
    world.graph.remove("shortcut")
    assert len(planner.plan(problem).tools) == 10


def test_a_pricing_that_raises_does_so_in_the_plan_and_not_in_the_change() -> None:
    def pricing(facts: PriceFacts) -> float:
        if facts.tool == "odd":
            raise ValueError("no price")
        return facts.money

    world = chain(3)
    prices = PriceTable(world.graph, world.policy, pricing)
    planner = Planner(world.graph, prices, world.policy)
    problem = Problem(("k3",), {"k0": None})
    planner.plan(problem)
    world.add("odd", ["k0"], ["k3"], cost=0.01)
    with pytest.raises(DefinitionError, match="'odd'"):
        planner.plan(problem)
    world.graph.remove("odd")
    assert len(planner.plan(problem).tools) == 3


def test_a_graph_keeps_no_planner_alive() -> None:
    world = chain(3)
    planner = Planner(world.graph, world.prices, world.policy)
    planner.plan(Problem(("k3",), {"k0": None}))
    kept = weakref.ref(planner)
    del planner
    gc.collect()
    assert kept() is None


def test_a_tool_whose_way_in_was_removed_stays_closed_though_a_value_of_it_is_provided() -> None:
    world = World()
    world.add("gate", [], ["opened"], cost=0.1)
    world.add("guarded", [], ["a", "b"], cost=0.1)
    world.graph.connect("gate", "guarded")
    world.graph.remove("gate")
    planner = Planner(world.graph, world.prices, world.policy)
    assert "Nobody" not in str(told(planner, Problem(("b",), {"a": None})))
    assert isinstance(told(planner, Problem(("b",), {"a": None})), str)
    world.add("gate", [], ["opened"], cost=0.1)
    assert isinstance(told(planner, Problem(("b",), {"a": None})), str)
    world.graph.connect("gate", "guarded")
    assert planner.plan(Problem(("b",), {"a": None})).tools == ("gate", "guarded")
