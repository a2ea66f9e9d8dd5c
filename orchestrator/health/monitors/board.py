"""The active signals, and their effects on prices."""

from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.enums import SignalAction
from orchestrator.health import Target

from .signal import Signal, WinningSignal, arbitrate

BY = "monitors"
"""The origin under which the winning signal of a target is applied to health."""


class PriceModifiers(Protocol):
    """What applies signals to prices; `HealthRegistry` is one."""

    def reweight(self, target: Target, factor: float, seconds: float, reason: str = "", by: str = "signal") -> None:
        """Multiply a price for a while."""
        ...

    def forbid(self, target: Target, seconds: float, reason: str = "", by: str = "signal") -> None:
        """Make a target unusable for a while."""
        ...

    def lift(self, target: Target, by: str = "signal") -> None:
        """Remove both."""
        ...


@dataclass(frozen=True, slots=True)
class _Held:
    signal: Signal
    until: float


class SignalBoard:
    """Holds signals until they expire; one per target acts.

    `reweight` and `forbid` without a run are applied to health. Those with a run, `approve` and `halt` are carried out
    by the engine, which is called with every new winning signal.
    """

    def __init__(self, weights: PriceModifiers) -> None:
        self._weights = weights
        self.held: dict[tuple[str, str, str, str], _Held] = {}
        """The signals that may be active."""
        self._acting: dict[tuple[str, str], Signal] = {}

    def post(self, signals: tuple[Signal, ...], now: float) -> tuple[WinningSignal, ...]:
        """Add signals at `now` (monotonic seconds); returns the new winners."""
        for signal in signals:
            self.held[_key(signal)] = _Held(signal, now + signal.ttl)
        return self._settle(now)

    def sweep(self, now: float) -> tuple[WinningSignal, ...]:
        """Remove expired signals; returns the signals that win instead."""
        return self._settle(now)

    def holding(self, now: float) -> tuple[Signal, ...]:
        """The active signals, in a fixed order."""
        return tuple(self.held[key].signal for key in sorted(self.held) if now < self.held[key].until)

    def forget_run(self, run_id: str) -> None:
        """Drop the signals about an ended run."""
        for key in [key for key in self.held if key[0] == run_id]:
            del self.held[key]
        for place in [place for place in self._acting if place[0] == run_id]:
            del self._acting[place]

    def _settle(self, now: float) -> tuple[WinningSignal, ...]:
        for key in [key for key, held in self.held.items() if now >= held.until]:
            del self.held[key]
        verdicts = {_place(v.winner): v for v in arbitrate(self.holding(now))}
        fresh: list[WinningSignal] = []
        for place in [place for place in self._acting if place not in verdicts]:
            self._act(self._acting.pop(place), None, now)
        for place, verdict in sorted(verdicts.items()):
            before = self._acting.get(place)
            self._acting[place] = verdict.winner
            if before is None or not _same(before, verdict.winner):
                fresh.append(verdict)
            self._act(before, verdict.winner, now)
        return tuple(fresh)

    def _act(self, before: Signal | None, winner: Signal | None, now: float) -> None:
        if winner is not None and winner is before:
            return
        shown = winner or before
        if shown is None or shown.run_id:
            return
        if winner is None or winner.action not in (SignalAction.REWEIGHT, SignalAction.FORBID):
            if before is not None and before.action in (SignalAction.REWEIGHT, SignalAction.FORBID):
                self._weights.lift(shown.target, BY)
            return
        reason = f"{winner.monitor}: {winner.reason}" if winner.reason else winner.monitor
        seconds = self.held[_key(winner)].until - now
        if winner.action is SignalAction.FORBID:
            self._weights.forbid(winner.target, seconds, reason, BY)
        else:
            self._weights.reweight(winner.target, winner.factor, seconds, reason, BY)


def _key(signal: Signal) -> tuple[str, str, str, str]:
    return (signal.run_id, signal.label, signal.monitor, signal.kind)


def _place(signal: Signal) -> tuple[str, str]:
    return (signal.run_id, signal.label)


def _same(one: Signal, other: Signal) -> bool:
    """Whether a signal repeats another: only its reason and duration may differ."""
    near = abs(one.factor - other.factor) <= 0.25 * one.factor
    return _key(one) == _key(other) and one.action is other.action and near
