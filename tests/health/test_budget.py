"""Healing is bounded: budgets, the throttle, back-off."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.policy import Retries
from orchestrator.health.retry_budget import RetryBudget, backoff
from tests.health.clocks import StillClock

RETRIES = Retries(share=0.2, floor=5, base_seconds=0.1, max_seconds=2)


def test_the_floor_is_there_before_any_call() -> None:
    budget = RetryBudget(RETRIES, StillClock())
    assert [budget.allow("a") for _ in range(7)] == [True] * 5 + [False] * 2


def test_a_share_of_calls_is_earned() -> None:
    budget = RetryBudget(RETRIES, StillClock())
    for _ in range(100):
        budget.note_call("a")
    assert sum(budget.allow("a") for _ in range(100)) == 25


def test_a_minute_refills_the_floor() -> None:
    clock = StillClock()
    budget = RetryBudget(RETRIES, clock)
    while budget.allow("a"):
        pass
    clock.now += 12
    assert [budget.allow("a"), budget.allow("a")] == [True, False]
    clock.now += 3600
    assert sum(budget.allow("a") for _ in range(50)) == 5


def test_one_tool_cannot_spend_what_another_earned_beyond_the_whole() -> None:
    budget = RetryBudget(RETRIES, StillClock())
    for _ in range(100):
        budget.note_call("busy")
    assert sum(budget.allow("idle") for _ in range(100)) == 5
    assert sum(budget.allow("busy") for _ in range(100)) == 20


def test_what_is_left_is_told_without_spending_it() -> None:
    budget = RetryBudget(RETRIES, StillClock())
    assert budget.left("a") == budget.left("a") == 5
    budget.allow("a")
    assert budget.left("a") == 4


steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from("abc")),
        st.tuples(st.just("heal"), st.sampled_from("abc")),
        st.tuples(st.just("wait"), st.floats(0, 90)),
    ),
    max_size=200,
)


@given(steps, st.floats(0, 1), st.integers(0, 20))
def test_healing_never_exceeds_its_share_and_its_floor(steps: list[tuple[str, Any]], share: float, floor: int) -> None:
    clock = StillClock(0.0)
    budget = RetryBudget(Retries(share=share, floor=floor), clock)
    calls = dict.fromkeys("abc", 0)
    healed = dict.fromkeys("abc", 0)
    for what, value in steps:
        if what == "wait":
            clock.now += value
        elif what == "call":
            budget.note_call(value)
            calls[value] += 1
        else:
            healed[value] += budget.allow(value)
        refilled = floor * (1 + clock.now / 60) + 1e-6
        assert all(healed[name] <= share * calls[name] + refilled for name in "abc")
        assert sum(healed.values()) <= share * sum(calls.values()) + refilled


@given(st.integers(1, 10_000), st.integers())
def test_back_off_is_fully_jittered_within_its_bound(attempt: int, seed: int) -> None:
    wait = backoff(attempt, RETRIES, random.Random(seed))
    assert 0 <= wait <= min(2, 0.1 * 2 ** min(attempt - 1, 60))
    assert wait == backoff(attempt, RETRIES, random.Random(seed))


@pytest.mark.parametrize(("attempt", "mean"), [(1, 0.05), (3, 0.2), (9, 1.0)])
def test_back_off_doubles_on_average(attempt: int, mean: float) -> None:
    rng = random.Random(1)
    waits = [backoff(attempt, RETRIES, rng) for _ in range(4000)]
    assert sum(waits) / len(waits) == pytest.approx(mean, rel=0.05)
