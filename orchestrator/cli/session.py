"""What commands work with: a project, an orchestrator over a store, a store to read, a run in it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.api import Orchestrator
from orchestrator.catalog_path import catalog_root
from orchestrator.errors import InputError, StoreError
from orchestrator.project import Project, load_project
from orchestrator.store import Store, open_store
from orchestrator.store.base import RunRow
from orchestrator.text import plain

LAST = "last"
_PAGE = 500


def load(folder: Path | None) -> Project:
    """The project of that folder, or the shipped catalogue. Raises `DefinitionError` naming file and line."""
    return load_project(folder if folder is not None else catalog_root())


def assemble(project: Project, policy: str, store: str | None = None, **options: Any) -> Orchestrator:
    """An orchestrator of a project; without `store` one in memory, to check and plan with.

    Raises `DefinitionError` for what is wrong as written, `StoreError` for a store that cannot be opened.
    """
    orc = Orchestrator(project.tools, project.agents, policy=project.policy(policy), store=store, **options)
    project.set_up(orc)
    return orc


def take_over_health(orc: Orchestrator) -> None:
    """Begin with the health that earlier processes left in the store; what cannot be read is left alone."""
    try:
        orc.health.restore_snapshot(orc.store.load_health())
    except StoreError as error:
        orc.store.on_problem(str(error))


def existing(where: str) -> bool:
    """Whether a store is there already; a database URL counts as there."""
    return "://" in where or Path(where).expanduser().is_file()


@contextmanager
def reading(where: str) -> Generator[Store]:
    """A store to read from. Raises `InputError` when there is none yet: reading must not make one."""
    if not existing(where):
        raise InputError(f"There is no store at {where!r} yet: nothing has been run here. --store names another one.")
    store = open_store(where)
    try:
        yield store
    finally:
        store.close()


def find_run(store: Store, text: str) -> RunRow:
    """The run of that id, of an id that begins so, or the newest (`last`).

    Raises `InputError` when there is none, or several begin so.
    """
    if text == LAST:
        newest = store.runs(parent=None, limit=1)
        if not newest:
            raise InputError("There is no run in this store yet.")
        return newest[0]
    row = store.run(text) if text else None
    if row is not None:
        return row
    found = _beginning(store, text, children=False) or _beginning(store, text, children=True)
    if not found:
        raise InputError(f"There is no run {plain(text, 60)!r} in this store. `orchestrator runs` lists them.")
    if len(found) > 1:
        names = ", ".join(plain(row.run_id) for row in found[:5])
        raise InputError(f"{plain(text, 60)!r} begins the ids of several runs: {names}. Give more of it.")
    return found[0]


def _beginning(store: Store, text: str, *, children: bool) -> list[RunRow]:
    """Up to a handful of runs whose ids begin so."""
    found: list[RunRow] = []
    offset = 0
    while text and len(found) < 6:
        page = store.runs(search=text, parent=... if children else None, limit=_PAGE, offset=offset)
        found += [row for row in page if row.run_id.startswith(text)]
        offset += _PAGE
        if len(page) < _PAGE:
            break
    return found
