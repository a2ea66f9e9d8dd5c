"""Exponentially decaying counts: an observation weighs half after a half-life."""

import math
from dataclasses import dataclass
from typing import Any, Final, Self

from orchestrator.graph.tool_options import MAX_COST

PRIOR_SUCCESSES: Final = 9.0
PRIOR_FAILURES: Final = 1.0
"""Beta(9, 1): without observations a tool is expected to succeed nine times in ten; one failure lowers this to .82."""


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
