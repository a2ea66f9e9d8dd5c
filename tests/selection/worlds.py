"""Worlds where it is known who can do what: what a selector learns can be held against the truth."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from orchestrator.core.policy import Policy
from orchestrator.selection import Demand, Exploration, Selector
from tests.selection.workers import worker

QUALITY = Policy(quality_value=1.0, step_cost=0.0)
"""Only competence counts, so that regret is measured in work well done."""


@dataclass
class World:
    """Agents with hidden competence per skill, and steps that demand one or two skills."""

    seed: int
    skills: tuple[str, ...]
    truth: dict[str, dict[str, float]]
    """Agent -> skill -> chance of doing well."""
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    @classmethod
    def made(cls, seed: int, agents: int = 8, skills: int = 6) -> "World":
        """Competences spread as widely as Beta(2, 2)."""
        draw = Random(seed + 1000)
        names = tuple(f"s{n}" for n in range(skills))
        truth = {f"a{n}": {skill: draw.betavariate(2, 2) for skill in names} for n in range(agents)}
        return cls(seed, names, truth)

    def step(self) -> Demand:
        """What the next step demands."""
        first, second = self.random.choice(self.skills), self.random.choice(self.skills)
        return Demand({first: 0.8, second: 0.2} if second != first and self.random.random() < 0.3 else first)

    def chance(self, agent: str, demand: Demand) -> float:
        """How likely an agent is to do well."""
        return sum(share * self.truth[agent][skill] for skill, share in demand.items)

    def best(self, demand: Demand) -> float:
        """How likely the best agent is."""
        return max(self.chance(agent, demand) for agent in self.truth)

    def selector(self, exploration: Exploration | None) -> Selector:
        """A selector whose agents all claim everything."""
        agents = [worker(name, skills=self.skills) for name in sorted(self.truth)]
        return Selector(agents, policy=QUALITY, exploration=exploration)


Choose = Callable[[Demand], str]
Learn = Callable[[str, Demand, bool], None]


def regret(world: World, choose: Choose, learn: Learn, steps: int) -> list[float]:
    """Cumulated regret against the oracle after each step."""
    total, curve = 0.0, list[float]()
    for _ in range(steps):
        demand = world.step()
        agent = choose(demand)
        total += world.best(demand) - world.chance(agent, demand)
        curve.append(total)
        learn(agent, demand, world.random.random() < world.chance(agent, demand))
    return curve


def with_selector(selector: Selector, every: int = 5) -> tuple[Choose, Learn]:
    """A selector as a rule; it learns in batches, as it does beside running work."""
    count = 0

    def learn(agent: str, demand: Demand, success: bool) -> None:
        nonlocal count
        count += 1
        selector.learn(agent, demand, success)
        if count % every == 0:
            selector.apply_pending()

    return lambda demand: selector.select(demand).agent, learn


def epsilon_greedy(world: World, epsilon: float = 0.1) -> tuple[Choose, Learn]:
    """The best mean so far under the leading skill, and now and then anyone."""
    draw = Random(world.seed)
    names = sorted(world.truth)
    counts = {(name, skill): [0.5, 1.0] for name in names for skill in world.skills}

    def leading(demand: Demand) -> str:
        return max(demand.items, key=lambda item: item[1])[0]

    def choose(demand: Demand) -> str:
        if draw.random() < epsilon:
            return draw.choice(names)
        return max(names, key=lambda name: counts[name, leading(demand)][0] / counts[name, leading(demand)][1])

    def learn(agent: str, demand: Demand, success: bool) -> None:
        counts[agent, leading(demand)][0] += success
        counts[agent, leading(demand)][1] += 1

    return choose, learn


def nearest_neighbours(world: World, k: int = 20) -> tuple[Choose, Learn]:
    """The best mean of the agent's k most similar outcomes; one never seen counts as 0.5."""
    names = sorted(world.truth)
    places = {skill: place for place, skill in enumerate(world.skills)}
    seen: dict[str, list[list[float]]] = {name: [] for name in names}
    won: dict[str, list[float]] = {name: [] for name in names}

    def vector(demand: Demand) -> list[float]:
        row = [0.0] * len(places)
        for skill, share in demand.items:
            row[places[skill]] = share
        return row

    def mean(name: str, at: list[float]) -> float:
        if not seen[name]:
            return 0.5
        rows = np.array(seen[name][-500:])
        near = np.argsort(np.abs(rows - np.array(at)).sum(axis=1), kind="stable")[:k]
        return float(np.mean(np.array(won[name][-500:])[near]))

    def choose(demand: Demand) -> str:
        at = vector(demand)
        return max(names, key=lambda name: mean(name, at))

    def learn(agent: str, demand: Demand, success: bool) -> None:
        seen[agent].append(vector(demand))
        won[agent].append(float(success))

    return choose, learn


def always_best(world: World) -> tuple[Choose, Learn]:
    """The one agent that is best on average, known beforehand."""
    best = max(sorted(world.truth), key=lambda name: sum(world.truth[name].values()))
    return lambda demand: best, lambda agent, demand, success: None


def linear_bandit(world: World, alpha: float = 1.0) -> tuple[Choose, Learn]:
    """LinUCB (Li et al., WWW 2010) over the weights of the demand, one ridge regression per agent."""
    places = {skill: place for place, skill in enumerate(world.skills)}
    gram: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    won: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}

    def vector(demand: Demand) -> np.ndarray[Any, np.dtype[np.float64]]:
        row = np.zeros(len(places))
        for skill, share in demand.items:
            row[places[skill]] = share
        return row

    def upper(name: str, at: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        inverse = np.linalg.inv(gram.setdefault(name, np.eye(len(places))))
        mean = at @ inverse @ won.setdefault(name, np.zeros(len(places)))
        return float(mean + alpha * np.sqrt(at @ inverse @ at))

    def choose(demand: Demand) -> str:
        at = vector(demand)
        return max(sorted(world.truth), key=lambda name: upper(name, at))

    def learn(agent: str, demand: Demand, success: bool) -> None:
        at = vector(demand)
        gram[agent] = gram.setdefault(agent, np.eye(len(places))) + np.outer(at, at)
        won[agent] = won.setdefault(agent, np.zeros(len(places))) + success * at

    return choose, learn
