"""Signals make sense, and which one wins is a rule."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.enums import SignalAction
from orchestrator.errors import DefinitionError
from orchestrator.health.monitors import WHOLE_RUN, Signal, arbitrate
from orchestrator.health.monitors.signal import SEVERITY

HALT, FORBID, APPROVE, REWEIGHT, NONE = (
    SignalAction.HALT,
    SignalAction.FORBID,
    SignalAction.APPROVE,
    SignalAction.REWEIGHT,
    SignalAction.NONE,
)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"priority": 1.5},
        {"priority": -0.1},
        {"priority": float("nan")},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"ttl": 0},
        {"target": ""},
        {"kind": ""},
        {"target": WHOLE_RUN, "action": FORBID},
    ],
)
def test_nonsense_is_a_clear_error(nonsense: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"target": "t", "kind": "k", "priority": 0.5, **nonsense}
    with pytest.raises(DefinitionError):
        Signal(**fields)


def test_actions_may_be_written_as_words() -> None:
    assert Signal("t", "k", 0.5, "forbid").action is FORBID  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_the_highest_priority_wins() -> None:
    low, high = Signal("t", "a", 0.5, HALT), Signal("t", "b", 0.6, REWEIGHT, 2.0)
    (verdict,) = arbitrate([low, high])
    assert (verdict.winner, verdict.beaten) == (high, (low,))


def test_of_equals_the_more_severe_wins() -> None:
    signals = [Signal("t", str(action), 0.5, action) for action in (NONE, REWEIGHT, APPROVE, FORBID, HALT)]
    for count in range(1, 6):
        (verdict,) = arbitrate(signals[:count])
        assert verdict.winner is signals[count - 1]


def test_then_the_larger_factor_then_the_name() -> None:
    small = Signal("t", "k", 0.5, REWEIGHT, 2.0, monitor="a")
    large = Signal("t", "k", 0.5, REWEIGHT, 3.0, monitor="b")
    same = Signal("t", "k", 0.5, REWEIGHT, 3.0, monitor="c")
    (verdict,) = arbitrate([small, same, large])
    assert verdict.winner is large


def test_what_asks_for_nothing_never_keeps_another_from_acting() -> None:
    told, acting = Signal("t", "told", 1.0), Signal("t", "acting", 0.1, REWEIGHT, 2.0)
    (verdict,) = arbitrate([told, acting])
    assert (verdict.winner, verdict.beaten) == (acting, (told,))


def test_targets_and_runs_are_judged_apart() -> None:
    signals = [
        Signal("t", "k", 0.1, REWEIGHT, 2.0),
        Signal(("s", "t"), "k", 0.2, FORBID),
        Signal("t", "k", 0.3, FORBID, run_id="r"),
        Signal(WHOLE_RUN, "k", 0.4, HALT, run_id="r"),
    ]
    assert [verdict.winner.priority for verdict in arbitrate(signals)] == [0.2, 0.1, 0.4, 0.3]


signals = st.builds(
    Signal,
    target=st.sampled_from(["s", "t", ("s", "t")]),
    kind=st.sampled_from("kl"),
    priority=st.sampled_from([0.0, 0.5, 1.0]),
    action=st.sampled_from(list(SignalAction)),
    factor=st.sampled_from([1.0, 2.0]),
    monitor=st.sampled_from("mn"),
    run_id=st.sampled_from(["", "r"]),
)


@given(st.lists(signals, max_size=5, unique=True))
def test_the_order_of_signals_never_decides(found: list[Signal]) -> None:
    expected = arbitrate(found)
    for order in itertools.permutations(found):
        assert arbitrate(order) == expected
    assert sum(1 + len(verdict.beaten) for verdict in expected) == len(found)
    for verdict in expected:
        for loser in verdict.beaten:
            if verdict.winner.action is NONE:
                assert loser.action is NONE
            if loser.action is not NONE:
                assert loser.priority <= verdict.winner.priority
                if loser.priority == verdict.winner.priority:
                    assert SEVERITY[loser.action] <= SEVERITY[verdict.winner.action]
