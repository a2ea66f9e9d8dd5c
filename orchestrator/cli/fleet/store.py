"""`orchestrator store`: migrate, check, prune and copy a store, keep runs, erase values."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Final

import typer

from orchestrator.cli import options
from orchestrator.cli.invocation import command
from orchestrator.cli.options import read_labels, read_status
from orchestrator.cli.screen import Exit, say, write_json
from orchestrator.cli.session import address, existing, find_run, reading
from orchestrator.core.errors import InputError, StoreError
from orchestrator.core.text import counted, listed, plain
from orchestrator.store import open_store
from orchestrator.store.ledger.verify import verify_store
from orchestrator.store.retention import erase_values, keep_run, kept_runs

_NO_PROJECT: Final = ("--project", "--policy")
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Maintain a store: migrate tables, check, prune, erase, copy.")
    group.command("migrate")(_migrate)
    group.command("check")(_check)
    group.command("prune")(_prune)
    group.command("keep")(_keep)
    group.command("erase")(_erase)
    group.command("copy")(_copy)
    app.add_typer(group, name="store")


def _migrate(
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait for the processes that use the store.")
    ] = 0.0,
    force: Annotated[bool, typer.Option("--force", help="Move the tables under processes that use them.")] = False,
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Move the tables of an older store to the schema of this program, or make them, once no process uses it."""
    from orchestrator.store.sql import maintenance

    store = address(store)
    done = maintenance.migrate(store, force=force, wait=wait)
    if done.before is None:
        say(f"made the tables of {_shown(store)}, schema version {done.after}")
    elif done.before == done.after:
        made = f"; made {counted(len(done.indexes), 'index', 'indexes')} that it lacked" if done.indexes else ""
        say(f"{_shown(store)} has schema version {done.after} already{made}")
    else:
        say(f"moved {_shown(store)} from schema version {done.before} to {done.after}")


def _check(store: options.StoreOption = options.DEFAULT_STORE, as_json: options.AsJson = False) -> None:
    """Check the schema, every ledger and the chain over runs; list runs that nobody drives. Changes nothing."""
    from orchestrator.store.sql import maintenance

    store = _existing(store)
    found = maintenance.check_store(store)
    problems: tuple[str, ...] = ()
    if found.current:
        opened = open_store(store)
        problems = verify_store(opened).problems
        opened.close()
    else:
        problems = (f"schema version {found.schema}: run `{command('store', 'migrate', but=_NO_PROJECT)}`",)
    if as_json:
        write_json({**asdict(found), "problems": problems})
    else:
        counts = listed(tuple(f"{count} {read_status(name)}" for name, count in sorted(found.runs.items())))
        size = f"{found.bytes / 1e6:,.1f} MB"
        say(f"{_shown(store)}: schema version {found.schema}, {size}, runs: {counts or 'none'}")
        if found.abandoned:
            say(f"nobody drives {', '.join(map(plain, found.abandoned))}: `{command('recover')}` picks them up")
        if found.set_aside:
            say(f"set aside: {', '.join(map(plain, found.set_aside))}: `{command('recover', 'RUN')}` tries one again")
        for problem in problems:
            say(f"problem: {plain(problem)}", style="red")
    raise typer.Exit(int(Exit.UNEXPECTED if problems else Exit.REACHED))


def _prune(
    older_than: Annotated[str, typer.Option("--older-than", metavar="AGE", help="Such as 30d, 12h, 2w.")],
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Delete runs that ended longer ago than AGE, with their records and values. Their seals stay; so do kept runs."""
    from orchestrator.store.sql import maintenance

    store = _existing(store)
    match = _AGE.fullmatch(older_than.strip())
    if match is None:
        raise InputError(f"--older-than is an age such as 30d, 12h or 2w; it was {plain(older_than, 40)!r}.")
    with reading(store) as opened:
        kept = kept_runs(opened)
    pruned = maintenance.prune(store, float(match[1]) * _SECONDS[match[2]], kept)
    say(f"deleted {counted(pruned, 'run')}" + (f"; {counted(len(kept), 'run is', 'runs are')} kept" if kept else ""))


def _keep(
    run: options.RunArgument,
    off: Annotated[bool, typer.Option("--off", help="Let it be pruned again.")] = False,
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Keep a run from pruning, with its child runs."""
    with reading(store) as opened:
        row = find_run(opened, run)
        if row.parent is not None:
            raise InputError(f"{plain(row.run_id)} is a child run: keep the run that it belongs to.")
        keep_run(opened, row.run_id, keep=not off)
    say(f"{plain(row.run_id)} is {'no longer kept' if off else 'kept'}")


def _erase(
    labels: Annotated[
        list[str], typer.Option("--label", metavar="KEY=VALUE", help="Of runs with this label; of several, all.")
    ],
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Erase the values of ended runs by label, such as those of a customer.

    The records stay and verify: they hold names, prices and reasons, and no values. Exit status 1 where a run with the
    label has not ended.
    """
    with reading(store) as opened:
        found = erase_values(opened, read_labels(labels))
    say(f"erased the values of {counted(len(found.erased), 'run')}")
    if found.open:
        say(f"not ended, so not erased: {plain(', '.join(found.open), 500)}", style="yellow")
        raise typer.Exit(int(Exit.UNEXPECTED))


def _copy(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A new file, or an empty database.")],
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Copy the store into TARGET: from a file into a database, or back."""
    from orchestrator.store.sql import maintenance

    store = _existing(store)
    with _named():
        copied = maintenance.copy(store, target)
    say(f"copied {counted(copied['orchestrator_runs'], 'run')} to {_shown(target)}")


@contextmanager
def _named() -> Generator[None]:
    """Turn the error of a store that cannot be opened in this block into a usage error."""
    try:
        yield
    except StoreError as error:
        raise InputError(str(error)) from error


def _existing(where: str) -> str:
    if not existing(where):
        raise InputError(f"There is no store at {where!r}. --store names another one.")
    return address(where)


def _shown(where: str) -> str:
    """A store as people may see it: without the password of its URL."""
    from orchestrator.store.sql.engine import database_url, shown_url

    return plain(shown_url(database_url(where)) if "://" in where else where)


__all__ = ["register"]
