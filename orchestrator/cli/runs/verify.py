"""`orchestrator verify`: checks recorded ledgers and exports them."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.cli import options
from orchestrator.cli.screen import Exit, complain, say, write_json
from orchestrator.cli.session import find_run, reading
from orchestrator.core.errors import InputError
from orchestrator.core.text import counted, plain
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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(_verify)


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
