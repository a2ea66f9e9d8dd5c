"""Pressure rises before a limit is hit, and goes away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.enums import FailureKind
from orchestrator.core.policy import Policy
from orchestrator.health import HealthRegistry
from orchestrator.health.pressure import FULL, Pressure
from tests.health.clocks import StillClock


def test_nothing_presses_at_first() -> None:
    assert Pressure().value(0) == 1.0
    assert Pressure().idle(0)


@pytest.mark.parametrize(("remaining", "value"), [(100, 1.0), (50, 1.0), (25, 3.5), (0, 6.0), (-5, 6.0), (200, 1.0)])
def test_a_quota_presses_from_half_of_it_on(remaining: float, value: float) -> None:
    pressure = Pressure().quota(0, remaining, 100, 60)
    assert pressure.value(1) == pytest.approx(value)
    assert pressure.value(60) == 1.0


def test_a_quota_of_nothing_is_spent() -> None:
    assert Pressure().quota(0, 0, 0, 60).value(1) == 1 + FULL


def test_rate_limits_add_up_and_fade() -> None:
    once = Pressure().rate_limited(0, None)
    twice = once.rate_limited(0, None)
    assert 1 < once.value(0) < twice.value(0)
    assert once.value(30) == pytest.approx(1 + (once.value(0) - 1) / 2)
    assert twice.idle(600)


def test_retry_after_is_a_wait_and_no_pressure() -> None:
    pressure = Pressure().asked_to_wait(0, 20)
    assert (pressure.value(1), pressure.wait_until, pressure.idle(19.9), pressure.idle(20)) == (1, 20, False, True)
    assert pressure.asked_to_wait(1, 2).wait_until == 20


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("limited"), st.one_of(st.none(), st.floats(0, 1e3)), st.just(0.0), st.just(0.0)),
            st.tuples(st.just("quota"), st.floats(-10, 1e3), st.floats(0, 1e3), st.floats(-1, 1e3)),
        ),
        max_size=20,
    ),
    st.floats(0, 1e4),
)
def test_pressure_stays_in_its_bounds_and_survives_a_restart(
    events: list[tuple[str, float, float, float]], now: float
) -> None:
    pressure = Pressure()
    for number, (kind, a, b, c) in enumerate(events):
        at = float(number)
        pressure = pressure.rate_limited(at, a) if kind == "limited" else pressure.quota(at, a, b, c)
    later = len(events) + now
    assert 1 <= pressure.value(later) <= 17
    back = Pressure.from_json(pressure.to_json(later), later)
    assert back.value(later) == pytest.approx(pressure.value(later))


def test_what_is_left_of_a_wait_after_rounding_is_no_wait() -> None:
    clock = StillClock()
    health = HealthRegistry(Policy(), clock)
    clock.now = 3.3
    health.record("api", False, FailureKind.TRANSIENT, 0.1, retry_after=20, rate_limited=True)
    clock.now = 23.299999999999997
    assert health.wait("api") == 0
    assert health.admit("api", "run").ok, "a plan that waits no longer must be able to call"
