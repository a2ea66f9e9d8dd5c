"""Detects agents whose outcomes or costs left their own history.

The sums are kept in the handbook, so that drift is found over many short processes as it is in a long one.
"""

import math
from collections.abc import Mapping
from typing import Final

from .cusum import Cusum, DriftSignal
from .updates import CHECKED, Observation

METRICS: Final = ("outcome", "checked", "seconds", "usd", "tokens", "tool_calls")
"""What is summed, each by itself. Judged work is `outcome`, work that only checks have judged is `checked`: nearly all
of it passes its checks, and would hide that people think less of it. A drift of either is of the outcome."""
NOISE: Final = 0.02
"""Seconds that say nothing of an agent: a busy machine takes them from anybody."""
Sums = Mapping[str, Cusum]
"""Metric -> its sums, of one agent."""


def watch(sums: Sums, seen: Observation, expected: float | None = None) -> tuple[dict[str, Cusum], list[DriftSignal]]:
    """An agent's sums after one observation, and the signals that it sets off.

    `expected` is the competence that was expected under its demand, where there was evidence enough to expect any;
    after a signal the history of its metric starts again.
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
    """What an observation adds to a metric; `None` for nothing."""
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
