"""Opens what commands need: a project, an orchestrator over a store, a store for reading, a run in it."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import DefinitionError, InputError, StoreError, nearest
from orchestrator.core.process.installation import catalog_root
from orchestrator.core.text import plain
from orchestrator.store import Store, open_store
from orchestrator.store.rows import RunRow
from orchestrator.store.unknown_run import LATEST

from .invocation import app_given, command, store_beside_app
from .screen import complain

if TYPE_CHECKING:  # read-only commands start in half the time without the engine
    from orchestrator.api import Orchestrator
    from orchestrator.project import Project

LAST = "last"
_PAGE = 500


def open_project(folder: Path | None, on_problem: Callable[[DefinitionError], object] | None = None) -> "Project":
    """The project of that folder, the program of `--app`, or the shipped catalogue.

    Raises `DefinitionError` naming file and line; with `on_problem` that is called for each file that is left out.
    """
    app = app_given()
    if app is not None:
        if folder is not None:
            raise InputError("--app and --project name two different things to work with. Leave one out.")
        from .apps import load_app

        return load_app(app)
    from orchestrator.project import load_project

    if folder is None:
        _hint_at_project_here()
    return load_project(folder if folder is not None else catalog_root(), on_problem)


def _hint_at_project_here() -> None:
    """Print how to load a project in the current folder; it is not loaded automatically, because that runs its code."""
    here, folders = Path.cwd(), ("tools", "agents")
    if here != catalog_root() and any(next((here / name).glob("*.py"), None) for name in folders):
        complain("this folder looks like a project; --project . works with it, not with the catalogue", status="note")


def assemble(project: "Project", policy: str, store: str | None = None, **options: Any) -> "Orchestrator":
    """An orchestrator of a project; without `store` one in memory, to check and plan with.

    Raises `DefinitionError` for an invalid project, `InputError` for a store that cannot be opened, or that is named
    beside a program, which has its own.
    """
    from orchestrator.api import Orchestrator
    from orchestrator.observability.tracing import setup

    from .apps import AppProject

    weights = project.policy(policy)
    if isinstance(project, AppProject):
        other = store_beside_app()
        if other is not None:
            raise InputError(f"The program of --app works on its own store; --store {plain(other, 60)} does not apply.")
        return project.made
    if store is not None:
        setup()  # spans are exported only with OTEL_EXPORTER_OTLP_ENDPOINT
    with opening():
        orc = Orchestrator(project.tools, project.agents, policy=weights, store=store, **options)
    project.set_up(orc)
    return orc


@contextmanager
def opening() -> Generator[None]:
    """Turn the error of a store that cannot be opened in this block into a usage error."""
    try:
        yield
    except StoreError as error:
        raise InputError(f"{error}. --store names another one.") from error


def existing(where: str) -> bool:
    """Whether a store exists; a database URL and the store of a program count as existing."""
    return _of_app() is not None or "://" in where or Path(where).expanduser().is_file()


def address(where: str) -> str:
    """The path or URL of the store that is meant: the one that is named, else that of the program of `--app`.

    Raises `InputError` for a program whose store is in memory.
    """
    own = _of_app()
    if own is None:
        return where
    from orchestrator.store import SqlStore

    if not isinstance(own, SqlStore):
        raise InputError("The program of --app keeps its runs in memory: there is no store to maintain.")
    return own.address


@contextmanager
def reading(where: str) -> Generator[Store]:
    """The store to read from: the named one, else that of the program of `--app`.

    Raises `InputError` when there is none yet, because reading must not create one.
    """
    own = _of_app()
    if own is not None:
        yield own
        return
    if Path(where).expanduser().is_dir():
        raise InputError(f"{where!r} is a folder: a store is a file in it, such as {str(Path(where) / 'runs.db')!r}.")
    if not existing(where):
        raise InputError(f"There is no store at {where!r} yet: nothing has been run here. --store names another one.")
    with opening():
        store = open_store(where)
    try:
        yield store
    finally:
        store.close()


def _of_app() -> Store | None:
    """The store of the program of `--app`, if no other store is named."""
    app = app_given()
    if app is None or store_beside_app() is not None:
        return None
    from .apps import load_app

    return load_app(app).made.store


@contextmanager
def looking(project: "Project", policy: str, where: str) -> "Generator[Orchestrator]":
    """A read-only orchestrator for planning, with the health and the handbook of the store if there is one."""
    from .apps import AppProject

    orc = assemble(project, policy, where if existing(where) else None)
    try:
        yield orc
    finally:
        if not isinstance(project, AppProject):
            orc.store.close()


@asynccontextmanager
async def working(project: "Project", policy: str, where: str) -> "AsyncGenerator[Orchestrator]":
    """An orchestrator for running, with the learned data of the store, which it updates."""
    async with assemble(project, policy, where) as orc:
        yield orc


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
        hint = nearest(text, [LAST, *(row.run_id for row in store.runs(limit=LATEST))])
        raise InputError(f"There is no run {plain(text, 60)!r} in this store.{hint} `{command('runs')}` lists them.")
    if len(found) > 1:
        names = ", ".join(plain(row.run_id) for row in found[:5])
        raise InputError(f"{plain(text, 60)!r} begins the ids of several runs: {names}. Give more of it.")
    return found[0]


def _beginning(store: Store, text: str, *, children: bool) -> list[RunRow]:
    """Up to a handful of runs with this id prefix."""
    found: list[RunRow] = []
    offset = 0
    while text and len(found) < 6:
        page = store.runs(search=text, parent=... if children else None, limit=_PAGE, offset=offset)
        found += [row for row in page if row.run_id.startswith(text)]
        offset += _PAGE
        if len(page) < _PAGE:
            break
    return found
