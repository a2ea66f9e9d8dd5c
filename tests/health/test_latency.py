"""Percentiles from logarithmic buckets, merging, and what a price learns of latency."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.health.evidence import GROWTH, MIDDLES, LatencyBuckets, bucket_of

samples = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=60)


def buckets(values: list[float], at: float = 0.0) -> LatencyBuckets:
    """Buckets that saw these seconds at one time."""
    found = LatencyBuckets(60.0)
    for value in values:
        found.observe(value, at)
    return found


@given(st.floats(2e-4, 1e4))
def test_a_bucket_is_within_five_percent(seconds: float) -> None:
    assert MIDDLES[bucket_of(seconds)] / seconds == pytest.approx(1, abs=GROWTH**0.5 - 1 + 1e-9)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, float("nan"), float("inf"), 1e300])
def test_any_number_has_a_bucket(seconds: float) -> None:
    assert bucket_of(seconds if seconds < float("inf") else 1e18) >= 0


@given(samples, st.sampled_from([0.5, 0.9, 0.99]))
def test_percentiles_are_those_of_the_samples(values: list[float], share: float) -> None:
    found = buckets(values).percentile(share)
    assert found is not None
    ordered = sorted(values)
    rank = max(0, min(len(ordered) - 1, -(-int(share * len(ordered) * 1e6) // 10**6) - 1))
    near = ordered[max(0, rank - 1) : rank + 2]
    assert min(near) / 1.06 <= found <= max(near) * 1.06


@given(samples, samples)
def test_merging_is_seeing_both(one: list[float], other: list[float]) -> None:
    merged = buckets(one, 0.0)
    merged.merge(buckets(other, 30.0))
    together = buckets(one, 0.0)
    for value in other:
        together.observe(value, 30.0)
    assert merged.at == together.at
    assert merged.counts == pytest.approx(together.counts)


def test_merging_with_nothing_changes_nothing() -> None:
    seen, empty = buckets([1.0]), LatencyBuckets(60.0)
    before = dict(seen.counts)
    seen.merge(empty)
    assert seen.counts == before
    empty.merge(LatencyBuckets(60.0))
    assert empty.percentile(0.5) is None


def test_old_calls_fade() -> None:
    found = buckets([10.0] * 10, 0.0)
    for _ in range(10):
        found.observe(0.5, 600.0)
    assert found.percentile(0.9) == pytest.approx(0.5, rel=0.06)


def test_expectations_blend_what_was_declared_with_what_was_seen() -> None:
    assert LatencyBuckets(60.0).expected(0.3) == 0.3
    assert buckets([2.0]).expected(0.0) == pytest.approx(2, rel=0.06)
    one = buckets([4.0]).expected(1.0)
    assert one == pytest.approx((2 * 1 + 4) / 3, rel=0.06)
    assert buckets([4.0] * 100).expected(1.0) == pytest.approx(4, rel=0.1)


def test_noise_decides_nothing() -> None:
    assert buckets([0.003, 0.007, 0.02]).expected(0.0) == 0.0
    assert buckets([0.32, 0.29]).expected(0.3) == 0.3


def test_buckets_survive_a_restart() -> None:
    seen = buckets([0.1, 0.2, 5.0], 10.0)
    back = LatencyBuckets.from_json(seen.to_json(15.0), 115.0, 60.0)
    assert back.counts == seen.counts
    assert back.at == 110.0
