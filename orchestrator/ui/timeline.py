"""The timeline of a run page: lines with bars on one axis, successful calls folded, an overview of a long run."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from orchestrator.core.enums import Status
from orchestrator.store.rows import RunRow

from .run_history import RunHistory, TimelineRow

GAP_SHARE = 0.03
"""Width of a compressed gap, as a share of the axis."""
SHORTEST = 1e-9
"""Minimum total length in seconds; a shorter one would overflow the scale."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps seconds since the run began to a position in [0, 1]."""

    points: tuple[tuple[float, float], ...]
    """Pairs (second, position), both ascending."""
    gaps: tuple[tuple[float, float], ...] = ()
    """Pairs (position, seconds) of compressed gaps."""

    def place(self, at: float) -> float:
        """The position of a second."""
        for (before, left), (after, right) in zip(self.points, self.points[1:], strict=False):
            if at <= after:
                share = (at - before) / (after - before) if after > before else 0.0
                return left + max(0.0, share) * (right - left)
        return self.points[-1][1]


def scale_of(spans: Iterable[tuple[float, float]]) -> Scale:
    """The axis over these spans of time, which may overlap and may have no length."""
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


WINDOW: Final = 150
"""Lines of the timeline on one page."""
MOST_MARKS: Final = 300
"""Marks on the overview of a long timeline."""
LONG: Final = 40
"""Number of lines from which successful calls are folded."""
SHORTEST_FOLD: Final = 4
_CHILD_STATES: Final = {Status.REACHED: "ok", Status.DEMOTED: "ok", Status.ESCALATED: "failed", Status.WAITING: "asked"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A line of the timeline with its place on the axis, in thousandths."""

    row: TimelineRow
    left: float
    width: float
    current: bool


@dataclass(frozen=True, slots=True)
class Fold:
    """Successive calls, or child runs, that succeeded at the first attempt: one line of a long timeline."""

    lines: tuple[Shown, ...]

    @property
    def kind(self) -> str:
        """The kind of its lines: `call` or `child`."""
        return self.lines[0].row.kind

    @property
    def names(self) -> tuple[str, ...]:
        """The tools, or the goals of the child runs, each once."""
        return tuple(dict.fromkeys(line.row.text if self.kind == "child" else line.row.tool for line in self.lines))


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark on the overview of a long timeline."""

    state: str
    """`failed`, `asked`, `running`, `decided`, or `current` for the decision that is shown."""
    left: float
    decision: str
    """The decision to go to; empty for none."""


def _with_children(history: RunHistory, children: Sequence[RunRow]) -> tuple[TimelineRow, ...]:
    """The rows of the timeline with a row for each child run, where it began."""
    if not children:
        return history.rows
    began = history.state.started_at
    made = [
        TimelineRow(
            0,
            "child",
            max(0.0, child.started - began),
            None if child.ended is None else max(0.0, child.ended - began),
            child.goal,
            child.run_id,
            state=_CHILD_STATES.get(child.status, "running"),
        )
        for child in children
    ]
    return tuple(sorted((*history.rows, *made), key=lambda row: row.at))


def _folded(lines: list[Shown]) -> list[Shown | Fold]:
    """Fold successive successful calls of a long timeline."""
    if len(lines) < LONG:
        return list(lines)
    found: list[Shown | Fold] = []
    for (quiet, _), group in groupby(lines, lambda line: (_quiet(line), line.row.kind)):
        some = tuple(group)
        if quiet and len(some) >= SHORTEST_FOLD:
            found.append(Fold(some))
        else:
            found += some
    return found


def _quiet(line: Shown) -> bool:
    row = line.row
    return row.kind in ("call", "child") and row.state == "ok" and row.attempt == 1


def timeline(asked: str, history: RunHistory, current: str, children: Sequence[RunRow]) -> dict[str, Any]:
    """The lines around the selected decision `current`, or those from the requested number."""
    rows = _with_children(history, children)
    start = _start(asked, rows, current)
    window = rows[start : start + WINDOW]
    last = max((row.until or row.at for row in rows), default=0.0)
    ends = _ends(window, last)
    scale = scale_of(ends)
    return {
        "lines": _folded([_shown(row, end, scale, current) for row, (_, end) in zip(window, ends, strict=True)]),
        "shown": len(window),
        "scale": scale,
        "start": start,
        "size": len(rows),
        "marks": _marks(history, rows, current, scale_of(_ends(rows, last))) if len(rows) >= LONG else (),
        "earlier": max(0, start - WINDOW) if start else None,
        "later": start + WINDOW if start + WINDOW < len(rows) else None,
        "spans": scale.points[-1][0] - scale.points[0][0],
    }


def _ends(rows: Sequence[TimelineRow], last: float) -> list[tuple[float, float]]:
    """Start and end of each row; a row without an end lasts until now."""
    return [(row.at, last if row.state == "running" else row.until or row.at) for row in rows]


def _marks(history: RunHistory, rows: Sequence[TimelineRow], current: str, scale: Scale) -> list[Mark]:
    """Marks of a long run: failures, questions and decisions; failures take precedence; in order of time."""
    found: list[Mark] = []
    for row in rows:
        answer = history.answers.get(row.failure.id) if row.failure is not None else None
        decision = row.decision or (answer.decision if answer is not None else "")
        state = "decided" if row.decision else row.state
        if state in ("failed", "asked", "decided", "running"):
            shown = "current" if row.decision and row.decision == current else state
            found.append(Mark(shown, min(scale.place(row.at) * 1000, 997.0), decision))
    found.sort(key=lambda mark: mark.state == "decided")
    return sorted(found[:MOST_MARKS], key=lambda mark: (mark.state == "current", mark.left))


def _start(asked: str, rows: tuple[TimelineRow, ...], current: str) -> int:
    if asked.isascii() and asked.isdigit() and len(asked) < 9:
        return min(int(asked), max(0, len(rows) - 1))
    place = next((n for n, row in enumerate(rows) if row.decision == current and current), 0)
    return 0 if place < WINDOW else place - WINDOW // 3


def _shown(row: TimelineRow, end: float, scale: Scale, current: str) -> Shown:
    left = scale.place(row.at) * 1000
    width = max(3.0, scale.place(end) * 1000 - left)
    return Shown(
        row, min(left, 997.0), min(width, 1000.0 - min(left, 997.0)), bool(current) and row.decision == current
    )
