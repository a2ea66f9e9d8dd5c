"""The same facts give the same plan: by a planner that has planned through many changes, and by one that is new."""

from dataclasses import replace
from random import Random

import pytest

from orchestrator.core.enums import START
from orchestrator.core.route import Problem, Route, StartedFrom
from orchestrator.graph.price_table import PriceTable
from orchestrator.routing import Planner

from .brute import brute_force
from .test_brute_force import planned, summary
from .worlds import World, advance

TOOLS = 9
"""Up to so many, every plan is compared as well."""


class Tied:
    """A graph in which most plans tie: few costs; tools that need nothing; transitions; joins only where wanted."""

    def __init__(self, random: Random, tools: int, keys: int, joins: float) -> None:
        self.random, self.keys, self.joins, self.added = random, keys, joins, 0
        self.transitions, self.effects = random.choice([0.0, 0.0, 0.1]), random.choice([0.0, 0.0, 0.2])
        self.costs = random.choice([[1], [1, 2], [0, 1, 2], [1, 2, 3]])
        self.world = World()
        for _ in range(tools):
            self.add()

    @property
    def names(self) -> list[str]:
        """The tools, sorted."""
        return sorted(self.world.graph.view().nodes)

    def add(self) -> None:
        """One more tool, whose name comes anywhere among the others."""
        random, name = self.random, f"t{self.random.randrange(10)}_{self.added}"
        self.added += 1
        gives = random.sample(range(self.keys), random.choice([1, 1, 1, 2]))
        rest = [k for k in range(self.keys) if k not in gives]
        count = random.choice([2, 3]) if random.random() < self.joins else random.choice([0, 1, 1, 1])
        effect = "write" if random.random() < self.effects else "read"
        self.world.add(
            name,
            [f"k{k}" for k in random.sample(rest, min(count, len(rest)))],
            [f"k{k}" for k in gives],
            cost=random.choice(self.costs),
            effect=effect,
            undo=1.0 if effect == "write" else None,
        )
        for other in [START, *self.names]:
            for a, b in ((other, name), (name, other)):
                if START != b != a and random.random() < self.transitions:
                    self.world.graph.connect(a, b, cost=random.choice([0, 0, 1]))

    def change(self) -> None:
        """A failure, a recovery, another price, a tool more or less."""
        random, world, names = self.random, self.world, self.names
        name = random.choice(names)
        if random.random() < 0.7:
            world.health.successes[name] = random.choice([0.0, 0.5, 1.0, 1.0])
            world.prices.invalidate([name])
        elif random.random() < 0.5 or len(names) < 4:
            self.add()
        else:
            world.graph.remove(name)

    def problem(self) -> Problem:
        """A run with some keys provided, some tools done, and some out."""
        random, view = self.random, self.world.graph.view()
        goal = random.sample(range(self.keys), random.choice([1, 1, 1, 1, 2]))
        at_hand: dict[str, str | None] = {
            f"k{k}": None for k in random.sample(range(self.keys), random.choice([0, 1, 2]))
        }
        done: dict[str, StartedFrom] = {}
        for name in random.sample(self.names, random.choice([0, 0, 1, 2])):
            if not view.incoming(name) and at_hand.keys() >= set(view.nodes[name].needs):
                done[name] = StartedFrom(tuple(view.nodes[name].needs))
                for key in view.nodes[name].gives:
                    at_hand.setdefault(key, name)
        unusable = {name: "refused" for name in self.names if name not in done and random.random() < 0.08}
        return Problem(tuple(f"k{k}" for k in goal), at_hand, done, unusable=unusable)

    def other_order(self) -> World:
        """The same graph and prices, put in in another order, where no transition is left of a removed tool."""
        view, world = self.world.graph.view(), World()
        if any(t.source not in (START, *view.nodes) for t in view.transitions):
            return self.world
        for name in self.random.sample(self.names, len(view.nodes)):
            world.graph.add(self.world.graph[name])
        for t in self.random.sample(list(view.transitions), len(view.transitions)):
            world.graph.connect(t.source, t.target, cost=t.cost)
        world.health.successes = dict(self.world.health.successes)
        return world

    def restated(self, problem: Problem) -> Problem:
        """The same run, in which the prices of some tools are given as its own facts."""
        names = [name for name in self.names if self.random.random() < 0.4]
        return replace(problem, facts={name: self.world.prices.facts(name) for name in names})


Plan = tuple[tuple[str, ...], int, tuple[object, ...]] | None


def plan_of(route: Route | None) -> Plan:
    """All of a route that a decision rests on."""
    return None if route is None else (route.tools, route.pico, (route.steps, route.abandons, route.bound_pico))


def compare(seed: int, *, joins: float, tools: int, changes: int = 12) -> int:
    """Plans of one long-lived planner that were compared with those of new ones."""
    random = Random(seed)
    tied = Tied(random, random.randint(3, tools), random.choice([3, 4, 6]), joins)
    world, compared = tied.world, 0
    live = Planner(world.graph, world.prices, world.policy)
    for _ in range(changes):
        tied.change()
        waiting = [tied.problem()]
        while waiting:
            problem = waiting.pop(0)
            route = planned(live, problem)
            other = tied.other_order()
            others = {
                "new planner": planned(Planner(world.graph, world.prices, world.policy), problem),
                "own facts": planned(live, tied.restated(problem)),
                "own facts, new planner": planned(
                    Planner(world.graph, PriceTable(world.graph, world.policy, facts=world.health), world.policy),
                    tied.restated(problem),
                ),
                "other order": planned(Planner(other.graph, other.prices, other.policy), problem),
            }
            for how, found in others.items():
                assert plan_of(found) == plan_of(route), (seed, how, problem)
            if len(tied.names) <= TOOLS:
                best = brute_force(world.graph.view(), world.prices, problem)
                assert summary(route, problem) == best, (seed, problem)
            compared += 1
            if route is not None and not problem.done and random.random() < 0.5:
                waiting += advance(random, world, problem, route)
    return compared


@pytest.mark.parametrize(("joins", "tools"), [(0.0, 8), (0.0, 20), (0.3, 8)])
def test_plans_do_not_depend_on_what_was_planned_before(joins: float, tools: int) -> None:
    assert sum(compare(seed, joins=joins, tools=tools) for seed in range(12)) > 144


@pytest.mark.campaign
@pytest.mark.parametrize(("joins", "tools"), [(0.0, 8), (0.0, 20), (0.3, 8), (0.15, 16)])
def test_plans_do_not_depend_on_what_was_planned_before_at_length(joins: float, tools: int) -> None:
    assert sum(compare(seed, joins=joins, tools=tools) for seed in range(10_000, 10_200)) > 2_400


def test_a_path_read_off_the_distances_that_ties_with_the_one_found_is_not_taken_for_the_only_one() -> None:
    world = World()
    world.add("b", ["k"], "goal", 1.0)
    world.add("c", [], "goal", 1.0)
    planner = Planner(world.graph, world.prices, world.policy)
    assert planner.plan(Problem(("goal",), {"k": None})).tools == ("b",)


def test_a_path_read_off_the_distances_that_costs_more_than_the_one_found_is_not_taken() -> None:
    world = World()
    world.add("b", ["k"], "goal", 1.0)
    world.add("c", [], "goal", 1.0)
    planner = Planner(world.graph, world.prices, world.policy)
    planner.plan(Problem(("goal",), {"k": None}))
    world.health.successes["c"] = 0.5
    world.prices.invalidate(["c"])
    assert planner.plan(Problem(("goal",), {"k": None})).tools == ("b",)
