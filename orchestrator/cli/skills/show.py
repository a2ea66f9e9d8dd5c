"""`orchestrator skills`: the handbook of skills, as kept in the store."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from orchestrator.cli import options
from orchestrator.cli.screen import say, table, write_json
from orchestrator.cli.session import existing
from orchestrator.core.errors import DefinitionError, InputError
from orchestrator.core.text import counted, plain
from orchestrator.selection import Handbook
from orchestrator.selection.skills.storage import change_handbook, keep_handbook, stored_handbook
from orchestrator.store import Store, open_store

from . import change, learn


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The handbook: skills, and the competence of agents in them.")
    group.command("list")(_list)
    group.command("show")(_show)
    group.command("export")(_export)
    group.command("import")(_import)
    group.command("history")(_history)
    group.command("rollback")(_rollback)
    change.register(group)
    learn.register(group)
    app.add_typer(group, name="skills")


def stored(store: Store) -> Handbook:
    """The handbook of a store; an empty one if there is none yet. Raises `DefinitionError` for an invalid one."""
    return stored_handbook(store) or Handbook()


def _in(where: str, work: Callable[[Store], Handbook]) -> Handbook:
    if not existing(where):
        return Handbook()
    store = open_store(where)
    try:
        return work(store)
    finally:
        store.close()


def _list(store: options.StoreOption = options.DEFAULT_STORE, as_json: options.AsJson = False) -> None:
    """List the skills, and who has shown them."""
    book = _in(store, stored)
    if as_json:
        write_json(
            {
                "schema": "orchestrator.skills/1",
                "version": book.version,
                "skills": [skill.model_dump(mode="json") for skill in book.skills.values()],
            }
        )
        return
    if not book.skills:
        say("The handbook has no skills yet.")
        return
    shown = {skill: [a for a, p in book.profiles.items() if skill in p.skills] for skill in book.skills}
    rows = [[s.id, s.title, s.parent or "", s.mode, ", ".join(shown[s.id])] for s in book.skills.values()]
    table(["skill", "name", "part of", "mode", "shown by"], rows)


def _show(
    name: Annotated[str, typer.Argument(metavar="SKILL|AGENT", show_default=False)],
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Show a skill, or what is known of an agent."""
    book = _in(store, stored)
    if name in book.profiles:
        profile = book.profile(name)
        if as_json:
            write_json({"schema": "orchestrator.profile/1", "agent": name, **profile.model_dump(mode="json")})
            return
        rows = [[s, f"{e.successes:.1f}", f"{e.failures:.1f}"] for s, e in sorted(profile.skills.items())]
        table(["skill", "went well", "did not"], rows, right=[1, 2])
        return
    skill = book.skill(name)
    if as_json:
        write_json({"schema": "orchestrator.skill/1", **skill.model_dump(mode="json")})
        return
    for field, value in skill.model_dump(mode="json").items():
        if value:
            value_text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            say(Text.assemble((f"{field:<12}", "dim"), plain(value_text, 500)))


def _export(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Write the handbook to a JSON file."""
    if file.exists():
        raise InputError(f"{file} is there already; nothing is overwritten.")
    book = _in(store, stored)
    book.save(file)
    say(f"{plain(file)}: version {book.version}, {counted(len(book.skills), 'skill')}")


def _import(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Put the handbook of a JSON file in the place of the store's."""
    book = Handbook.load(file)
    opened = open_store(store)
    try:
        keep_handbook(opened, book)
    finally:
        opened.close()
    say(f"version {book.version}, {counted(len(book.skills), 'skill')}")


def _history(store: options.StoreOption = options.DEFAULT_STORE, as_json: options.AsJson = False) -> None:
    """List the versions that can be rolled back to."""
    book = _in(store, stored)
    if as_json:
        versions = [{"version": r.version, "note": r.note} for r in book.revisions]
        write_json({"schema": "orchestrator.history/1", "version": book.version, "versions": versions})
        return
    rows = [[str(r.version), str(len(r.undo)), plain(r.note)] for r in reversed(book.revisions)]
    say(f"now at version {book.version}")
    if rows:
        table(["version", "changes since", "then came"], rows, right=[0, 1])


def _rollback(
    version: Annotated[int, typer.Argument(metavar="VERSION", show_default=False)],
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Go back to what an earlier version held, as a new version."""
    if not existing(store):
        raise DefinitionError(f"There is no store at {store!r} yet, so there is no version to go back to.")

    book = _in(store, lambda opened: change_handbook(opened, lambda now: now.roll_back(version)))
    say(f"version {book.version} holds what version {version} held")
