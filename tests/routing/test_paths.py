"""Paths against networkx, through sequences of failures, recoveries and changes of price."""

from random import Random

import networkx as nx
import pytest

from orchestrator.core.enums import START
from orchestrator.core.route import Problem, StartedFrom
from orchestrator.errors import NoRoute
from orchestrator.graph.price_table import PICO
from orchestrator.routing import Planner

from .worlds import World

END = "end"


def typed(random: Random, tools: int, keys: int) -> World:
    """Tools that take one key and give one; circles occur."""
    world = World()
    for i in range(tools):
        need, give = random.sample(range(keys), 2)
        world.add(f"t{i:02}", [f"k{need}"], f"k{give}", cost=random.randrange(1, 9) / 8)
    return world


def connected(random: Random, tools: int) -> World:
    """Tools without keys, with transitions between them; circles occur."""
    world = World()
    names = [f"t{i:02}" for i in range(tools)]
    for name in names:
        world.add(name, [], f"from {name}", cost=random.randrange(1, 9) / 8)
    for b in names:
        for a in random.sample([START, *names], 3):
            if a != b:
                world.graph.connect(a, b, cost=random.randrange(1, 9) / 8)
    return world


def peer(world: World, problem: Problem) -> float:
    """The price of the best path by networkx; infinite when there is none."""
    view = world.graph.view()
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node(START)
    graph.add_node(END)
    for name, node in view.nodes.items():
        if name in problem.done or name in problem.unusable:
            continue
        for key in node.needs:
            pico = world.prices.price(name)
            if pico is not None:
                graph.add_edge(START if key in problem.at_hand else f"key {key}", f"tool {name}", weight=pico)
        for t in view.incoming(name):
            pico = world.prices.price(name, t.cost, source=t.source)
            if pico is not None:
                source = START if t.source == START or t.source in problem.done else f"tool {t.source}"
                known = graph.get_edge_data(source, f"tool {name}", {"weight": pico})["weight"]
                graph.add_edge(source, f"tool {name}", weight=min(pico, known))
        for key in node.gives:
            graph.add_edge(f"tool {name}", END if key in problem.goal else f"key {key}", weight=0)
    try:
        length: float = nx.dijkstra_path_length(graph, START, END)
        return length
    except nx.NetworkXNoPath:
        return float("inf")


def change(random: Random, world: World) -> None:
    """One tool fails, recovers, or becomes dearer or cheaper."""
    name = random.choice(sorted(world.graph.view().nodes))
    if random.random() < 0.4:
        world.health.successes[name] = 0.0
    elif random.random() < 0.5:
        world.health.successes[name] = random.choice([0.25, 0.5])
    else:
        world.health.successes.pop(name, None)
    world.prices.invalidate([name])


def follow(random: Random, world: World, planner: Planner, problem: Problem, rounds: int) -> int:
    """Plan, compare, take some steps, change prices, plan again."""
    for done in range(rounds):
        best = peer(world, problem)
        try:
            route = planner.plan(problem)
        except NoRoute:
            assert best == float("inf"), problem
            return done + 1
        assert route.pico == best, problem
        assert route.bound_pico == route.pico
        if route.steps and random.random() < 0.5:
            step = route.steps[0]
            at_hand = {**problem.at_hand}
            for key in world.graph.view().nodes[step.tool].gives:
                at_hand.setdefault(key, step.tool)
            taken = StartedFrom(tuple(step.sources), step.via)
            problem = Problem(problem.goal, at_hand, {**problem.done, step.tool: taken}, unusable=problem.unusable)
            if set(problem.goal) <= at_hand.keys():
                return done + 1
        elif random.random() < 0.2 and route.steps:
            problem = Problem(
                problem.goal, problem.at_hand, problem.done, unusable={**problem.unusable, route.tools[-1]: "refused"}
            )
        for _ in range(random.randrange(3)):
            change(random, world)
    return rounds


def compare(seed: int) -> int:
    """Comparisons on one graph; several goals share what is learned about prices, and runs share the goal's root."""
    random = Random(seed)
    tools = random.choice([6, 12, 24, 40])
    world = typed(random, tools, max(4, tools // 3)) if random.random() < 0.5 else connected(random, tools)
    planner = Planner(world.graph, world.prices, world.policy)
    keys = sorted(key for node in world.graph.view().nodes.values() for key in node.gives)
    compared = 0
    for goal in random.choices(keys, k=3):
        for _ in range(2):
            begin = next((k for k in ("k0", "k1") if k != goal), "k0")
            compared += follow(random, world, planner, Problem((goal,), {begin: None}), 8)
    return compared


def test_paths_are_shortest() -> None:
    assert sum(compare(seed) for seed in range(70)) > 1000


@pytest.mark.campaign
def test_paths_are_shortest_at_length() -> None:
    assert sum(compare(seed) for seed in range(1000, 1800)) > 10_000


def test_a_tie_goes_to_fewer_steps_then_to_names() -> None:
    world = World()
    world.policy = world.policy.model_copy(update={"step_cost": 0.0})
    world = World(world.policy)
    for name, needs, gives, cost in (
        ("zeta", ["k"], "goal", 2.0),
        ("one", ["k"], "mid", 1.0),
        ("two", ["mid"], "goal", 1.0),
        ("beta", ["k"], "goal", 2.0),
    ):
        world.add(name, needs, gives, cost)
    planner = Planner(world.graph, world.prices, world.policy)
    assert planner.plan(Problem(("goal",), {"k": None})).tools == ("beta",)
    world.trip("beta")
    assert planner.plan(Problem(("goal",), {"k": None})).tools == ("zeta",)
    world.trip("zeta")
    assert planner.plan(Problem(("goal",), {"k": None})).price * PICO == 2 * PICO


def test_tied_paths_compare_by_their_sorted_names() -> None:
    world = World()
    for name, needs, gives in (("b", ["k"], "x"), ("d", ["x"], "goal"), ("c", ["k"], "y"), ("a", ["y"], "goal")):
        world.add(name, needs, gives, 1.0)
    planner = Planner(world.graph, world.prices, world.policy)
    assert planner.plan(Problem(("goal",), {"k": None})).tools == ("c", "a")
