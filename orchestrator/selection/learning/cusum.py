"""Drift detection by a two-sided CUSUM over deviations from history, and the signal that it raises."""

from dataclasses import dataclass
from typing import Final

from orchestrator.selection.skills.evidence import Stats

LEAST: Final = 20
"""Observations that make a history."""
SLACK: Final = 0.5
"""Standard deviations that are no drift yet."""
LIMIT: Final = 12.0
"""Summed standard deviations beyond the slack that are one. A steady metric reaches it by chance less than once in
20,000 observations; one that shifts by two standard deviations, after about eight."""
NONE: Final = Stats()


@dataclass(frozen=True, slots=True)
class DriftSignal:
    """An agent has drifted from its own history in one metric."""

    agent: str
    metric: str
    """`outcome` (share of work well done), `seconds`, `usd`, `tokens` or `tool_calls`."""
    before: float
    now: float
    """Mean over the observations that made it known."""
    observations: int
    """How many those were."""

    @property
    def worse(self) -> bool:
        """Whether the change is for the worse."""
        return self.now < self.before if self.metric == "outcome" else self.now > self.before

    @property
    def message(self) -> str:
        """In one line."""
        return (
            f"{self.agent} has drifted: {self.metric} was {self.before:.3g} on average, "
            f"and {self.now:.3g} over the last {self.observations} calls"
        )


@dataclass(frozen=True, slots=True)
class Cusum:
    """A two-sided cumulative sum (Page, Biometrika, 1954) over the values of one metric."""

    history: Stats = NONE
    high: float = 0.0
    low: float = 0.0
    since_high: Stats = NONE
    """The values since the sum of what was higher was last zero."""
    since_low: Stats = NONE
    foreseen: Stats = NONE
    """By how much values were above what was expected of them."""

    def observe(self, value: float, expected: float | None = None, spread: float | None = None) -> "Cusum":
        """With one more value, compared with the history, or with the expectation where that is better known."""
        foreseen = self.foreseen if expected is None else self.foreseen.observe(value - expected)
        if self.history.count < LEAST:
            return Cusum(self.history.observe(value), foreseen=foreseen)
        scale = spread if spread is not None else self.spread()
        step = max(-4.0, min(4.0, (value - self.awaited(expected)) / scale))
        high, low = max(0.0, self.high + step - SLACK), max(0.0, self.low - step - SLACK)
        above = self.since_high.observe(value) if high else NONE
        below = self.since_low.observe(value) if low else NONE
        return Cusum(self.history.observe(value), high, low, above, below, foreseen)

    def awaited(self, expected: float | None) -> float:
        """The value to hold the next one against: what is expected of it, and by how much that has been wrong so far;
        the mean of the history where nothing is expected, or it is not known yet how wrong that is."""
        if expected is None or self.foreseen.count < LEAST:
            return self.history.mean
        return min(1.0, max(0.0, expected + self.foreseen.mean))

    def spread(self, least: float = 1e-9) -> float:
        """What a deviation is measured by: that of the history, at least a twentieth of its mean, and `least`."""
        return max(self.history.deviation, 0.05 * abs(self.history.mean), least)

    @property
    def recent(self) -> Stats:
        """The values that made the larger sum."""
        return self.since_high if self.high > self.low else self.since_low

    @property
    def drifted(self) -> bool:
        """Whether either sum is beyond the limit."""
        return max(self.high, self.low) > LIMIT


__all__ = ["LEAST", "LIMIT", "SLACK", "Cusum", "DriftSignal"]
