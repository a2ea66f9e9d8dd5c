"""`orchestrator runs`, `why`, `verify` and `replay`: what the record of runs says."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.core.catalog_path import catalog_root
from orchestrator.core.enums import Status
from orchestrator.core.errors import DefinitionError, InputError, nearest
from orchestrator.core.policy import Policy
from orchestrator.core.text import counted, duration, plain, usd
from orchestrator.observability.explain.story import tell
from orchestrator.observability.replay.replay import replay_run
from orchestrator.project import Project
from orchestrator.store import Store
from orchestrator.store.ledger.verify import (
    StoreVerification,
    Verification,
    export,
    verify_export,
    verify_run,
    verify_store,
)
from orchestrator.store.protocol import RunRow

from . import options
from .result import MARKS
from .screen import Exit, complain, say, table, write_json
from .session import find_run, reading
from .why import show_story


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("runs")(_runs)
    app.command("why")(_why)
    app.command("verify")(_verify)
    app.command("replay")(_replay)


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


def _verify(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run, `last`, or a file (.jsonl) that --export wrote.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every run, and the chain over runs.")] = False,
    head: Annotated[
        str, typer.Option("--head", metavar="HASH", help="A head noted before, which the record must still lead to.")
    ] = "",
    file: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Also write the run's ledger there, as JSON Lines.")
    ] = None,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Check that a record is whole and unchanged; says which records are not."""
    if every == (run is not None):
        raise InputError("Name one run (or `last`) to verify, or all with --all.")
    if run is not None and run.endswith(".jsonl"):
        found = _verify_exported(Path(run), head, file)
    else:
        found = _verify_stored(store, run, head, file)
    if as_json:
        write_json(_verified_json(found))
    else:
        _show_verified(found)
    if not found.ok:
        raise typer.Exit(int(Exit.UNEXPECTED))


def _verify_exported(exported: Path, head: str, file: Path | None) -> Verification | StoreVerification:
    if file is not None:
        raise InputError(f"{exported} is an export already; --export writes that of a run in a store.")
    with exported.open(encoding="utf-8", errors="surrogateescape") as lines:
        return verify_export(lines, head)


def _verify_stored(where: str, run: str | None, head: str, file: Path | None) -> Verification | StoreVerification:
    with reading(where) as opened:
        row = None if run is None else find_run(opened, run)
        found = verify_store(opened, head) if row is None else verify_run(opened, row.run_id, head)
        if file is not None:
            _export(opened, row, file)
        return found


def _verified_json(found: Verification | StoreVerification) -> dict[str, Any]:
    count, runs = (found.sealed, found.runs) if isinstance(found, StoreVerification) else (found.count, 1)
    return {
        "schema": "orchestrator.verify/1",
        "ok": found.ok,
        "problems": list(found.problems),
        "head": found.head,
        "count": count,
        "runs": runs,
    }


def _show_verified(found: Verification | StoreVerification) -> None:
    for problem in found.problems:
        complain(problem, status="not as it was written")
    if isinstance(found, StoreVerification):
        what = f"{counted(found.runs, 'run')} and the chain over the {found.sealed} that ended"
    else:
        what = f"run {plain(found.run_id)}: {counted(found.count, 'record')}"
    mark, said = (("✓ ", "green"), ", whole and unchanged") if found.ok else (("✗ ", "red"), "")
    say(Text.assemble(mark, f"{what}{said}", (f"  head {plain(found.head)}", "dim")))


def _export(store: Store, row: RunRow | None, file: Path) -> None:
    if row is None:
        raise InputError("--export writes the ledger of one run: name it.")
    if file.exists():
        raise InputError(f"{file} is there already; nothing is overwritten.")
    lines = list(export(store, row.run_id))
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _replay(
    run: options.Run,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME", help="What would have been decided under this policy.")
    ] = None,
    project: options.Project = None,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Make every decision of a run again from its record. No tool and no model is called."""
    other = _policy(project, policy) if policy is not None else None
    with reading(store) as opened:
        row = find_run(opened, run)
        replay = replay_run(opened, row.run_id, other)
    if as_json:
        write_json(
            {
                "schema": "orchestrator.replay/1",
                "run_id": row.run_id,
                "policy": replay.policy,
                "agrees": replay.agrees,
                "decisions": len(replay.decisions),
                "differences": [difference.to_json() for difference in replay.differences],
            }
        )
    elif replay.agrees:
        say(
            Text.assemble(
                ("✓ ", "green"), f"run {plain(row.run_id)}: all {len(replay.decisions)} decisions come out again"
            )
        )
    else:
        question = "would have been decided otherwise" if other else "does not come out again"
        say(Text.assemble(("✗ ", "red"), f"run {plain(row.run_id)} {question}"))
        for difference in replay.differences:
            say(f"  {plain(difference)}")
    if not replay.agrees and other is None:
        raise typer.Exit(int(Exit.UNEXPECTED))


def _policy(folder: Path | None, name: str) -> Policy:
    """A policy by name without loading the project's code."""
    root = folder if folder is not None else catalog_root()
    if not root.is_dir():
        raise DefinitionError(f"There is no folder {str(root)!r}.")
    return Project(root, (), (), {}).policy(name)
