"""Agents of known competence: what choosing badly while learning costs, beside other rules."""

from collections.abc import Callable
from statistics import mean

from orchestrator.selection import Exploration
from tests.selection.worlds import (
    Choose,
    Learn,
    World,
    always_best,
    epsilon_greedy,
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
    "by skill, UCB": exploring("ucb"),
    "by skill, Thompson": exploring("thompson"),
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
        "one or two. Regret is how many more steps the agent that is best for each would have done well. Figures: "
        f"means over {len(SEEDS)} worlds. That the ranking of agents per skill is recovered, and drifted or new ones "
        "are found, is tested in `tests/selection/test_simulation.py`.",
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
    return [*lines, ""]


def _curve(rule: Rule, seed: int) -> list[float]:
    world = World.made(seed=seed)
    return regret(world, *rule(world), STEPS)
