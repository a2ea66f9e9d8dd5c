"""`orchestrator runs` and `why`: lists runs and explains one."""

import datetime as dt
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.cli import options
from orchestrator.cli.result import MARKS
from orchestrator.cli.screen import say, table, write_json
from orchestrator.cli.session import find_run, reading
from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, nearest
from orchestrator.core.text import duration, plain, usd
from orchestrator.observability.explain.story import tell
from orchestrator.store.protocol import RunRow

from .why import show_story


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("runs")(_runs)
    app.command("why")(_why)


def _runs(
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS", help="Only runs that stand so.")] = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only runs that wait for a person.")] = False,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="TEXT", help="Only runs whose id, goal, policy or trace hold this."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many, the newest first.")] = 20,
    children: Annotated[bool, typer.Option("--children", help="Also the runs that runs reached for.")] = False,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """List the runs of a store, the newest first."""
    wanted = Status.WAITING if waiting else _status(status)
    with reading(store) as opened:
        rows = opened.runs(status=wanted, search=search, parent=... if children else None, limit=limit)
        total = opened.count_runs(status=wanted, search=search, parent=... if children else None)
    if as_json:
        write_json({"schema": "orchestrator.runs/1", "total": total, "runs": [_row_json(row) for row in rows]})
        return
    if not rows:
        say("No runs.")
        return
    headers = ["run", "status", "goal", "started", "took", "cost", "route"]
    table(headers, [_row_cells(row) for row in rows], right=[4, 5])
    if total > len(rows):
        say(Text(f"{len(rows)} of {total}; --limit shows more", "dim"))


def _status(text: str | None) -> Status | None:
    if text is None:
        return None
    try:
        return Status(text.lower())
    except ValueError:
        known = ", ".join(Status)
        raise InputError(
            f"There is no status {plain(text, 40)!r}.{nearest(text, list(Status))} Known: {known}."
        ) from None


def _row_json(row: RunRow) -> dict[str, Any]:
    return {
        "run_id": row.run_id,
        "parent": row.parent,
        "goal": row.goal,
        "status": str(row.status),
        "policy": row.policy,
        "started": row.started,
        "ended": row.ended,
        "records": row.count,
        "head": row.head,
        "trace_id": row.trace_id,
        "summary": row.summary,
    }


def _row_cells(row: RunRow) -> list[str | Text]:
    mark, style = MARKS[row.status]
    summary = row.summary
    route = " → ".join(map(str, summary.get("route") or ()))
    if summary.get("failures"):
        route += f"  ({summary['failures']} failed on the way)"
    told = str(summary.get("question") or "") if row.status is Status.WAITING else route
    if row.status is Status.ESCALATED:
        told = str(summary.get("impasse") or "")
    return [
        row.run_id,
        Text(f"{mark} {row.status}", style),
        row.goal,
        moment(row.started),
        duration(row.ended - row.started) if row.ended else "",
        usd(summary.get("cost")) if summary.get("cost") is not None else "",
        plain(told, 100),
    ]


def moment(at: float) -> str:
    """Seconds since the epoch as local date and time."""
    try:
        return dt.datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "-"


def _why(
    run: options.Run,
    full: Annotated[bool, typer.Option("--full", help="With every candidate of every decision.")] = False,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Tell a run in plain words: its route, what failed and how that was answered, who was asked, what it cost."""
    with reading(store) as opened:
        story = tell(opened, find_run(opened, run).run_id)
    if as_json:
        write_json(story.to_json())
    else:
        show_story(story, full=full)
