"""What counts of an agent's competence, and counting it again from a record."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.selection import Demand, Exploration, ExplorationRound, Onboarding, Selector
from orchestrator.selection.choice.exploration import RecordedExploration
from orchestrator.selection.choice.scoring import Judged, counted_again
from orchestrator.selection.competence.estimation import Estimate
from tests.selection.workers import worker

demands = st.sampled_from([{}, {"x": 1.0}, {"x": 2.0, "y": 1.0}, {"unheard of": 1.0}])
explorations = st.sampled_from([None, Exploration("ucb", seed=4), Exploration("ucb", width=2.0)])


@settings(max_examples=40)
@given(demands, explorations, st.integers(1, 10_000), st.booleans(), st.integers(0, 30))
def test_a_record_is_enough_to_count_again(
    weights: dict[str, float], explore: Exploration | None, number: int, probe: bool, outcomes: int
) -> None:
    selector = Selector([worker("a", skills={"x": 0.9, "y": 0.2}), worker("b", skills="y")], exploration=explore)
    for outcome in range(outcomes):
        selector.learn("a", "x", outcome % 3 > 0)
    selector.apply_pending()
    selector.add(worker("late", skills="x"))
    turn, demand = ExplorationRound(number, probe), Demand(weights)
    for name, judged in selector.judge(["a", "b", "late"], demand, turn).items():
        read = Judged.from_json(name, judged.to_json())
        assert read == judged
        assert counted_again(read, demand.weights, turn, explore) == pytest.approx(judged.counted, abs=1e-9)


def test_nobody_is_held_back_for_a_rival_that_is_not_usable() -> None:
    selector = Selector([worker("old", skills="x")], onboarding=Onboarding(budget=0))
    for _ in range(20):
        selector.learn("old", "x", True)
    selector.apply_pending()
    selector.add(worker("new", skills="x"))
    both = ["old", "new"]
    assert selector.judge(both, "x", ExplorationRound(1))["new"].counted == 0
    assert selector.judge(both, "x", ExplorationRound(1), usable=["new"])["new"].counted == pytest.approx(0.8)
    assert selector.judge(both, "x")["new"].counted == pytest.approx(0.8)  # without a turn


def test_what_health_knows_of_cost_is_not_counted_twice() -> None:
    agent = worker("a", skills="x", cost=0.001)
    selector = Selector([agent])
    for _ in range(50):
        selector.learn("a", "x", True, usd=0.01)
    selector.apply_pending()
    assert selector.money(agent, 0.001) == pytest.approx(0.0092, abs=1e-4)
    assert selector.money(agent, 0.0123) == 0.0123


def test_a_record_that_drew_from_posteriors_is_drawn_again() -> None:
    drew = RecordedExploration("thompson", seed=4, width=0.25)
    seen = Judged("a", 0.0, Estimate(0.8, 0.5, 0.9, 3.0), posteriors=((4.0, 1.0),))
    first = [counted_again(seen, {"x": 1.0}, ExplorationRound(n), drew) for n in range(20)]
    assert first == [counted_again(seen, {"x": 1.0}, ExplorationRound(n), drew) for n in range(20)]
    assert len(set(first)) == 20
    assert all(0.6 < value < 1 for value in first)
