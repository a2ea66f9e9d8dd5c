"""Pressure: how near a tool is to a limit (quota headers, rate limits). At least 1; multiplies the price."""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

FULL: Final = 5.0
"""Pressure of a used-up quota: six times the price, the factor of the Self-Healing Router (arXiv 2603.01548)."""
_FREE: Final = 0.5
"""Share of a quota that may be used before pressure rises."""
_HALF_LIFE: Final = 30.0
"""Half-life of the pressure of a rate limit, in seconds."""
_MAX: Final = 16.0


@dataclass(frozen=True, slots=True)
class Pressure:
    """The state of one tool's pressure; times are monotonic seconds."""

    limited: float = 0.0
    """Pressure that rate-limited answers added, as of `limited_at`."""
    limited_at: float = 0.0
    wait_until: float = 0.0
    """The end of the requested wait, which prices count as latency."""
    used: float = 0.0
    """Share of the quota that is used, until `resets_at`."""
    resets_at: float = 0.0

    def value(self, now: float) -> float:
        """The pressure at `now`."""
        limited = self._limited(now)
        quota = FULL * max(0.0, (self.used - _FREE) / (1 - _FREE)) if now < self.resets_at else 0.0
        return 1.0 + max(limited, quota)

    def _limited(self, now: float) -> float:
        faded = self.limited * 0.5 ** (max(0.0, now - self.limited_at) / _HALF_LIFE)
        return faded if faded > 0.01 else 0.0

    def rate_limited(self, now: float, retry_after: float | None) -> Self:
        """The pressure after a rate limit: doubled each time, and decaying."""
        limited = min(_MAX, 2 * self._limited(now) + 1.0)
        return replace(self, limited=limited, limited_at=now, wait_until=max(self.wait_until, now + (retry_after or 0)))

    def quota(self, now: float, remaining: float, limit: float, reset_seconds: float) -> Self:
        """The pressure after a response with the rest of a quota and the time of its renewal."""
        used = 1.0 - min(1.0, max(0.0, remaining / limit)) if limit > 0 else 1.0
        return replace(self, used=used, resets_at=now + max(0.0, reset_seconds))

    @property
    def untouched(self) -> bool:
        """Whether there was never any pressure."""
        return not (self.limited or self.used or self.wait_until)

    def merged(self, other: "Pressure") -> Self:
        """The combination of both: the higher pressure, the longer wait, the quota that is renewed later."""
        now = max(self.limited_at, other.limited_at)
        resets_at, used = max((self.resets_at, self.used), (other.resets_at, other.used))
        return replace(
            self,
            limited=max(self._limited(now), other._limited(now)),
            limited_at=now,
            wait_until=max(self.wait_until, other.wait_until),
            used=used,
            resets_at=resets_at,
        )

    def asked_to_wait(self, now: float, seconds: float) -> Self:
        """The pressure after a response with a requested wait."""
        return replace(self, wait_until=max(self.wait_until, now + seconds))

    def idle(self, now: float) -> bool:
        """Whether no pressure and no wait is left."""
        return self.value(now) == 1.0 and now >= self.wait_until

    def to_json(self, now: float) -> dict[str, Any]:
        """Plain data; times as seconds from now."""
        return {
            "limited": self._limited(now),
            "wait": max(0.0, self.wait_until - now),
            "used": self.used,
            "reset": max(0.0, self.resets_at - now),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], now: float) -> Self:
        """What `to_json` wrote."""
        wait, reset = float(data["wait"]), float(data["reset"])  # 0: no wait
        return cls(
            float(data["limited"]), now, now + wait if wait else 0.0, float(data["used"]), now + reset if reset else 0.0
        )
