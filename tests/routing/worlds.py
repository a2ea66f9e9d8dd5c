"""Random small graphs and the places where a run on them may stand."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from orchestrator.core.enums import START
from orchestrator.core.policy import Policy
from orchestrator.core.route import Problem, Route, StartedFrom
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import NoHealthFacts, PriceTable
from orchestrator.graph.tool import Tool
from orchestrator.graph.tool_options import ToolOptions


class Shaky(NoHealthFacts):
    """Health facts that a test sets by hand."""

    def __init__(self) -> None:
        self.successes: dict[str, float] = {}
        self.transitions: dict[tuple[str, str], float] = {}

    def success(self, name: str) -> float:
        return self.successes.get(name, 1.0)

    def transition_success(self, source: str, target: str) -> float:
        return self.transitions.get((source, target), 1.0)


class World:
    """A graph with prices."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.graph = ToolGraph()
        self.policy = policy or Policy()
        self.health = Shaky()
        self.prices = PriceTable(self.graph, self.policy, facts=self.health)

    def add(
        self,
        name: str,
        needs: list[str] | None = None,
        gives: str | list[str] | None = None,
        cost: float = 0.0,
        effect: str = "read",
        undo: float | None = None,
        optional: list[str] | None = None,
        latency: float = 0.0,
    ) -> None:
        """A tool that is never called."""
        taken = list(needs or [])
        more = list(optional or [])
        options: ToolOptions = {
            "name": name,
            "needs": {f"p{i}": key for i, key in enumerate([*taken, *more])},
            "gives": gives or name,
            "cost": cost,
            "effect": effect,
            "latency": latency,
        }
        if undo is not None:
            options |= {"compensate": print, "undo_cost": undo}
        self.graph.add(Tool(_signature(taken, more), **options))

    def trip(self, name: str) -> None:
        """Take a tool down."""
        self.health.successes[name] = 0.0
        self.prices.invalidate([name])

    def restore(self, name: str) -> None:
        """Bring it back."""
        self.health.successes.pop(name, None)
        self.prices.invalidate([name])


def _signature(needs: list[str], optional: list[str]) -> Callable[..., Any]:
    parameters = [f"p{i}" for i in range(len(needs))] + [
        f"p{i}=None" for i in range(len(needs), len(needs) + len(optional))
    ]
    made: Callable[..., Any] = eval(f"lambda {', '.join(parameters)}: None")
    return made


def random_world(random: Random, tools: int = 6, keys: int = 6, effects: bool = True) -> World:
    """Tools over few keys, some with transitions: alternatives, joins, circles and dead ends all occur."""
    world = World()
    names = [f"t{i}" for i in range(tools)]
    random.shuffle(names)
    for name in names:
        gives = sorted(random.sample(range(keys), random.choice([1, 1, 1, 2])))
        rest = [k for k in range(keys) if k not in gives]
        needs = random.sample(rest, min(len(rest), random.choice([0, 1, 1, 2, 2, 3])))
        optional = [random.choice(rest)] if random.random() < 0.15 and rest else []
        effect = random.choice(["read", "read", "write", "write", "irreversible"]) if effects else "read"
        world.add(
            name,
            [f"k{k}" for k in needs],
            [f"k{k}" for k in gives],
            cost=random.choice([0, 1, 1, 2, 3, 5, 8]) / 10,
            effect=effect,
            undo=random.choice([0.05, 0.3, 1.0]) if effect == "write" and random.random() < 0.7 else None,
            optional=[f"k{k}" for k in optional if k not in needs],
        )
    if random.random() < 0.6:
        for a in [START, *names]:
            for b in names:
                if a != b and random.random() < 0.15:
                    world.graph.connect(a, b, cost=random.choice([0, 1, 2, 4]) / 10)
    return world


def random_problem(random: Random, world: World, keys: int = 6) -> Problem:
    """The beginning of a run."""
    goal = random.sample(range(keys), random.choice([1, 1, 1, 2]))
    provided = random.sample(range(keys), random.choice([0, 1, 1, 2, 3]))
    unusable = {name: "refused" for name in world.graph.view().nodes if random.random() < 0.08}
    barred = {(t.source, t.target): "down" for t in world.graph.view().transitions if random.random() < 0.05}
    return Problem(
        tuple(f"k{k}" for k in goal),
        {f"k{k}": None for k in provided},
        unusable=unusable,
        unusable_transitions=barred,
    )


def advance(random: Random, world: World, problem: Problem, route: Route) -> Iterator[Problem]:
    """Where the run stands after each step of its route, one of which is then found broken."""
    at_hand, done, running = dict(problem.at_hand), dict(problem.done), dict(problem.running)
    for step in route.steps:
        if random.random() < 0.35:
            break
        running.pop(step.tool, None)
        done[step.tool] = StartedFrom(tuple(step.sources), step.via)
        for key in world.graph.view().nodes[step.tool].gives:
            at_hand.setdefault(key, step.tool)
        yield Problem(
            problem.goal, dict(at_hand), dict(done), dict(running), problem.unusable, problem.unusable_transitions
        )
    left = [s for s in route.steps if s.tool not in done]
    if not left:
        return
    broken = left[0]
    unusable = {**problem.unusable, broken.tool: "used up its retries"}
    for step in left[1:]:
        if set(step.after) <= done.keys() and broken.tool not in step.after and step.tool not in running:
            running[step.tool] = StartedFrom(tuple(step.sources), step.via)
            break
    running.pop(broken.tool, None)
    yield Problem(problem.goal, at_hand, done, running, unusable, problem.unusable_transitions)
