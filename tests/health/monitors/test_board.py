"""Signals act while they hold, one per target."""

from orchestrator.health.monitors import WHOLE_RUN, Signal, SignalAction
from orchestrator.health.monitors.board import SignalBoard
from tests.health.monitors.stage import Stage

REWEIGHT, FORBID, HALT, APPROVE = SignalAction.REWEIGHT, SignalAction.FORBID, SignalAction.HALT, SignalAction.APPROVE


def reweight(factor: float, monitor: str = "m", priority: float = 0.5, ttl: float = 60.0) -> Signal:
    """Makes `t` dearer."""
    return Signal("t", "slow", priority, REWEIGHT, factor, monitor=monitor, ttl=ttl)


def test_the_winner_alone_acts_on_the_price() -> None:
    stage = Stage()
    board = SignalBoard(stage.health)
    board.post((reweight(3.0, "a"), reweight(5.0, "b", priority=0.4)), 0.0)
    assert stage.health.pressure("t") == 3.0
    board.post((Signal("t", "quota", 1.0, FORBID, reason="spent", monitor="c", ttl=10),), 0.0)
    assert not stage.health.usable("t", last_resort=True)
    assert stage.health.status("t").reason == "monitors: c: spent"


def test_what_is_over_gives_way_to_what_still_holds() -> None:
    stage = Stage()
    board = SignalBoard(stage.health)
    board.post((reweight(3.0, "a", ttl=10), reweight(5.0, "b", priority=0.4, ttl=60)), 0.0)
    stage.clock.advance(10)
    assert [verdict.winner.monitor for verdict in board.sweep(10.0)] == ["b"]
    assert stage.health.pressure("t") == 5.0
    stage.clock.advance(50)
    assert board.sweep(60.0) == ()
    assert stage.health.pressure("t") == 1.0


def test_the_same_signal_again_is_no_news_but_holds_longer() -> None:
    stage = Stage()
    board = SignalBoard(stage.health)
    assert len(board.post((reweight(3.0, ttl=10),), 0.0)) == 1
    stage.clock.advance(8)
    assert board.post((reweight(3.1, ttl=10),), 8.0) == ()
    stage.clock.advance(8)
    board.sweep(16.0)
    assert stage.health.pressure("t") == 3.1
    assert len(board.post((reweight(9.0, ttl=10),), 16.0)) == 1


def test_a_stronger_demand_of_another_kind_lifts_the_price() -> None:
    stage = Stage()
    board = SignalBoard(stage.health)
    board.post((reweight(3.0),), 0.0)
    (verdict,) = board.post((Signal("t", "risk", 0.9, APPROVE, monitor="risk"),), 0.0)
    assert verdict.winner.action is APPROVE
    assert stage.health.pressure("t") == 1.0


def test_signals_about_one_run_leave_the_others_alone() -> None:
    stage = Stage()
    board = SignalBoard(stage.health)
    signals = (Signal("t", "x", 1.0, FORBID, run_id="r"), Signal(WHOLE_RUN, "loop", 1.0, HALT, run_id="r"))
    assert len(board.post(signals, 0.0)) == 2
    assert stage.health.usable("t")
    board.forget_run("r")
    assert board.holding(0.0) == ()


def test_transitions_are_targets_too() -> None:
    stage = Stage()
    SignalBoard(stage.health).post((Signal(("s", "t"), "x", 1.0, FORBID, monitor="m"),), 0.0)
    assert stage.health.transition_success("s", "t") == 0
    assert stage.health.usable("t")
