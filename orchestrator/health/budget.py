"""What healing may cost: a budget for retries and fallbacks, a throttle, and back-off.

Retries and fallbacks are load. When everything fails at once they can keep a system down long after its trigger is
gone (Huang et al., Metastable Failures in the Wild, OSDI 2022), so both draw on a share of real calls plus a floor.
"""

import math
import random
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final, Self

from orchestrator.clock import Clock
from orchestrator.policy import Retries

_WINDOW: Final = 60.0
"""Seconds over which an earned share fades (by e), and the floor refills."""
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens: a share of every call, fading, plus a floor that refills (as in Finagle's RetryBudget)."""

    earned: float
    floor: float
    at: float

    def refilled(self, now: float, floor: float) -> Self:
        """As time alone changes it."""
        passed = max(0.0, now - self.at)
        if not passed:
            return self
        refilled = min(floor, self.floor + floor * passed / _WINDOW)
        return type(self)(self.earned * math.exp(-passed / _WINDOW), refilled, now)

    @property
    def tokens(self) -> float:
        """Retries or fallbacks left."""
        return self.earned + self.floor

    def spent(self) -> Self:
        """With one token less: earned ones first."""
        earned = min(1.0, self.earned)
        return replace(self, earned=self.earned - earned, floor=max(0.0, self.floor - (1.0 - earned)))


class HealingBudget:
    """Whether one more retry or fallback is affordable, for its tool and overall.

    Over any time, healing stays within `share` of the calls, plus `floor` per minute (and one floor to start with).
    """

    def __init__(self, retries: Retries, clock: Clock) -> None:
        self._retries = retries
        self._clock = clock
        self._overall = self._full()
        self._tools: dict[str, Bucket] = {}
        self._lock = Lock()

    def note_call(self, name: str) -> None:
        """Count a first attempt."""
        with self._lock:
            self._overall = self._earning(self._overall)
            self._tools[name] = self._earning(self._tool(name))

    def allow(self, name: str) -> bool:
        """Take one token for a retry of a tool, or a fallback from it; False when it is not affordable."""
        with self._lock:
            now, floor = self._clock.monotonic(), float(self._retries.floor)
            self._overall = self._overall.refilled(now, floor)
            tool = self._tools[name] = self._tool(name).refilled(now, floor)
            if min(self._overall.tokens, tool.tokens) < 1 - _ROUNDING:
                return False
            self._overall, self._tools[name] = self._overall.spent(), tool.spent()
            return True

    def left(self, name: str) -> float:
        """Retries and fallbacks that could be had for a tool now."""
        with self._lock:
            now, floor = self._clock.monotonic(), float(self._retries.floor)
            return min(self._overall.refilled(now, floor).tokens, self._tool(name).refilled(now, floor).tokens)

    def _earning(self, bucket: Bucket) -> Bucket:
        current = bucket.refilled(self._clock.monotonic(), float(self._retries.floor))
        return replace(current, earned=current.earned + self._retries.share)

    def _tool(self, name: str) -> Bucket:
        return self._tools.get(name) or self._full()

    def _full(self) -> Bucket:
        return Bucket(0.0, float(self._retries.floor), self._clock.monotonic())


class Throttle:
    """Adaptive throttling: calls are held back in the measure in which the tool rejects them.

    Probability of holding back: max(0, (calls - k * accepted) / (calls + 1)), over about two minutes (Beyer et al.,
    Site Reliability Engineering, 2016, chapter 21).
    """

    def __init__(self, clock: Clock, k: float = 2.0, half_life: float = 60.0) -> None:
        self._clock = clock
        self._k = k
        self._half_life = half_life
        self._counts: dict[str, tuple[float, float, float]] = {}
        self._lock = Lock()

    def note(self, name: str, accepted: bool) -> None:
        """Count one call that was made or held back, and whether the tool accepted it."""
        with self._lock:
            calls, taken, now = self._faded(name)
            self._counts[name] = (calls + 1, taken + accepted, now)

    def hold_back(self, name: str) -> float:
        """Probability in [0, 1) that the next call should be held back."""
        with self._lock:
            calls, taken, _ = self._faded(name)
        return max(0.0, (calls - self._k * taken) / (calls + 1))

    def admit(self, name: str, rng: random.Random) -> bool:
        """Draw: whether the next call may be made. One that is held back counts as a call."""
        if rng.random() >= self.hold_back(name):
            return True
        self.note(name, accepted=False)
        return False

    def _faded(self, name: str) -> tuple[float, float, float]:
        now = self._clock.monotonic()
        calls, taken, at = self._counts.get(name, (0.0, 0.0, now))
        weight = 0.5 ** (max(0.0, now - at) / self._half_life)
        return calls * weight, taken * weight, now


def backoff(attempt: int, retries: Retries, rng: random.Random) -> float:
    """Seconds to wait before retry number `attempt` (from 1): full jitter under a doubling bound.

    Uniform in [0, min(max_seconds, base_seconds * 2 ** (attempt - 1))] (Brooker, Exponential Backoff and Jitter, 2015).
    """
    bound = min(retries.max_seconds, retries.base_seconds * 2.0 ** min(max(0, attempt - 1), 60))
    return rng.uniform(0.0, bound)
