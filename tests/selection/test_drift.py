"""An agent that is no longer what it was is noticed, and believed less."""

import random

import pytest

from orchestrator.selection import Demand, DriftSignal, Exploration, Handbook, Observation, Selector
from orchestrator.selection.learning.cusum import Cusum
from orchestrator.selection.learning.drift import watch
from tests.selection.workers import worker


def watched(before: float, after: float, *, change: int, steps: int, seed: int) -> list[tuple[int, DriftSignal]]:
    """When signals came from an agent whose chance of doing well changed."""
    rng, sums = random.Random(seed), dict[str, Cusum]()
    found: list[tuple[int, DriftSignal]] = []
    for step in range(steps):
        success = rng.random() < (before if step < change else after)
        sums, signals = watch(sums, Observation("a", Demand("x"), success))
        found += [(step, signal) for signal in signals]
    return found


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95, 1.0])
def test_a_steady_agent_raises_no_alarm(rate: float) -> None:
    alarms = [len(watched(rate, rate, change=0, steps=2000, seed=seed)) for seed in range(10)]
    assert sum(alarms) <= 1  # at most one in 20,000 observations


@pytest.mark.parametrize(("before", "after"), [(0.9, 0.3), (0.95, 0.5), (0.7, 0.1), (0.3, 0.9)])
def test_a_change_is_noticed_soon(before: float, after: float) -> None:
    for seed in range(10):
        found = watched(before, after, change=200, steps=300, seed=seed)
        assert found
        step, signal = found[0]
        assert 200 <= step < 260
        assert signal.worse == (after < before)
        assert abs(signal.now - after) < abs(signal.now - before)


def test_costs_times_and_tokens_are_watched_too() -> None:
    rng, sums = random.Random(3), dict[str, Cusum]()
    signals: list[DriftSignal] = []
    for step in range(200):
        tokens = rng.gauss(1000, 100) * (3 if step >= 150 else 1)
        seen = Observation("a", Demand("x"), True, seconds=rng.uniform(1, 2), usd=0.01, tokens=tokens, tool_calls=2)
        sums, found = watch(sums, seen)
        signals += found
    assert signals
    assert {signal.metric for signal in signals} == {"tokens"}
    assert signals[0].worse
    assert signals[0].before == pytest.approx(1000, rel=0.1)
    assert signals[0].message.startswith("a has drifted: tokens was ")


def test_a_drifted_agent_is_believed_less_and_replaced() -> None:
    selector = Selector([worker("a", skills={"x": 0.9}), worker("b", skills={"x": 0.7})])
    for _ in range(300):
        selector.learn("a", "x", True)
    selector.apply_pending()
    trusted = selector.estimate(selector.agents["a"], "x")
    steps = 0
    while selector.select("x").agent == "a":
        selector.learn("a", "x", False)
        selector.apply_pending()
        steps += 1
    assert steps < 30  # three hundred good outcomes would have hidden about a hundred bad ones
    signal = selector.signals()[0]
    assert (signal.agent, signal.metric) == ("a", "outcome")
    assert selector.signals() == ()
    now = selector.estimate(selector.agents["a"], "x")
    assert now.evidence < 0.5 * trusted.evidence
    assert now.high - now.low > trusted.high - trusted.low


def test_exploring_finds_an_agent_that_has_recovered() -> None:
    rng = random.Random(5)
    selector = Selector(
        [worker("a", skills={"x": 0.9}), worker("b", skills={"x": 0.9})], exploration=Exploration("ucb")
    )
    rates = {"a": 0.3, "b": 0.6}
    late: list[str] = []
    for step in range(3000):
        if step == 500:
            rates["a"] = 0.95
        agent = selector.select("x").agent
        late += [agent] if step >= 2700 else []
        selector.learn(agent, "x", rng.random() < rates[agent])
        if step % 5 == 0:
            selector.apply_pending()
    assert late.count("a") > 0.9 * len(late)


def test_work_that_passes_its_checks_does_not_hide_that_people_think_less_of_it() -> None:
    selector = Selector([worker("a", skills={"x": 0.9})])
    for step in range(60):
        selector.learn("a", "x", True, weight=0.25)  # it passes its checks
        selector.learn("a", "x", step < 40, weight=0.5)  # and a judge says how good it is
        selector.apply_pending()
        if step < 40:
            assert selector.signals() == ()
    assert [(signal.agent, signal.metric) for signal in selector.signals()][:1] == [("a", "outcome")]


def test_another_mix_of_work_is_no_drift() -> None:
    rng, selector = random.Random(2), Selector([worker("a", skills={"x": 0.9, "y": 0.3})])
    for step in range(600):
        skill = "x" if step % 300 < 150 else "y"  # long stretches of what it does well, then of what it does not
        selector.learn("a", skill, rng.random() < (0.9 if skill == "x" else 0.2))
        selector.apply_pending()
        if step == 150:
            selector.signals()  # nothing was known of the second kind so far
    assert [signal for signal in selector.signals() if signal.worse] == []


def test_the_sums_travel_with_the_handbook_and_stay_when_it_is_rolled_back() -> None:
    selector = Selector([worker("a", skills={"x": 0.9})])
    for _ in range(25):
        selector.learn("a", "x", True, seconds=1.0)
        selector.apply_pending()
    book = selector.handbook
    read = Handbook.from_json(book.to_json())
    assert read.watched == book.watched
    assert read.watched["a"]["outcome"].history.count == 25
    assert book.roll_back(book.version - 3).watched == book.watched
    assert "a" not in book.without_profile("a").watched
    later = Selector([worker("a", skills={"x": 0.9})], handbook=read)
    for _ in range(10):
        later.learn("a", "x", False)
    later.apply_pending()
    assert [signal.metric for signal in later.signals()] == ["outcome"]
    assert len(later.handbook.drifted) == 1
    later.drift_recorded("a")
    assert not later.handbook.drifted
