"""Drift detection by a two-sided CUSUM over deviations from the history, and its signal."""

from dataclasses import dataclass
from typing import Final

from orchestrator.selection.skills.evidence import Stats

LEAST: Final = 20
"""Observations that form the history."""
SLACK: Final = 0.5
"""Slack in standard deviations."""
LIMIT: Final = 12.0
"""Limit of the sum, in standard deviations. A steady metric reaches it by chance less than once in 20,000 observations;
one that shifts by two standard deviations, after about eight.
"""
NONE: Final = Stats()


@dataclass(frozen=True, slots=True)
class DriftSignal:
    """An agent has drifted from its own history in one metric."""

    agent: str
    metric: str
    """`outcome` (share of work well done), `seconds`, `usd`, `tokens` or `tool_calls`."""
    before: float
    now: float
    """Mean over the observations that revealed the drift."""
    observations: int
    """Number of these observations."""

    @property
    def worse(self) -> bool:
        """Whether the change is for the worse."""
        return self.now < self.before if self.metric == "outcome" else self.now > self.before

    @property
    def message(self) -> str:
        """The signal in one line."""
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
    """The values since the upper sum was last zero."""
    since_low: Stats = NONE
    foreseen: Stats = NONE
    """Statistics of the differences between values and their expectations."""

    def observe(self, value: float, expected: float | None = None, spread: float | None = None) -> "Cusum":
        """A copy with one more value, compared with the history, or with the expectation if there is enough evidence
        for it.
        """
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
        """The reference for the next value: its expectation, corrected by the mean error of expectations so far; the
        mean of the history if there is no expectation or its error is unknown yet.
        """
        if expected is None or self.foreseen.count < LEAST:
            return self.history.mean
        return min(1.0, max(0.0, expected + self.foreseen.mean))

    def spread(self, least: float = 1e-9) -> float:
        """The scale of deviations: the standard deviation of the history, at least a twentieth of its mean and at least
        `least`.
        """
        return max(self.history.deviation, 0.05 * abs(self.history.mean), least)

    @property
    def recent(self) -> Stats:
        """The values that contributed to the larger sum."""
        return self.since_high if self.high > self.low else self.since_low

    @property
    def drifted(self) -> bool:
        """Whether either sum is beyond the limit."""
        return max(self.high, self.low) > LIMIT


__all__ = ["LEAST", "LIMIT", "SLACK", "Cusum", "DriftSignal"]
