"""`orchestrator report`: a self-contained HTML file for auditors, over one run or many."""

import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import completion, options
from orchestrator.cli.options import Labels, Since, Until, read_labels
from orchestrator.cli.screen import Exit, complain
from orchestrator.cli.session import find_run, reading
from orchestrator.core.errors import InputError
from orchestrator.core.text import counted, plain
from orchestrator.observability.report import report_html
from orchestrator.observability.run_filter import RunFilter, read_time


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(_report)


def _report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="A run by id, by the beginning of its id, or `last`.", autocompletion=completion.runs
        ),
    ] = None,
    label: Labels = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many runs, the newest.")] = 1000,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", "--output", metavar="FILE", help="Where to write it; in a pipe: standard output."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Sign the heads with this Ed25519 private key (PEM).")
    ] = None,
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Write a report for auditors: history, decisions, approvals, verification and anchored head, in one HTML file.

    For RUN, or for all runs with a label or of a time. It needs no network, prints well, and embeds the ledger, so
    that `orchestrator verify FILE` checks it. Exit status 1 when the store was changed; the report says where.
    """
    labels = read_labels(label)
    many = bool(labels or since or until)
    if many == (run is not None):
        raise InputError("Name one run (or `last`), or choose runs with --label, --since or --until.")
    with reading(store) as opened:
        if run is not None:
            rows = [find_run(opened, run)]
        else:
            wanted = RunFilter(labels=labels, since=read_time(since), until=read_time(until), children=True)
            rows = list(wanted.rows(opened, limit))
        if not rows:
            raise InputError("No run is like that.")
        text, whole = report_html(opened, rows, now=time.time(), key_file=key)
    where = out
    if where is None and sys.stdout.isatty():
        where = Path(f"report-{re.sub(r'[^A-Za-z0-9_.-]', '_', rows[0].run_id) if run else 'runs'}.html")
    if where is None or str(where) == "-":
        sys.stdout.write(text)
    else:
        where.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{plain(where)}: {counted(len(rows), 'run')}\n")
    if not whole:
        complain("the report says which records are not as written", status="the store was changed")
        raise typer.Exit(int(Exit.UNEXPECTED))


__all__ = ["register"]
