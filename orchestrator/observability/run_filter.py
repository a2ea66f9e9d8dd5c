"""`RunFilter`: selects runs of a store by status, label, time, tool and failure class."""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from orchestrator.core.enums import FailureKind, Status
from orchestrator.core.errors import InputError
from orchestrator.core.text import plain
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow, SummaryHints

_PAGE: Final = 500
_LARGEST_PAGE: Final = 4000
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class RunFilter:
    """The criteria. Those without an index in the store are checked run by run, newest first."""

    status: Status | None = None
    search: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    since: float | None = None
    until: float | None = None
    tool: str | None = None
    """Runs that called this tool."""
    failure: FailureKind | None = None
    """Runs in which a call failed with this class."""
    healed: bool = False
    """Runs that reached a goal although a call failed."""
    children: bool = False

    @property
    def indexed(self) -> bool:
        """Whether the store's indexes cover all criteria."""
        return not (self.since or self.until or self.tool or self.failure or self.healed)

    def rows(self, store: Store, limit: int, offset: int = 0) -> Iterator[RunRow]:
        """At most `limit` runs, newest first; without an index the first `offset` are skipped one by one."""
        if not self.indexed and offset:
            yield from islice(self.rows(store, offset + limit), offset, None)
            return
        hints = None if self.indexed else self._hints
        found, size = 0, min(max(_PAGE, limit), _LARGEST_PAGE)
        while found < limit:
            page = store.runs(
                status=self.status,
                search=self.search,
                parent=... if self.children else None,
                limit=min(size, limit) if self.indexed else size,
                offset=offset,
                labels=self.labels or None,
                hints=hints,
            )
            for row in page:
                if self.since is not None and row.started < self.since:
                    return
                if self._fits(row):
                    yield row
                    found += 1
                    if found >= limit:
                        return
            if len(page) < size:
                return
            offset += len(page)
            size = min(2 * size, _LARGEST_PAGE)  # a page far back costs the database a walk over those before it

    def count(self, store: Store) -> int:
        """The number of runs."""
        if not self.indexed:
            return sum(1 for _ in self.rows(store, 10**9))
        parent = ... if self.children else None
        return store.count_runs(status=self.status, search=self.search, parent=parent, labels=self.labels or None)

    def counts(self, store: Store) -> dict[Status, int]:
        """The number of runs of each status, independent of `status`; only for an indexed filter."""
        return store.count_by_status(self.search, ... if self.children else None, self.labels or None)

    @property
    def _hints(self) -> SummaryHints:
        names = (self.tool, None if self.failure is None else str(self.failure))
        return SummaryHints(self.since, self.until, tuple(name for name in names if name is not None), self.healed)

    def _fits(self, row: RunRow) -> bool:
        summary = row.summary
        if self.until is not None and row.started >= self.until:
            return False
        if self.tool is not None and self.tool not in _names(summary.get("tools", summary.get("route"))):
            return False
        if self.failure is not None and str(self.failure) not in _names(summary.get("failed")):
            return False
        return not self.healed or was_healed(row)


def was_healed(row: RunRow) -> bool:
    """Whether a run reached a goal although a call failed."""
    return row.status in (Status.REACHED, Status.DEMOTED) and bool(row.summary.get("failures"))


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple | dict) else ()  # pyright: ignore[reportUnknownArgumentType]


def read_time(text: str | None) -> float | None:
    """A date, a date with a time (of this machine's zone where none is named), or an age. Raises `InputError`."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return time.time() - float(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise InputError(f"{plain(text, 40)!r} is no time. Write 2026-11-29, 2026-11-29T08:00, 24h or 7d.") from None


__all__ = ["RunFilter", "read_time", "was_healed"]
