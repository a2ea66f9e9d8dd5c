"""A page per tool: its health, the trend of its calls by hour, its circuit, and the runs that called it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from orchestrator.core.events import CallEnded, Event, SignalRaised, ToolExcluded
from orchestrator.graph.revision import ToolSpec
from orchestrator.observability.recorded import recorded_graphs
from orchestrator.observability.run_filter import RunFilter
from orchestrator.store.ledger.encoding import readable_event
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow

from .backend import Backend
from .render_pages import render
from .security import Keys

MOST_RUNS: Final = 50
"""Number of newest runs of the tool whose records are read."""
MOST_NOTES: Final = 30
_KINDS: Final = tuple(kind.__name__ for kind in (CallEnded, SignalRaised, ToolExcluded))


@dataclass
class HourOfCalls:
    """The calls of one hour."""

    begins: float
    calls: int = 0
    failed: int = 0
    seconds: float = 0.0
    cost: float = 0.0

    @property
    def success(self) -> float:
        """Share of the calls that worked."""
        return 1 - self.failed / self.calls if self.calls else 0.0


@dataclass
class Trend:
    """The history of a tool in the records of some runs."""

    buckets: dict[int, HourOfCalls] = field(default_factory=dict[int, HourOfCalls])
    """Hour since the epoch -> its calls."""
    notes: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    """(time, run, what happened): failures, signals, exclusions."""

    def take(self, run_id: str, event: Event, tool: str) -> None:
        """Count one event if it is about the tool."""
        match event:
            case CallEnded() if event.tool == tool and not event.cancelled and not event.asked:
                hour = int(event.at // 3600)
                bucket = self.buckets.setdefault(hour, HourOfCalls(hour * 3600.0))
                bucket.calls += 1
                bucket.seconds += event.seconds
                bucket.cost += event.cost
                if event.failure is not None:
                    bucket.failed += 1
                    self.notes.append((event.at, run_id, f"{event.failure.kind}: {event.failure.message}"))
            case SignalRaised() if event.target == tool:
                self.notes.append((event.at, run_id, f"signal {event.kind}, {event.action}: {event.reason}"))
            case ToolExcluded() if event.tool == tool:
                self.notes.append((event.at, run_id, f"left out: {event.reason}"))
            case _:
                pass


def trend_of(store: Store, rows: Iterable[RunRow], tool: str) -> Trend:
    """The trend of a tool over these runs; records that cannot be read are left out."""
    found = Trend()
    for run_id, records in store.records_of([row.run_id for row in rows], _KINDS).items():
        for record in records:
            event = readable_event(record)
            if event is not None:
                found.take(run_id, event, tool)
    found.notes.sort(reverse=True)
    return found


def tool_page(backend: Backend, keys: Keys, name: str) -> HTMLResponse:
    """The page. Raises `HTTPException` 404 for a tool that is unknown."""
    tools, transitions = backend.statuses()
    status = next((tool for tool in tools if tool.name == name), None)
    if status is None:
        raise HTTPException(404, "Neither the project nor a recent run has such a tool.")
    rows = list(RunFilter(tool=name, children=True).rows(backend.store, MOST_RUNS))
    trend = trend_of(backend.store, rows, name)
    return render(
        "tool.html",
        tool=status,
        spec=_spec(backend, name),
        transitions=[(a, b, each) for a, b, each in transitions if name in (a, b)],
        buckets=sorted(trend.buckets.values(), key=lambda bucket: -bucket.begins)[:48],
        notes=trend.notes[:MOST_NOTES],
        rows=rows,
        hour_name=_hour_name,
        csrf=keys.form,
        here="health",
        live=True,
    )


def _spec(backend: Backend, name: str) -> ToolSpec | None:
    orc = backend.orchestrator if backend.orchestrator is not None else backend.project()
    views = [orc.graph.view()] if orc is not None else []
    for view in (*views, *recorded_graphs(backend.store)):
        if name in view.nodes:
            return view.nodes[name]
    return None


def _hour_name(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%m-%d %H:00")


__all__ = ["Trend", "tool_page", "trend_of"]
