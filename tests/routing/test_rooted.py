"""The distances that searches trust: never above the truth, whatever failed, recovered or was learned."""

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.route import Problem
from orchestrator.errors import NoRoute
from orchestrator.graph.price_table import PriceFacts
from orchestrator.routing import Planner
from orchestrator.routing.compiled import Compiled
from orchestrator.routing.paths.astar import shortest
from orchestrator.routing.paths.distances import Rooted
from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER, RoutingWeights

from .worlds import World, advance, random_problem, random_world


def true_distances(weights: RoutingWeights, goal: int) -> list[int]:
    """By relaxing every edge until nothing changes."""
    c = weights.compiled
    distance = [NEVER] * (c.begin + 1)
    distance[goal] = 0
    changed = True
    while changed:
        changed = False
        for t in c.tool.values():
            here = min([distance[c.tools + t], *(distance[k] for k in c.gives[t])])
            edges = [(c.tools + t, here)]
            for start in c.starts(t):
                before = c.before(start)
                through = here + weights.values[start]
                edges += [(k, through) for k in c.needs[t]]
                if before is not None:
                    edges.append((before, through))
                elif not c.needs[t]:
                    edges.append((c.begin, through))
            for place, d in edges:
                if d < distance[place]:
                    distance[place] = d
                    changed = True
    return distance


def assert_holds(root: Rooted) -> None:
    """No distance is above the truth."""
    truth = true_distances(root.weights, root.goal)
    c = root.weights.compiled
    for place in (*range(len(c.keys)), *(c.tools + t for t in c.tool.values()), c.begin):
        d = truth[place]
        folded = c.tools <= place < c.begin and c.target[place - c.tools] < c.tools
        assert folded or root.distance[place] <= d, c.place_name(place)


def live_through(random: Random, world: World) -> None:
    """Runs that share a planner, while tools fail and recover."""
    weights = RoutingWeights(Compiled(world.graph.view()), world.prices)
    roots: dict[int, Rooted] = {}
    planner = Planner(world.graph, world.prices, world.policy)
    names = sorted(world.graph.view().nodes)
    for _ in range(6):
        problem = random_problem(random, world)
        for _ in range(4):
            name = random.choice(names)
            (world.restore if name in world.health.successes else world.trip)(name)
            weights.sync()
            if random.random() < 0.3:
                cheap = PriceFacts(name, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
                problem = replace(problem, facts={name: cheap})
            situation = Situation(weights, problem)
            goal, mask = situation.open_goal()
            if len(goal) != 1 or goal[0] < 0:
                break
            root = roots.setdefault(goal[0], Rooted(weights, goal[0]))
            shortest(root, situation, mask, random.choice([None, 0, 10**18, NEVER]))
            assert_holds(root)
            try:
                route = planner.plan(problem)
            except NoRoute:
                break
            problem = next(advance(random, world, problem, route), problem)


@settings(max_examples=120)
@given(st.integers(0, 10**9))
def test_distances_never_exceed_the_truth(seed: int) -> None:
    random = Random(seed)
    live_through(random, random_world(random, tools=random.choice([4, 7, 10]), keys=5, effects=False))


def test_a_sweep_and_a_spread_agree_with_the_truth() -> None:
    for seed in range(60):
        random = Random(seed)
        world = random_world(random, tools=8, effects=False)
        weights = RoutingWeights(Compiled(world.graph.view()), world.prices)
        weights.sync()
        for goal in range(len(weights.compiled.keys)):
            nowhere = Situation(weights, Problem(("k",), {}))
            root = Rooted(weights, goal)
            root.prepare(nowhere)
            truth = true_distances(weights, goal)
            begin = weights.compiled.begin
            assert root.distance[begin] == min(truth[begin], root.radius)
            assert_holds(root)
