"""`orchestrator runs` and `why`: lists runs and explains one."""

import datetime as dt
import time
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.cli import completion, options
from orchestrator.cli.options import Labels, Since, Until, read_failure, read_labels, read_status
from orchestrator.cli.result import MARKS
from orchestrator.cli.screen import say, table, write_json
from orchestrator.cli.session import find_run, reading
from orchestrator.core.enums import Status
from orchestrator.core.text import counted, duration, plain, usd
from orchestrator.observability.run_filter import RunFilter, read_time
from orchestrator.observability.run_status import lost_runs, only_here_text, waiting_text
from orchestrator.store.rows import RunRow


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
    label: Labels = None,
    tool: Annotated[
        str | None,
        typer.Option("--tool", metavar="TOOL", help="Only runs that called it.", autocompletion=completion.tools),
    ] = None,
    failure: Annotated[
        str | None, typer.Option("--failure", metavar="CLASS", help="Only runs in which a call failed so.")
    ] = None,
    healed: Annotated[
        bool, typer.Option("--healed", help="Only runs that reached a goal although a call failed.")
    ] = False,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many, the newest first.")] = 20,
    children: Annotated[bool, typer.Option("--children", help="Also the runs that runs reached for.")] = False,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """List the runs of a store, the newest first."""
    wanted = RunFilter(
        status=Status.WAITING if waiting else read_status(status),
        search=search,
        labels=read_labels(label),
        since=read_time(since),
        until=read_time(until),
        tool=tool,
        failure=read_failure(failure),
        healed=healed,
        children=children,
    )
    with reading(store) as opened:
        rows = list(wanted.rows(opened, limit))
        total = wanted.count(opened) if len(rows) == limit else len(rows)
        dead = lost_runs(opened, rows)
    if as_json:
        runs = [{**_row_json(row), "lost": row.run_id in dead} for row in rows]
        write_json({"schema": "orchestrator.runs/1", "total": total, "runs": runs})
        return
    if not rows:
        say("No runs.")
        return
    headers = ["run", "status", "goal", "started", "took", "cost", "route"]
    table(headers, [_row_cells(row, row.run_id in dead) for row in rows], right=[4, 5])
    if total > len(rows):
        say(Text(f"{len(rows)} of {total}; --limit shows more", "dim"))


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
        "labels": dict(row.labels),
        "set_aside": row.status is Status.QUEUED and row.wake is None,
        "waiting": waiting_text(row, time.time()),
        "only_here": only_here_text(row),
        "summary": row.summary,
    }


def _row_cells(row: RunRow, lost: bool) -> list[str | Text]:
    mark, style = MARKS[row.status] if not lost else ("✗", "yellow")
    summary = row.summary
    route = " → ".join(map(str, summary.get("route") or ()))
    if summary.get("failures"):
        route += f"  ({summary['failures']} failed on the way)"
    about_run = route
    if row.status is Status.WAITING:
        about = (waiting_text(row, time.time()), only_here_text(row), str(summary.get("question") or ""))
        about_run = "; ".join(filter(None, about))
    if row.status is Status.ESCALATED:
        about_run = str(summary.get("impasse") or "")
    if row.status is Status.QUEUED:
        about_run = f"a worker left it to others: {summary['left']}" if summary.get("left") else ""
        about_run = (
            f"set aside: it lost {counted(row.attempts, 'worker')}; `recover` queues it again"
            if row.wake is None
            else about_run
        )
    return [
        row.run_id,
        Text(f"{mark} {row.status}" + (", process lost" if lost else ""), style),
        row.goal,
        local_time(row.started),
        duration(row.ended - row.started) if row.ended else "",
        usd(summary.get("cost")) if summary.get("cost") is not None else "",
        plain(about_run, 200 if row.status is Status.WAITING else 100),
    ]


def local_time(at: float) -> str:
    """Seconds since the epoch as local date and time."""
    try:
        return dt.datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "-"


def _why(
    run: options.RunArgument,
    full: Annotated[bool, typer.Option("--full", help="With every candidate of every decision.")] = False,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Describe a run in plain words: its route, failures and their answers, who was asked, what it cost."""
    with reading(store) as opened:
        from orchestrator.observability.explain.story import read_story  # here: it imports the engine

        from .why import show_story

        row = find_run(opened, run)
        story, lost = read_story(opened, row.run_id), bool(lost_runs(opened, [row]))
    if as_json:
        write_json(story.to_json())
    else:
        show_story(story, full=full, lost=lost)
