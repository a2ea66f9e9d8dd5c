"""Walking downhill: when it finds the best path by itself, and when it leaves it to the search."""

from orchestrator.core.route import Problem, StartedFrom
from orchestrator.routing.compiled import Compiled
from orchestrator.routing.paths.distances import Rooted
from orchestrator.routing.paths.walk import MAX_CORRECTIONS, walk
from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import RoutingWeights

from .worlds import World

START_KEY: dict[str, str | None] = {"k0": None}


class Ladder:
    """Keys k0 ... k`rungs`, with a cheap and a dear tool from each to the next; all learned distances stay."""

    def __init__(self, rungs: int, *, dear: float = 3.0) -> None:
        self.world = World()
        for i in range(rungs):
            self.world.add(f"cheap{i}", [f"k{i}"], f"k{i + 1}", 1.0)
            self.world.add(f"dear{i}", [f"k{i}"], f"k{i + 1}", dear)
        self.goal = f"k{rungs}"
        self.weights = RoutingWeights(Compiled(self.world.graph.view()), self.world.prices)
        self.root = Rooted(self.weights, self.weights.compiled.key[self.goal])

    def walk(self, problem: Problem | None = None) -> list[str] | None:
        """The tools of the walk."""
        self.weights.sync()
        situation = Situation(self.weights, problem or Problem((self.goal,), START_KEY))
        self.root.prepare(situation)
        walked = walk(self.root, situation)
        if walked is None:
            return None
        assert walked[0] == sum(self.weights.values[start] for _, start in walked[1])
        return [self.weights.compiled.names[tool] for tool, _ in walked[1]]


def test_the_first_walk_and_the_one_after_a_failure_and_a_recovery() -> None:
    ladder = Ladder(4)
    assert ladder.walk() == ["cheap0", "cheap1", "cheap2", "cheap3"]
    ladder.world.trip("cheap2")
    assert ladder.walk() == ["cheap0", "cheap1", "dear2", "cheap3"]
    stands = Problem((ladder.goal,), {**START_KEY, "k1": "cheap0"}, {"cheap0": StartedFrom(("k0",))})
    assert ladder.walk(stands) == ["cheap1", "dear2", "cheap3"]
    ladder.world.restore("cheap2")
    assert ladder.walk() == ["cheap0", "cheap1", "cheap2", "cheap3"]


def test_several_best_paths_are_left_to_the_search() -> None:
    ladder = Ladder(3, dear=1.0)
    assert ladder.walk() is None
    ladder.world.trip("dear0")
    ladder.world.trip("dear2")
    assert ladder.walk() is None
    ladder.world.trip("dear1")
    assert ladder.walk() == ["cheap0", "cheap1", "cheap2"]


def test_a_tool_that_this_run_may_not_start_is_left_to_the_search() -> None:
    ladder = Ladder(3)
    assert ladder.walk(Problem((ladder.goal,), START_KEY, unusable={"cheap1": "refused"})) is None
    assert ladder.walk() == ["cheap0", "cheap1", "cheap2"]


def test_a_goal_out_of_reach_and_too_much_to_correct_are_left_to_the_search() -> None:
    ladder = Ladder(MAX_CORRECTIONS + 2)
    assert ladder.walk() is not None
    ladder.world.trip(f"cheap{MAX_CORRECTIONS + 1}")
    assert ladder.walk() is None
    short = Ladder(2)
    for name in ("cheap0", "dear0"):
        short.world.trip(name)
    assert short.walk() is None
