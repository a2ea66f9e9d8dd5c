"""`Scale`: the timeline's axis. Long stretches without activity (a person was asked) are compressed."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

GAP_SHARE = 0.03
"""Width of a compressed gap, as a share of the axis."""
SHORTEST = 1e-9
"""Seconds: what is shorter in all would make the scale overflow."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Seconds since the run began -> a place in [0, 1]."""

    points: tuple[tuple[float, float], ...]
    """(second, place), both ascending."""
    gaps: tuple[tuple[float, float], ...] = ()
    """(place, seconds) of the gaps that are drawn short."""

    def place(self, at: float) -> float:
        """Where a second lies."""
        for (before, left), (after, right) in zip(self.points, self.points[1:], strict=False):
            if at <= after:
                share = (at - before) / (after - before) if after > before else 0.0
                return left + max(0.0, share) * (right - left)
        return self.points[-1][1]


def scale_of(spans: Iterable[tuple[float, float]]) -> Scale:
    """The axis over these spans of time, which may overlap; those without length are moments."""
    merged: list[list[float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    if not merged:
        return Scale(((0.0, 0.0), (1.0, 1.0)))
    busy = sum(end - start for start, end in merged)
    gaps = [(a[1], b[0]) for a, b in itertools.pairwise(merged)]
    long = [gap for gap in gaps if gap[1] - gap[0] > max(2.0, busy)]
    shown = GAP_SHARE if len(long) * GAP_SHARE < 0.5 else 0.5 / len(long)
    first, last = merged[0][0], max(end for _, end in merged)
    resumed = [first, *(end for _, end in long)]
    stopped = [*(start for start, _ in long), last]
    normal = sum(end - start for start, end in zip(resumed, stopped, strict=True))
    rate = (1.0 - shown * len(long)) / max(normal, SHORTEST)
    points, compressed, place, before = [(first, 0.0)], list[tuple[float, float]](), 0.0, first
    for start, end in long:
        place += (start - before) * rate
        points.append((start, place))
        compressed.append((place, end - start))
        place += shown
        points.append((end, place))
        before = end
    points.append((max(last, first + SHORTEST), 1.0))
    return Scale(tuple(points), tuple(compressed))
