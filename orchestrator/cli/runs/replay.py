"""`orchestrator replay`: makes recorded decisions again, with the recorded or another policy."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from orchestrator.cli import completion, options
from orchestrator.cli.screen import Exit, complain, say, table, write_json
from orchestrator.cli.session import find_run, reading
from orchestrator.core.errors import DefinitionError, InputError
from orchestrator.core.policy import Policy
from orchestrator.core.process.installation import catalog_root
from orchestrator.core.text import counted, duration, listed, plain, usd
from orchestrator.observability.replay.backtest import Backtest, backtest
from orchestrator.observability.replay.replay import replay_run
from orchestrator.project import Project
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow

_PAGE: Final = 500
_SHOWN: Final = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(_replay)


def _replay(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="A run by id, by the beginning of its id, or `last`.", autocompletion=completion.runs
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All runs of the store, children included.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="With --all: only the newest so many runs.")] = 1_000_000,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME", help="What would have been decided under this policy.")
    ] = None,
    project: options.ProjectOption = None,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Compute every decision of a run again from its record. No tool and no model is called.

    With --all and --policy: how many decisions of the whole store would change, and what that would have cost.
    """
    if every == (run is not None):
        raise InputError("Name one run (or `last`) to replay, or all with --all.")
    other = _policy(project, policy) if policy is not None else None
    if run is None:
        _replay_all(store, other, limit, as_json=as_json)
        return
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


def _replay_all(where: str, other: Policy | None, limit: int, *, as_json: bool) -> None:
    with reading(where) as opened:
        found = backtest(opened, _rows(opened, limit), other)
    if as_json:
        write_json({"schema": "orchestrator.backtest/1", **found.to_json()})
    else:
        _show_backtest(found, other is not None)
    if not found.agrees and other is None:
        raise typer.Exit(int(Exit.UNEXPECTED))


def _rows(store: Store, limit: int) -> Iterator[RunRow]:
    for offset in range(0, limit, _PAGE):
        page = store.runs(limit=min(_PAGE, limit - offset), offset=offset)
        yield from page
        if len(page) < _PAGE:
            return


def _show_backtest(found: Backtest, other: bool) -> None:
    what = f"{counted(found.runs, 'run')}, {counted(found.decisions, 'decision')}"
    for run_id, why in list(found.unreadable.items())[:20]:
        complain(f"{run_id}: {why}", status="not replayed")
    if not found.changed:
        say(Text.assemble(("✓ ", "green"), f"{what}: all come out again"))
        return
    verb = "would be decided otherwise" if other else "do not come out again"
    name = f" under {plain(found.policy)}" if other else ""
    say(Text.assemble(("✗ ", "yellow" if other else "red"), f"{what}: {found.changed} {verb}{name}"))
    say(f"  in {counted(found.changed_runs, 'run')}: " + listed([f"{n} {kind}" for kind, n in found.by_kind.items()]))
    if other and found.routes:
        then, now = found.recorded, found.recomputed
        say()
        say(Text(f"Expected for the first routes of {counted(found.routes, 'run')}", "bold"))
        rows: list[list[str | Text]] = [
            ["money", usd(then.money), usd(now.money), _more(now.money - then.money, usd)],
            ["time", duration(then.latency), duration(now.latency), _more(now.latency - then.latency, duration)],
            ["risk", f"{then.risk:.3g}", f"{now.risk:.3g}", _more(now.risk - then.risk, "{:.3g}".format)],
        ]
        table(["", "recorded", "would be", "more"], rows, right=[1, 2, 3])
    say()
    rows = [
        [each.run_id, each.decision, str(each.kind), plain(each.recorded, 60), plain(each.recomputed, 60)]
        for each in found.changes[:_SHOWN]
    ]
    table(["run", "decision", "kind", "recorded", "would be"], rows)
    if found.changed > _SHOWN:
        say(Text(f"{found.changed - _SHOWN} more; --json lists up to 1,000", "dim"))


def _more(difference: float, form: Callable[[float], str]) -> str:
    return "same" if abs(difference) < 1e-9 else f"{'+' if difference > 0 else '-'}{form(abs(difference))}"


def _policy(folder: Path | None, name: str) -> Policy:
    """A policy by name without loading the project's code."""
    root = folder if folder is not None else catalog_root()
    if not root.is_dir():
        raise DefinitionError(f"There is no folder {str(root)!r}.")
    return Project(root, (), (), {}).policy(name)
