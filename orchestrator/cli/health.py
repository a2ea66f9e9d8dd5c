"""`orchestrator health`: shows the health of tools, and opens or closes a circuit by hand."""

import getpass
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.text import Text

from orchestrator.api import Orchestrator
from orchestrator.core.enums import START, CircuitState
from orchestrator.core.errors import DefinitionError, InputError, nearest
from orchestrator.core.text import duration, plain
from orchestrator.health import ToolHealth, sharing
from orchestrator.health.status import worst_first
from orchestrator.observability.recorded import recorded_tools, stored_health
from orchestrator.store import Store, open_store

from . import completion, options
from .invocation import app_given
from .screen import say, table, write_json
from .session import assemble, existing, open_project, reading


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(_health)


def _health(
    name: Annotated[
        str | None, typer.Argument(metavar="[TOOL]", help="Only this tool.", autocompletion=completion.tools)
    ] = None,
    trip: Annotated[
        str | None,
        typer.Option(
            "--trip",
            metavar="TOOL",
            help="Take a tool out until it is restored; A:B for a transition.",
            autocompletion=completion.tools,
        ),
    ] = None,
    restore: Annotated[
        str | None,
        typer.Option(
            "--restore", metavar="TOOL", help="Put it back; A:B for a transition.", autocompletion=completion.tools
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it is tripped or restored.")] = "",
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it. Default: who is logged in.")] = "",
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Show the health of tools: circuits, probability of success, latency. Trip or restore one by hand."""
    changing = trip is not None or restore is not None
    loaded = open_project(project)
    named = project is not None or app_given() is not None
    recorded = _recorded(store)
    checker = assemble(loaded, policy)
    known = {tool.name for tool in checker.graph} | set(recorded)
    for text in (name, trip, restore):
        for part in _parts(text) if text is not None else ():
            if part not in known and part != START and not part.startswith("model:"):
                raise DefinitionError(f"There is no tool {plain(part, 60)!r}.{nearest(part, known)}")
    own = [tool.name for tool in checker.graph] if named or not recorded else list(recorded)
    with _opened(checker, store, changing=changing) as opened:
        health = stored_health(opened) if opened is not None else checker.health
        if trip is not None:
            tool, *to = _parts(trip)
            health.trip(tool, to=to[0] if to else None, reason=f"{reason or 'tripped by hand'}{_by(by)}")
        if restore is not None:
            tool, *to = _parts(restore)
            why = f"{reason or 'by hand'}{_by(by)}"
            health.restore(tool, to[0] if to else None, reason=why)
        if changing and opened is not None:
            sharing.publish(health, opened)
            opened.flush()
        extra = [] if named else [each for each in sorted(health.touched()) if not each.startswith("model:")]
        names = [name] if name is not None else list(dict.fromkeys([*own, *extra, *models_of(checker)]))
        statuses = [health.status(each) for each in names]
        statuses += [health.status(a, b) for a, b in health.touched_transitions()] if name is None else []
        statuses.sort(key=worst_first)
    _show(statuses, as_json=as_json)


@contextmanager
def _opened(checker: Orchestrator, where: str, *, changing: bool) -> Generator[Store | None]:
    """The store with the health of the tools; `None` if there is none and nothing is changed."""
    if existing(where):
        with reading(where) as opened:
            yield opened
    elif changing:
        made = open_store(where)
        try:
            yield made
        finally:
            made.close()
    else:
        yield None
    checker.close()


def _recorded(where: str) -> tuple[str, ...]:
    """The tools that the runs of the store recorded; none where there is no store."""
    if not existing(where):
        return ()
    with reading(where) as opened:
        return recorded_tools(opened)


def _by(name: str) -> str:
    """The user's name, for the record."""
    try:
        return f" (by {plain(name, 60) or getpass.getuser()})"
    except (KeyError, OSError):
        return ""


def models_of(orc: Orchestrator) -> list[str]:
    """The models of the ladder by their names in health."""
    known = orc.health.known() if orc.health.known is not None else ()
    return [name for name in known if name.startswith("model:")]


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.replace("->", ":").split(":")]
    if len(parts) > 2 or not all(parts):
        raise InputError(f"A tool is named by its name, a transition A:B by its two tools, not {plain(text, 60)!r}.")
    return parts


def _show(statuses: list[ToolHealth], *, as_json: bool) -> None:
    if as_json:
        write_json({"schema": "orchestrator.health/1", "tools": [status.to_json() for status in statuses]})
        return
    if not statuses:
        say("No tools.")
        return
    rows: list[list[str | Text]] = [
        [
            status.name,
            _circuit(status),
            f"{status.success:.0%}" if status.calls else "unknown",
            f"{status.failures} of {status.calls}" if status.calls else "never called",
            duration(status.p50),
            duration(status.p90),
            plain(status.reason or status.last_failure, 80),
        ]
        for status in statuses
    ]
    table(["tool", "circuit", "works", "failed", "p50", "p90", "last"], rows, right=[2, 3, 4, 5])


def _circuit(status: ToolHealth) -> Text:
    style = {CircuitState.CLOSED: "green", CircuitState.HALF_OPEN: "yellow", CircuitState.OPEN: "red"}[status.circuit]
    by_hand = " (by hand)" if status.manual else ""
    probe = f", probe in {duration(status.next_probe_in)}" if status.next_probe_in else ""
    return Text(f"{str(status.circuit).replace('_', ' ')}{by_hand}{probe}", style)
