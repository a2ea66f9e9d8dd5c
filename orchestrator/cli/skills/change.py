"""`orchestrator skills set`, `remove`, `merge`, `diff`, `tidy`: changes to the handbook, each a version of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import options
from orchestrator.cli.screen import say, write_json
from orchestrator.cli.session import existing
from orchestrator.core.errors import DefinitionError
from orchestrator.core.text import counted, plain
from orchestrator.selection import Handbook, Skill, merge_alike
from orchestrator.selection.skills.storage import change_handbook, stored_handbook
from orchestrator.store import open_store


def register(group: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("set", _set), ("remove", _remove), ("merge", _merge), ("diff", _diff), ("tidy", _tidy)):
        group.command(name)(command)


def _changed(where: str, change: Callable[[Handbook], Handbook]) -> Handbook:
    store = open_store(where)
    try:
        return change_handbook(store, change)
    finally:
        store.close()


def _set(
    skill: Annotated[str, typer.Argument(metavar="SKILL", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="What people read.")] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT")] = None,
    indicators: Annotated[
        list[str] | None,
        typer.Option("--indicator", metavar="WORDS", help="Words in a text that show the skill is demanded."),
    ] = None,
    examples: Annotated[
        list[str] | None, typer.Option("--example", metavar="TEXT", help="A text that demands the skill.")
    ] = None,
    parent: Annotated[str | None, typer.Option("--parent", metavar="SKILL", help="The broader skill.")] = None,
    mode: Annotated[str | None, typer.Option("--mode", metavar="MODE", help="The phase of work it belongs to.")] = None,
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Describe a skill, new or known; what is left out stays as it is."""
    stated = {
        "name": name,
        "description": description,
        "indicators": None if indicators is None else tuple(indicators),
        "examples": None if examples is None else tuple(examples),
        "parent": parent,
        "mode": mode,
    }

    def change(book: Handbook) -> Handbook:
        before = book.skills[skill].model_dump() if skill in book.skills else {"id": skill}
        changed = {key: value for key, value in stated.items() if value is not None}
        return book.with_skills(Skill.model_validate({**before, **changed}))

    if not skill.strip():
        raise DefinitionError("A skill has a name that is not empty.")
    say(f"{plain(skill)}: version {_changed(store, change).version}")


def _remove(
    name: Annotated[str, typer.Argument(metavar="SKILL|AGENT", show_default=False)],
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Remove a skill with its evidence, or all that is known of an agent."""

    def change(book: Handbook) -> Handbook:
        return book.without_profile(name) if name in book.profiles else book.without_skill(name)

    _must_exist(store)
    say(f"{plain(name)} removed: version {_changed(store, change).version}")


def _merge(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Add what another handbook has seen; the two should come from different runs."""
    other = Handbook.load(file)
    book = _changed(store, lambda book: book.merge(other))
    say(f"version {book.version}, {counted(len(book.skills), 'skill')}, {counted(len(book.profiles), 'agent')}")


def _diff(
    other: Annotated[str, typer.Argument(metavar="VERSION|FILE", show_default=False)],
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Show what changed since a version, or how a handbook in a file differs from the store's."""
    _must_exist(store)
    opened = open_store(store)
    try:
        book = stored_handbook(opened) or Handbook()
    finally:
        opened.close()
    changes = book.roll_back(int(other)).diff(book) if other.isdecimal() else book.diff(Handbook.load(Path(other)))
    if as_json:
        write_json({"schema": "orchestrator.diff/1", "changes": [change.model_dump(mode="json") for change in changes]})
        return
    for change in changes:
        say(plain(str(change), 500))
    if not changes:
        say("Nothing differs.")


def _tidy(store: options.StoreOption = options.DEFAULT_STORE) -> None:
    """Merge skills whose outcomes do not differ; the name of a merged one still works."""
    _must_exist(store)
    before: list[Handbook] = []

    def change(book: Handbook) -> Handbook:
        before[:] = [book]
        return merge_alike(book)

    book = _changed(store, change)
    gone = [s.id for s in book.skills.values() if s.merged_into and not before[0].skills[s.id].merged_into]
    say(f"version {book.version}: {counted(len(gone), 'skill')} merged{': ' + plain(', '.join(gone)) if gone else ''}")


def _must_exist(where: str) -> None:
    if not existing(where):
        raise DefinitionError(f"There is no store at {where!r} yet, so there is no handbook in it.")
