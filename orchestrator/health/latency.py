"""Latency in logarithmic buckets: percentiles within 5 %, mergeable by addition, decaying like all evidence."""

import math
from dataclasses import dataclass, field
from typing import Any, Final, Self

from .evidence import amount_of

GROWTH: Final = 1.1
"""Each bucket ends 10 % above the last, so a percentile is off by at most 5 % (DDSketch: Masson et al., VLDB 2019)."""
SHORTEST: Final = 1e-4
"""Seconds; shorter latencies are in the first bucket."""
BUCKETS: Final = 200
"""Number of buckets; the last one begins at about 17,000 s."""
_PRIOR_WEIGHT: Final = 2.0
_NOISE: Final = 0.05
"""Seconds; a learned latency nearer than this to the declared one changes no price, so that noise decides nothing."""


def bucket_of(seconds: float) -> int:
    """The bucket that a latency falls into."""
    if not seconds > SHORTEST:
        return 0
    return min(BUCKETS - 1, 1 + int(math.log(seconds / SHORTEST) / math.log(GROWTH)))


MIDDLES: Final = (0.0, *(float(SHORTEST * GROWTH ** (bucket - 0.5)) for bucket in range(1, BUCKETS)))
"""Seconds in the (geometric) middle of each bucket."""


@dataclass(slots=True)
class LatencyBuckets:
    """Decaying histogram of seconds."""

    half_life: float
    counts: dict[int, float] = field(default_factory=dict[int, float])
    at: float = -math.inf

    def observe(self, seconds: float, now: float) -> None:
        """Count one call."""
        self._fade(now)
        bucket = bucket_of(seconds)
        self.counts[bucket] = self.counts.get(bucket, 0.0) + 1.0

    def merge(self, other: "LatencyBuckets") -> None:
        """Add another histogram's counts, both decayed to the later time."""
        now = max(self.at, other.at)
        if math.isinf(now):
            return
        self._fade(now)
        weight = 0.5 ** ((now - other.at) / self.half_life) if other.counts else 0.0
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0.0) + count * weight

    def _fade(self, now: float) -> None:
        if now > self.at:
            weight = 0.5 ** ((now - self.at) / self.half_life) if self.counts else 1.0
            self.at = now
            self.counts = {b: c * weight for b, c in self.counts.items() if c * weight > 1e-6}

    @property
    def weight(self) -> float:
        """Decayed number of calls, as of the last one."""
        return sum(self.counts[bucket] for bucket in sorted(self.counts))

    def percentile(self, share: float) -> float | None:
        """Seconds within which `share` of the calls ended; `None` without calls."""
        if not self.counts:
            return None
        rest = share * self.weight
        for bucket in sorted(self.counts):
            rest -= self.counts[bucket]
            if rest <= 1e-9:
                return MIDDLES[bucket]
        return MIDDLES[max(self.counts)]

    def expected(self, declared: float) -> float:
        """Mean seconds, blended with the declared latency, which weighs as much as two calls (when there is one)."""
        weight = spent = 0.0
        for bucket in sorted(self.counts):
            count = self.counts[bucket]
            weight += count
            spent += count * MIDDLES[bucket]
        if not weight:
            return declared
        prior = _PRIOR_WEIGHT if declared > 0 else 0.0
        learned = (declared * prior + spent) / (prior + weight)
        if abs(learned - declared) < _NOISE:
            return declared
        return MIDDLES[bucket_of(learned)]

    def to_json(self, now: float) -> dict[str, Any]:
        """Plain data, the time as an age in seconds."""
        counts = {str(bucket): self.counts[bucket] for bucket in sorted(self.counts)}
        return {"counts": counts, "age": None if math.isinf(self.at) else now - self.at}

    @classmethod
    def from_json(cls, data: dict[str, Any], now: float, half_life: float) -> Self:
        """What `to_json` wrote."""
        at = -math.inf if data["age"] is None else now - amount_of(data["age"], least=-math.inf)
        counts = {int(amount_of(b, most=BUCKETS - 1)): amount_of(count) for b, count in data["counts"].items()}
        return cls(half_life, counts, at)
