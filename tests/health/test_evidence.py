"""Counts that fade: bounds, decay, and merging in any order."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.health.evidence import PRIOR_FAILURES, PRIOR_SUCCESSES, Mean, SuccessCounts

HALF_LIFE = 60.0
times = st.floats(0, 1e4)
histories = st.lists(st.tuples(st.booleans(), times), max_size=30)
amounts = st.lists(st.tuples(st.floats(0, 100), times), max_size=20)


def evidence(history: list[tuple[bool, float]]) -> SuccessCounts:
    """What a history of observations, in the order of their times, leaves."""
    found = SuccessCounts()
    for ok, at in sorted(history, key=lambda item: item[1]):
        found = found.observed(ok, at, HALF_LIFE)
    return found


def close(one: SuccessCounts, other: SuccessCounts) -> bool:
    """Equal but for rounding."""
    return (
        math.isclose(one.successes, other.successes, rel_tol=1e-9, abs_tol=1e-9)
        and math.isclose(one.failures, other.failures, rel_tol=1e-9, abs_tol=1e-9)
        and one.at == other.at
    )


def test_before_anything_is_seen_the_prior_speaks() -> None:
    assert SuccessCounts().mean() == PRIOR_SUCCESSES / (PRIOR_SUCCESSES + PRIOR_FAILURES) == 0.9


def test_a_half_life_halves() -> None:
    seen = SuccessCounts(8.0, 4.0, 100.0)
    later = seen.decayed(160.0, HALF_LIFE)
    assert (later.successes, later.failures, later.at) == (4.0, 2.0, 160.0)
    assert seen.decayed(50.0, HALF_LIFE) == seen


@given(histories, times)
def test_decay_never_adds_and_leads_back_to_the_prior(history: list[tuple[bool, float]], wait: float) -> None:
    now = evidence(history)
    later = now.decayed(max(now.at, 0.0) + wait, HALF_LIFE)
    assert later.successes <= now.successes
    assert later.failures <= now.failures
    assert abs(later.mean() - 0.9) <= abs(now.mean() - 0.9) + 1e-12


@given(histories, times, times)
def test_waiting_twice_is_waiting_once(history: list[tuple[bool, float]], first: float, second: float) -> None:
    now = evidence(history)
    start = max(now.at, 0.0)
    twice = now.decayed(start + first, HALF_LIFE).decayed(start + first + second, HALF_LIFE)
    assert close(twice, now.decayed(start + first + second, HALF_LIFE))


@given(histories)
def test_the_mean_is_a_probability_and_moves_the_right_way(history: list[tuple[bool, float]]) -> None:
    now = evidence(history)
    at = max(now.at, 0.0)
    still = now.decayed(at, HALF_LIFE)
    assert 0 < still.mean() < 1
    assert now.observed(False, at, HALF_LIFE).mean() < still.mean() < now.observed(True, at, HALF_LIFE).mean()


@given(histories, histories)
def test_merging_two_processes_is_one_process_that_saw_all(
    one: list[tuple[bool, float]], other: list[tuple[bool, float]]
) -> None:
    assert close(evidence(one).merged(evidence(other), HALF_LIFE), evidence(one + other))


@given(histories, histories, histories)
def test_merging_is_commutative_and_associative(
    a: list[tuple[bool, float]], b: list[tuple[bool, float]], c: list[tuple[bool, float]]
) -> None:
    x, y, z = evidence(a), evidence(b), evidence(c)
    assert x.merged(y, HALF_LIFE) == y.merged(x, HALF_LIFE)
    left = x.merged(y, HALF_LIFE).merged(z, HALF_LIFE)
    assert close(left, x.merged(y.merged(z, HALF_LIFE), HALF_LIFE))


@given(histories, times)
def test_evidence_survives_a_restart(history: list[tuple[bool, float]], shift: float) -> None:
    seen = evidence(history)
    back = SuccessCounts.from_json(seen.to_json(2e4), 2e4 + shift)
    assert (back.successes, back.failures) == (seen.successes, seen.failures)
    assert back.at == pytest.approx(seen.at + shift, abs=1e-9)


@given(amounts, amounts)
def test_means_merge_too(one: list[tuple[float, float]], other: list[tuple[float, float]]) -> None:
    def mean(history: list[tuple[float, float]]) -> Mean:
        found = Mean()
        for amount, at in sorted(history, key=lambda item: item[1]):
            found = found.observed(amount, at, HALF_LIFE)
        return found

    merged, together = mean(one).merged(mean(other), HALF_LIFE), mean(one + other)
    assert merged == mean(other).merged(mean(one), HALF_LIFE)
    assert math.isclose(merged.total, together.total, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(merged.weight, together.weight, rel_tol=1e-9, abs_tol=1e-9)
    values = [amount for amount, _ in one + other]
    if together.value is not None:
        assert min(values) - 1e-6 <= together.value <= max(values) + 1e-6


def test_recent_amounts_count_more() -> None:
    mean = Mean().observed(1.0, 0.0, HALF_LIFE).observed(4.0, HALF_LIFE, HALF_LIFE)
    assert mean.value == pytest.approx((0.5 * 1 + 4) / 1.5)
    assert Mean().value is None
