"""`orchestrator health`: how the tools are, and opening or closing a circuit by hand."""

from typing import Annotated

import typer
from rich.text import Text

from orchestrator.api import Orchestrator
from orchestrator.core.enums import CircuitState
from orchestrator.core.errors import InputError
from orchestrator.core.text import duration, plain
from orchestrator.health import ToolHealth, sharing

from . import options
from .screen import say, table, write_json
from .session import assemble, existing, load


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(_health)


def _health(
    name: Annotated[str | None, typer.Argument(metavar="[TOOL]", help="Only this tool.")] = None,
    trip: Annotated[
        str | None,
        typer.Option("--trip", metavar="TOOL", help="Take a tool out until it is restored; A:B for a transition."),
    ] = None,
    restore: Annotated[
        str | None, typer.Option("--restore", metavar="TOOL", help="Put it back; A:B for a transition.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it is tripped.")] = "tripped by hand",
    project: options.Project = None,
    policy: options.Policy = options.DEFAULT_POLICY,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Show how the tools are: circuits, probability of success, latency. Trip or restore one by hand."""
    changing = trip is not None or restore is not None
    loaded = load(project)
    orc = assemble(loaded, policy)
    for text in (name, trip, restore):
        for part in _parts(text) if text is not None else ():
            if part != "START":
                orc.graph[part]  # raises for an unknown name, before anything is written
    if changing or existing(store):
        orc = assemble(loaded, policy, store)
    try:
        if trip is not None:
            tool, *to = _parts(trip)
            orc.health.trip(tool, to=to[0] if to else None, reason=reason)
        if restore is not None:
            tool, *to = _parts(restore)
            orc.health.restore(tool, to[0] if to else None)
        if changing:
            sharing.publish(orc.health, orc.store)
            orc.store.flush()
        names = [name] if name is not None else [tool.name for tool in orc.graph] + models_of(orc)
        statuses = [orc.health.status(each) for each in names]
        statuses += [orc.health.status(a, b) for a, b in orc.health.touched_transitions()] if name is None else []
    finally:
        orc.close()
    _show(statuses, as_json=as_json)


def models_of(orc: Orchestrator) -> list[str]:
    """The models of the ladder, by the names that health knows them under."""
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
            f"{status.success:.0%}",
            f"{status.failures} of {status.calls}",
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
