"""What healing may cost: a budget for retries and fallbacks, and back-off.

Retries and fallbacks are load. When everything fails at once they can keep a system down long after its trigger is
gone (Huang et al., Metastable Failures in the Wild, OSDI 2022), so both draw on a share of real calls plus a floor. An
empty budget stops retries; a reroute takes its part but is never refused, for a feasible route is always taken.
"""

import math
import random
from dataclasses import dataclass, replace
from typing import Final, Self

from tenacity import RetryCallState, wait_exponential

from orchestrator.core.clock import Clock
from orchestrator.core.policy import Retries
from orchestrator.core.process.forks import new_lock

_WINDOW: Final = 60.0
"""Seconds over which an earned share fades (by e), and the floor refills."""
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Tokens: a share of every call, fading, plus a floor that refills (as in Finagle's RetryBudget)."""

    earned: float
    floor: float
    at: float

    def refilled(self, now: float, floor: float, earned: float = 0.0) -> Self:
        """As time changes it, with what a call has earned since."""
        passed = max(0.0, now - self.at)
        if not passed:
            return type(self)(self.earned + earned, self.floor, self.at) if earned else self
        refilled = min(floor, self.floor + floor * passed / _WINDOW)
        return type(self)(self.earned * math.exp(-passed / _WINDOW) + earned, refilled, now)

    @property
    def tokens(self) -> float:
        """Retries or fallbacks left."""
        return self.earned + self.floor

    def spent(self) -> Self:
        """With one token less: earned ones first."""
        earned = min(1.0, self.earned)
        return replace(self, earned=self.earned - earned, floor=max(0.0, self.floor - (1.0 - earned)))


class RetryBudget:
    """Whether one more retry or fallback is affordable, for its tool and overall.

    Over any time, healing stays within `share` of the calls, plus `floor` per minute (and one floor to start with).
    """

    def __init__(self, retries: Retries, clock: Clock) -> None:
        self._retries = retries
        self._clock = clock
        self._overall = self._full()
        self._tools: dict[str, TokenBucket] = {}
        self._lock = new_lock()

    def note_call(self, name: str) -> None:
        """Count a first attempt."""
        with self._lock:
            now, floor = self._clock.monotonic(), float(self._retries.floor)
            self._overall = self._overall.refilled(now, floor, self._retries.share)
            tool = self._tools.get(name) or self._full()
            self._tools[name] = tool.refilled(now, floor, self._retries.share)

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
        """Retries and fallbacks that a tool has left now."""
        with self._lock:
            now, floor = self._clock.monotonic(), float(self._retries.floor)
            return min(self._overall.refilled(now, floor).tokens, self._tool(name).refilled(now, floor).tokens)

    def _tool(self, name: str) -> TokenBucket:
        return self._tools.get(name) or self._full()

    def _full(self) -> TokenBucket:
        return TokenBucket(0.0, float(self._retries.floor), self._clock.monotonic())


def backoff(attempt: int, retries: Retries, rng: random.Random) -> float:
    """Seconds to wait before retry number `attempt` (from 1): full jitter under a doubling bound.

    Uniform in [0, min(max_seconds, base_seconds * 2 ** (attempt - 1))] (Brooker, Exponential Backoff and Jitter, 2015).
    tenacity computes the bound.
    """
    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    state.attempt_number = max(1, min(attempt, 60))
    return rng.uniform(0.0, wait_exponential(multiplier=retries.base_seconds, max=retries.max_seconds)(state))
