"""Exponentially decaying counts: an observation weighs half after a half-life."""

import math
from dataclasses import dataclass, field
from typing import Any, Final, Self

from orchestrator.graph.tool_options import MAX_COST

PRIOR_SUCCESSES: Final = 9.0
PRIOR_FAILURES: Final = 1.0
"""Beta(9, 1): without observations a tool is expected to succeed nine times in ten; one failure lowers this to .82."""
GROWTH: Final = 1.1
"""Each bucket ends 10 % above the last, so a percentile is off by at most 5 % (DDSketch: Masson et al., VLDB 2019)."""
SHORTEST: Final = 1e-4
"""Seconds; shorter latencies are in the first bucket."""
BUCKETS: Final = 200
"""Number of buckets; the last one begins at about 17,000 s."""
_PRIOR_WEIGHT: Final = 2.0
_NOISE: Final = 0.05
"""Seconds; a learned latency nearer than this to the declared one changes no price, so that noise decides nothing."""


@dataclass(frozen=True, slots=True)
class SuccessCounts:
    """Decaying counts of successes and failures; immutable, mergeable (commutative, associative up to rounding)."""

    successes: float = 0.0
    failures: float = 0.0
    at: float = -math.inf
    """Monotonic seconds that the counts refer to."""

    @property
    def total(self) -> float:
        """Weight of all observations."""
        return self.successes + self.failures

    def decayed(self, now: float, half_life: float) -> Self:
        """The counts decayed to `now`, which is not before their own time."""
        if now <= self.at or not (self.successes or self.failures):
            return type(self)(self.successes, self.failures, max(now, self.at))
        weight = 0.5 ** ((now - self.at) / half_life)
        return type(self)(self.successes * weight, self.failures * weight, now)

    def observed(self, ok: bool, now: float, half_life: float, weight: float = 1.0) -> Self:
        """With one more observation."""
        successes, failures, at = self.successes, self.failures, self.at
        if now > at:
            if successes or failures:
                faded = 0.5 ** ((now - at) / half_life)
                successes, failures = successes * faded, failures * faded
            at = now
        return type(self)(successes + weight * ok, failures + weight * (not ok), at)

    def merged(self, other: "SuccessCounts", half_life: float) -> Self:
        """The sum of both, at the later of the two times."""
        now = max(self.at, other.at)
        one, two = self.decayed(now, half_life), other.decayed(now, half_life)
        return type(self)(one.successes + two.successes, one.failures + two.failures, now)

    def mean(self, now: float = -math.inf, half_life: float = 1.0) -> float:
        """Posterior mean of the probability of success under the prior Beta(9, 1), with the counts as of `now`."""
        successes, failures = self.successes, self.failures
        if now > self.at and successes + failures:
            weight = 0.5 ** ((now - self.at) / half_life)
            successes, failures = successes * weight, failures * weight
        return (PRIOR_SUCCESSES + successes) / (PRIOR_SUCCESSES + PRIOR_FAILURES + (successes + failures))

    def to_json(self, now: float) -> dict[str, Any]:
        """Plain data; the time as an age in seconds, so that it survives a restart."""
        return {"successes": self.successes, "failures": self.failures, "age": _age(self.at, now)}

    @classmethod
    def from_json(cls, data: dict[str, Any], now: float) -> Self:
        """What `to_json` wrote, `now` being the same instant on this process's clock."""
        at = -math.inf if data["age"] is None else now - amount_of(data["age"], least=-math.inf)
        return cls(amount_of(data["successes"]), amount_of(data["failures"]), at)


def amount_of(value: Any, *, least: float = 0.0, most: float = math.inf) -> float:
    """A stored number. Raises `ValueError` unless it is finite and within its bounds."""
    amount = float(value)
    if not math.isfinite(amount) or not least <= amount <= most:
        raise ValueError(f"{amount!r} is no amount")
    return amount


def _age(at: float, now: float) -> float | None:
    return None if math.isinf(at) else now - at


@dataclass(frozen=True, slots=True)
class Mean:
    """A decaying mean of amounts (US dollars)."""

    total: float = 0.0
    weight: float = 0.0
    at: float = -math.inf

    def observed(self, amount: float, now: float, half_life: float) -> Self:
        """With one more amount."""
        faded = 0.5 ** (max(0.0, now - self.at) / half_life) if self.weight else 0.0
        return type(self)(self.total * faded + amount, self.weight * faded + 1.0, max(now, self.at))

    def merged(self, other: "Mean", half_life: float) -> Self:
        """The sum of both, at the later of the two times."""
        now = max(self.at, other.at)
        one, two = self._weighed(now, half_life), other._weighed(now, half_life)
        return type(self)(self.total * one + other.total * two, self.weight * one + other.weight * two, now)

    def _weighed(self, now: float, half_life: float) -> float:
        return 0.5 ** (max(0.0, now - self.at) / half_life) if self.weight else 0.0

    @property
    def value(self) -> float | None:
        """The mean; `None` without any weight left."""
        return self.total / self.weight if self.weight > 1e-9 else None

    def to_json(self, now: float) -> dict[str, Any]:
        """Plain data, the time as an age in seconds."""
        return {"total": self.total, "weight": self.weight, "age": _age(self.at, now)}

    @classmethod
    def from_json(cls, data: dict[str, Any], now: float) -> Self:
        """What `to_json` wrote."""
        at = -math.inf if data["age"] is None else now - amount_of(data["age"], least=-math.inf)
        found = cls(amount_of(data["total"]), amount_of(data["weight"]), at)
        amount_of(found.value or 0.0, most=MAX_COST)
        return found


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
