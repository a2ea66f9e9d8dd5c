"""`orchestrator verify`: checks recorded ledgers and exports them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.cli import completion, options
from orchestrator.cli.screen import Exit, complain, say, write_json
from orchestrator.cli.session import find_run, reading
from orchestrator.core.errors import InputError
from orchestrator.core.text import counted, plain
from orchestrator.observability.report import ledgers_of, signatures_of
from orchestrator.observability.signature import check_signature
from orchestrator.store import Store
from orchestrator.store.ledger.verify import (
    StoreVerification,
    Verification,
    export,
    verify_export,
    verify_run,
    verify_store,
)
from orchestrator.store.rows import RunRow


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(_verify)


def _verify(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run, `last`, a file (.jsonl) that --export wrote, or a report (.html).",
            autocompletion=completion.runs,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every run, and the chain over runs.")] = False,
    head: Annotated[
        str, typer.Option("--head", metavar="HASH", help="A head noted before, which the record must still lead to.")
    ] = "",
    file: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Also write the run's ledger there, as JSON Lines.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="KEY", help="The public key (PEM) that must have signed a report.")
    ] = None,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Check that a record is complete and unchanged, and name the records that are not."""
    if every == (run is not None):
        raise InputError("Name one run (or `last`) to verify, or all with --all.")
    found: Verification | StoreVerification
    if run is not None and run.endswith(".html") and Path(run).is_file():
        found = _verify_report(Path(run), head, key)
    elif key is not None:
        raise InputError("--key checks the signatures of a report: name its file (.html).")
    elif run is not None and run.endswith(".jsonl"):
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


def _verify_report(report: Path, head: str, key: Path | None) -> Verification:
    """Check the ledgers that a report embeds, and its signatures."""
    text = report.read_text(encoding="utf-8", errors="surrogateescape")
    ledgers, signatures = ledgers_of(text), signatures_of(text)
    found = [verify_export(lines) for lines in ledgers]
    problems = [f"run {each.run_id}: {problem}" for each in found for problem in each.problems]
    if not ledgers:
        problems.append("it embeds no ledger: it is no report, or was cut")
    if key is not None and len(signatures) != len(ledgers):
        problems.append(f"{len(signatures)} of {len(ledgers)} runs are signed")
    heads = {each.run_id: each.head for each in found}
    for signature in signatures:
        wrong = check_signature(signature, key)
        signed = json.loads(signature.statement)
        if not wrong and heads.get(signed.get("run")) != signed.get("head"):
            wrong = "the signed head is not that of the ledger"
        if wrong:
            problems.append(f"run {signed.get('run')}: {wrong}")
    if head and head not in heads.values():
        problems.append(f"no run ends in the head {head!r}")
    name = found[0].run_id if len(found) == 1 else counted(len(found), "run")
    last = found[0].head if len(found) == 1 else ""
    return Verification(name, tuple(problems), last, sum(each.count for each in found))


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
    several = isinstance(found, Verification) and not found.head and found.count > 0  # a report of several runs
    for problem in found.problems:
        complain(problem, status="not as it was written")
    if isinstance(found, StoreVerification):
        what = f"{counted(found.runs, 'run')} and the chain over the {found.sealed} that ended"
    else:
        what = f"{plain(found.run_id) if several else f'run {plain(found.run_id)}'}: {counted(found.count, 'record')}"
    mark, result = (("✓ ", "green"), ", whole and unchanged") if found.ok else (("✗ ", "red"), "")
    say(Text.assemble(mark, f"{what}{result}", (f"  head {plain(found.head)}" if found.head else "", "dim")))


def _export(store: Store, row: RunRow | None, file: Path) -> None:
    if row is None:
        raise InputError("--export writes the ledger of one run: name it.")
    if file.exists():
        raise InputError(f"{file} is there already; nothing is overwritten.")
    lines = list(export(store, row.run_id))
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
