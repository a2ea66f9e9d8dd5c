"""Agents of known competence: what choosing badly while learning costs, beside other rules."""

from collections.abc import Callable
from random import Random
from statistics import mean

from orchestrator.selection import Exploration
from tests.selection.workers import worker
from tests.selection.worlds import (
    Choose,
    Learn,
    World,
    always_best,
    epsilon_greedy,
    linear_bandit,
    nearest_neighbours,
    regret,
    with_selector,
)

STEPS = 5000
SEEDS = (1, 2, 3, 4, 5)
Rule = Callable[[World], tuple[Choose, Learn]]


def exploring(strategy: str) -> Rule:
    """A selector that explores this way, under the seed of the world."""
    return lambda world: with_selector(world.selector(Exploration(strategy, seed=world.seed)))


RULES: dict[str, Rule] = {
    "by skill, best estimate": lambda world: with_selector(world.selector(None)),
    "by skill, UCB": exploring("ucb"),
    "LinUCB": linear_bandit,
    "ε-greedy (0.1)": epsilon_greedy,
    "kNN (20)": nearest_neighbours,
    "always the best agent on average, known beforehand": always_best,
}


def simulation() -> list[str]:
    """The regret of every rule in the same worlds, as Markdown."""
    lines = [
        "## Simulated worlds",
        "",
        f"8 agents with a hidden competence in each of 6 skills, drawn from Beta(2, 2); {STEPS:,} steps that ask for "
        "one or two. Regret is the number of steps that are lost compared with always choosing the best agent. "
        f"Figures are means over {len(SEEDS)} worlds. `tests/selection/test_simulation.py` tests that the ranking of "
        "agents per skill is recovered, and that drifted and new agents are found.",
        "",
        "| rule | regret | in the first quarter | in the last quarter | below ε-greedy in |",
        "|---|---|---|---|---|",
    ]
    curves = {name: [_curve(rule, seed) for seed in SEEDS] for name, rule in RULES.items()}
    ends = [curve[-1] for curve in curves["ε-greedy (0.1)"]]
    for name, found in curves.items():
        first, last = mean(c[STEPS // 4 - 1] for c in found), mean(c[-1] - c[STEPS * 3 // 4 - 1] for c in found)
        below = sum(curve[-1] < end for curve, end in zip(found, ends, strict=True))
        lines.append(
            f"| {name} | {mean(c[-1] for c in found):.0f} | {first:.0f} | {last:.0f} | {below} of {len(SEEDS)} |"
        )
    return [*lines, "", *changing()]


CHANGES = (
    "six newcomers",
    "six newcomers, incumbents that overclaim",
    "half of the agents drift, three times",
    "a worthless newcomer",
)
CHANGING_RULES: dict[str, Exploration | None] = {
    "by skill, best estimate": None,
    "by skill, UCB": Exploration("ucb", seed=1),
}


def changing() -> list[str]:
    """Regret in worlds that change while the rules learn, as Markdown."""
    lines = [
        f"The same with 6 agents, {STEPS:,} steps, in worlds that change. Newcomers come one at a time, at even "
        "distances, with competences from Beta(3, 2); incumbents that overclaim declare every skill and have half of "
        "what they claim; a worthless newcomer does 2 % of the work well.",
        "",
        f"| rule | {' | '.join(CHANGES)} |",
        "|---|" + "---|" * len(CHANGES),
    ]
    for name in (*CHANGING_RULES, "LinUCB"):
        found = [f"{mean(_changing(change, name, seed) for seed in SEEDS):.0f}" for change in CHANGES]
        lines.append(f"| {name} | {' | '.join(found)} |")
    return [*lines, ""]


def _changing(change: str, rule: str, seed: int) -> float:
    world = World.made(seed=seed, agents=6)
    draw = Random(seed + 77)
    if "overclaim" in change:
        world.truth = {a: {s: min(v, 0.1 + 0.5 * v) for s, v in of.items()} for a, of in world.truth.items()}
    selector = None if rule == "LinUCB" else world.selector(CHANGING_RULES[rule])
    choose, learn = linear_bandit(world) if selector is None else with_selector(selector)

    def added(name: str, truth: dict[str, float]) -> None:
        world.truth[name] = truth
        if selector is not None:
            selector.add(worker(name, skills=world.skills))

    total = 0.0
    for step in range(STEPS):
        if "newcomers" in change and step and step % (STEPS // 7) == 0:
            added(f"n{step}", {skill: draw.betavariate(3, 2) for skill in world.skills})
        if "worthless" in change and step == STEPS // 7:
            added("worthless", dict.fromkeys(world.skills, 0.02))
        if "drift" in change and step and step % (STEPS // 4) == 0:
            for agent in sorted(world.truth):
                if draw.random() < 0.5:
                    world.truth[agent] = {skill: draw.betavariate(2, 2) for skill in world.skills}
        total += regret(world, choose, learn, 1)[-1]
    return total


def _curve(rule: Rule, seed: int) -> list[float]:
    world = World.made(seed=seed)
    return regret(world, *rule(world), STEPS)
