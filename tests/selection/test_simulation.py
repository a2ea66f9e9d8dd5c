"""A selector in worlds whose truth is known, under fixed seeds."""

import pytest

from orchestrator.selection import Demand, Exploration, Onboarding, Selector
from tests.selection.workers import worker
from tests.selection.worlds import (
    QUALITY,
    World,
    always_best,
    epsilon_greedy,
    nearest_neighbours,
    regret,
    with_selector,
)

STEPS = 5000


@pytest.fixture(scope="module")
def explored() -> tuple[World, Selector, list[float]]:
    """A world, the selector that learned in it, and its regret after each step."""
    world = World.made(seed=1)
    selector = world.selector(Exploration("ucb", seed=1))
    return world, selector, regret(world, *with_selector(selector), STEPS)


def test_regret_is_sublinear(explored: tuple[World, Selector, list[float]]) -> None:
    _, _, curve = explored
    quarters = [curve[STEPS * n // 4 - 1] for n in (1, 2, 3, 4)]
    gained = [after - before for before, after in zip([0.0, *quarters], quarters, strict=False)]
    assert gained[3] < 0.5 * gained[0]
    assert curve[-1] / STEPS < 0.5 * curve[STEPS // 5 - 1] / (STEPS // 5)


def test_regret_is_below_every_baseline(explored: tuple[World, Selector, list[float]]) -> None:
    _, _, curve = explored
    for rule in (epsilon_greedy, nearest_neighbours, always_best):
        world = World.made(seed=1)
        assert curve[-1] < 0.8 * regret(world, *rule(world), STEPS)[-1], rule.__name__


def test_the_ranking_of_agents_per_skill_is_recovered(explored: tuple[World, Selector, list[float]]) -> None:
    world, selector, _ = explored
    right = pairs = 0
    for skill in world.skills:
        estimates = {n: selector.estimate(selector.agents[n], Demand(skill)).mean for n in world.truth}
        best = max(sorted(estimates), key=lambda name: estimates[name])
        assert world.truth[best][skill] > world.best(Demand(skill)) - 0.06
        for one in world.truth:
            for other in world.truth:
                if world.truth[one][skill] > world.truth[other][skill] + 0.1:
                    pairs += 1
                    right += estimates[one] > estimates[other]
    assert right > 0.85 * pairs  # of the pairs that differ by more than 0.1


def test_a_drifted_agent_and_a_new_one_are_found() -> None:
    world = World(7, ("s0", "s1"), {"a": {"s0": 0.9, "s1": 0.2}, "b": {"s0": 0.6, "s1": 0.5}})
    selector = Selector(
        [worker(name, skills=world.skills) for name in sorted(world.truth)],
        policy=QUALITY,
        exploration=Exploration("ucb", seed=1),
        onboarding=Onboarding(share=0.1),
    )
    choose, learn = with_selector(selector)
    regret(world, choose, learn, 800)
    assert choose(Demand("s0")) == "a"
    world.truth["a"] = {"s0": 0.15, "s1": 0.2}
    regret(world, choose, learn, 400)
    assert {signal.agent for signal in selector.signals() if signal.metric == "outcome"} == {"a"}
    assert choose(Demand("s0")) == "b"
    world.truth["c"] = {"s0": 0.1, "s1": 0.95}
    selector.add(worker("c", skills=world.skills))
    before = regret(world, choose, learn, 800)[-1]
    assert choose(Demand("s1")) == "c"
    assert choose(Demand("s0")) == "b"
    assert regret(world, choose, learn, 800)[-1] < 0.5 * before


def test_a_worthless_agent_costs_no_more_than_its_share() -> None:
    def quality(share: float, added: bool) -> float:
        world = World(3, ("s0",), {"good": {"s0": 0.9}})
        selector = Selector([worker("good", skills="s0")], policy=QUALITY, onboarding=Onboarding(share=share))
        choose, learn = with_selector(selector, every=1)
        regret(world, choose, learn, 50)
        if added:
            world.truth["bad"] = {"s0": 0.0}
            selector.add(worker("bad", skills="s0"))
        return 1 - regret(world, choose, learn, 1000)[-1] / 1000

    alone = quality(0.05, added=False)
    assert alone == 1.0  # against the best agent there is
    for share in (0.02, 0.05, 0.2):
        assert quality(share, added=True) >= alone - share
