"""The overview: runs, healed share, escalations and spending by hour, and what needs attention now."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

from orchestrator.core.enums import CircuitState, Status
from orchestrator.observability.run_filter import RunFilter, was_healed
from orchestrator.observability.run_status import lost_runs
from orchestrator.store.rows import RunRow

from .backend import Backend
from .render_pages import render

HOURS: Final = 24
MAX_RUNS: Final = 2_000
"""Number of newest runs that one page summarises."""


@dataclass
class Hour:
    """The runs of one hour."""

    begins: float
    """Seconds since the epoch."""
    runs: int = 0
    failed: int = 0
    """Runs in which a call failed."""
    healed: int = 0
    escalated: int = 0
    waiting: int = 0
    spent: float = 0.0
    """US dollars."""

    @property
    def healed_share(self) -> float | None:
        """The share of runs that reached a goal among those in which a call failed; `None` if there are none."""
        return self.healed / self.failed if self.failed else None

    def add(self, row: RunRow) -> None:
        """Count one run."""
        self.runs += 1
        self.failed += bool(row.summary.get("failures"))
        self.healed += was_healed(row)
        self.escalated += row.status is Status.ESCALATED
        self.waiting += row.status is Status.WAITING
        cost = row.summary.get("cost")
        self.spent += float(cost) if isinstance(cost, int | float) else 0.0


@dataclass
class Overview:
    """The last day."""

    hours: list[Hour]
    total: Hour
    by_failure: Counter[str] = field(default_factory=Counter[str])
    """Number of runs by failure class."""
    by_policy: Counter[str] = field(default_factory=Counter[str])

    @property
    def busiest(self) -> int:
        """Number of runs in the busiest hour, at least 1."""
        return max(1, *(hour.runs for hour in self.hours))


def overview_of(rows: Iterable[RunRow], now: float) -> Overview:
    """The last day, hour by hour, the newest first."""
    first = now - now % 3600
    found = Overview([Hour(first - 3600 * n) for n in range(HOURS)], Hour(first - 3600 * (HOURS - 1)))
    for row in rows:
        place = int((first + 3600 - row.started) // 3600)
        if 0 <= place < HOURS:
            found.hours[place].add(row)
            found.total.add(row)
            found.by_failure.update(map(str, row.summary.get("failed") or ()))
            found.by_policy[row.policy] += 1
    return found


def overview_page(request: Request, backend: Backend) -> HTMLResponse:
    """The page."""
    del request
    now = time.time()
    rows = list(islice(RunFilter(since=now - 3600 * HOURS).rows(backend.store, MAX_RUNS), MAX_RUNS))
    running = list(RunFilter(status=Status.RUNNING).rows(backend.store, 200))
    tools, _ = backend.statuses()
    return render(
        "overview.html",
        overview=overview_of(rows, now),
        partial=len(rows) == MAX_RUNS,
        waiting=backend.store.count_runs(Status.WAITING, None, None),
        running=len(running),
        lost=len(lost_runs(backend.store, running)),
        down=[tool for tool in tools if tool.circuit is not CircuitState.CLOSED],
        hour_name=_hour_name,
        here="overview",
        live=True,
    )


def _hour_name(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M")


__all__ = ["Hour", "Overview", "overview_of", "overview_page"]
