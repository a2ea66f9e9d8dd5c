"""Detects agents whose outcomes or costs deviate from their own history.

The sums are kept in the handbook, so that drift is found over many short processes as well.
"""

import math
from collections.abc import Mapping
from typing import Final

from .cusum import Cusum, DriftSignal
from .updates import CHECKED, Observation

METRICS: Final = ("outcome", "checked", "seconds", "usd", "tokens", "tool_calls")
"""The metrics, each with its own sums. `outcome` is of judged work, `checked` of work that only checks have judged:
nearly all of that passes, and would hide a drop in judged quality. A drift of either is reported as one of the outcome.
"""
NOISE: Final = 0.02
"""Deviations below this number of seconds are ignored: a busy machine causes them."""
Sums = Mapping[str, Cusum]
"""Metric -> its sums, of one agent."""


def watch(sums: Sums, seen: Observation, expected: float | None = None) -> tuple[dict[str, Cusum], list[DriftSignal]]:
    """An agent's sums after one observation, and the resulting signals.

    `expected`: the competence expected under its demand, if there was enough evidence; after a signal the history of
    the metric starts again.
    """
    after, signals = dict(sums), list[DriftSignal]()
    for metric in METRICS:
        value = _value(seen, metric)
        if value is None:
            continue
        before = sums.get(metric) or Cusum()
        now = _with(before, metric, value, expected)
        if now.drifted:
            name = "outcome" if metric == "checked" else metric
            signals.append(DriftSignal(seen.agent, name, before.history.mean, now.recent.mean, now.recent.count))
            now = Cusum()
        after[metric] = now
    return after, signals


def _value(seen: Observation, metric: str) -> float | None:
    """The value of a metric in an observation; `None` if it has none."""
    if metric in ("outcome", "checked"):
        return float(seen.success) if (seen.weight <= CHECKED) == (metric == "checked") else None
    value: float | None = getattr(seen, metric)
    return value


def _with(before: Cusum, metric: str, value: float, expected: float | None) -> Cusum:
    if metric == "seconds":
        return before.observe(value, spread=before.spread(NOISE))
    if metric not in ("outcome", "checked"):
        return before.observe(value)
    middle = before.awaited(expected)
    return before.observe(value, expected, math.sqrt(middle * (1 - middle) + 0.05))
