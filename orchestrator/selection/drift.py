"""When an agent is no longer what it was: a cumulative sum over how far its outcomes and costs are from its history."""

import math
from dataclasses import dataclass, field
from typing import Final

from .evidence import Stats
from .learning import Observation

METRICS: Final = ("outcome", "seconds", "usd", "tokens", "tool_calls")
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

    def observe(self, value: float, expected: float | None = None, spread: float | None = None) -> "Cusum":
        """With one more value, told from the history, or from what was expected where that is known better."""
        if self.history.count < LEAST:
            return Cusum(self.history.observe(value))
        middle = self.history.mean if expected is None else expected
        scale = spread if spread is not None else max(self.history.deviation, 0.05 * abs(middle), 1e-9)
        step = max(-4.0, min(4.0, (value - middle) / scale))
        high, low = max(0.0, self.high + step - SLACK), max(0.0, self.low - step - SLACK)
        above = self.since_high.observe(value) if high else NONE
        below = self.since_low.observe(value) if low else NONE
        return Cusum(self.history.observe(value), high, low, above, below)

    @property
    def recent(self) -> Stats:
        """The values that made the larger sum."""
        return self.since_high if self.high > self.low else self.since_low

    @property
    def drifted(self) -> bool:
        """Whether either sum is beyond the limit."""
        return max(self.high, self.low) > LIMIT


@dataclass
class DriftMonitor:
    """Watches what is learned about each agent; fed by the selector off the path of calls."""

    _sums: dict[tuple[str, str], Cusum] = field(default_factory=dict[tuple[str, str], Cusum])

    def observe(self, seen: Observation, expected: float | None = None) -> list[DriftSignal]:
        """Signals that one observation sets off. `expected` is the competence that was expected under its demand,
        where there was evidence enough to expect any; after a signal the history starts anew."""
        signals: list[DriftSignal] = []
        for metric in METRICS:
            value = float(seen.success) if metric == "outcome" else getattr(seen, metric)
            if value is None:
                continue
            key = (seen.agent, metric)
            before = self._sums.get(key) or Cusum()
            after = self._with(before, metric, value, expected)
            if after.drifted:
                mean = before.history.mean if metric != "outcome" or expected is None else expected
                signals.append(DriftSignal(seen.agent, metric, mean, after.recent.mean, after.recent.count))
                after = Cusum()
            self._sums[key] = after
        return signals

    @staticmethod
    def _with(before: Cusum, metric: str, value: float, expected: float | None) -> Cusum:
        if metric != "outcome":
            return before.observe(value)
        middle = before.history.mean if expected is None else expected
        return before.observe(value, middle, math.sqrt(middle * (1 - middle) + 0.05))
