"""A route without a choice is read off the graph, as the search finds it; where there is a choice, it is searched."""

from random import Random

from orchestrator.core.route import Problem
from orchestrator.routing.compiled import Compiled
from orchestrator.routing.paths.astar import shortest
from orchestrator.routing.paths.distances import Rooted
from orchestrator.routing.planner import LONGEST_READ, only_path
from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import RoutingWeights

from .worlds import World

GIVEN: dict[str, str | None] = {"k0": None}


def chain(length: int) -> World:
    """Keys k0 ... k`length`, one tool from each to the next."""
    world = World()
    for i in range(length):
        world.add(f"t{i}", [f"k{i}"], f"k{i + 1}", float(i % 3))
    return world


def situation(world: World, problem: Problem) -> Situation:
    """The problem on the world's graph, at its prices."""
    weights = RoutingWeights(Compiled(world.graph.view()), world.prices)
    weights.sync()
    return Situation(weights, problem)


def read(world: World, problem: Problem) -> list[str] | None:
    """The tools of the path that is read off, or `None`."""
    here = situation(world, problem)
    found = only_path(here, here.compiled.key[problem.goal[0]])
    return None if found is None else [here.compiled.names[tool] for tool, _ in found.starts]


def test_a_chain_is_read_off_from_the_keys_at_hand() -> None:
    assert read(chain(4), Problem(("k4",), GIVEN)) == ["t0", "t1", "t2", "t3"]
    assert read(chain(4), Problem(("k4",), {"k0": None, "k2": None})) == ["t2", "t3"]


def test_what_can_be_chosen_or_cannot_be_used_is_left_to_the_search() -> None:
    rival = chain(3)
    rival.add("other", ["k1"], "k2", 5.0)
    assert read(rival, Problem(("k3",), GIVEN)) is None
    assert read(chain(3), Problem(("k3",), {})) is None, "nothing gives k0"
    assert read(chain(3), Problem(("k3",), GIVEN, unusable={"t1": "it failed"})) is None
    down = chain(3)
    down.trip("t1")
    assert read(down, Problem(("k3",), GIVEN)) is None
    assert read(chain(LONGEST_READ + 1), Problem((f"k{LONGEST_READ + 1}",), GIVEN)) is None


def test_a_join_and_a_cycle_are_left_to_the_search() -> None:
    join = chain(3)
    join.add("joined", ["k1", "k3"], "end", 1.0)
    assert read(join, Problem(("end",), GIVEN)) is None
    assert read(join, Problem(("end",), {"k1": None, "k0": None})) is not None, "one of the two keys is at hand"
    cycle = World()
    cycle.add("a", ["x"], "y", 1.0)
    cycle.add("b", ["y"], "x", 1.0)
    assert read(cycle, Problem(("x",), {})) is None


def test_what_is_read_off_is_what_the_search_finds() -> None:
    random = Random(7)
    compared = 0
    for _ in range(300):
        world = World()
        for i in range(12):
            needs = random.sample([f"k{n}" for n in range(i + 1)], random.choice((0, 1, 1, 1, 2)) if i else 1)
            gives = f"k{random.choice((i + 1, i + 1, i))}"
            given = gives if gives not in needs else f"k{i + 1}"
            world.add(f"t{i}", needs, given, random.choice((0.0, 1.0, 2.5)))
        at_hand: dict[str, str | None] = {f"k{n}": None for n in random.sample(range(12), random.randrange(1, 4))}
        here = situation(world, Problem(("k12",), at_hand))
        goal = here.compiled.key.get("k12")
        found = None if goal is None or goal in here.free else only_path(here, goal)
        if found is not None and goal is not None:
            searched = shortest(Rooted(here.weights, goal), here, 0)
            assert (found.cost, list(found.starts)) == (searched.cost, list(searched.starts))
            assert searched.cost < searched.joined, "no plan with a join is better"
            compared += 1
    assert compared > 30
