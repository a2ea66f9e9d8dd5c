"""Shell completion of goals, keys, runs, tools and policies. An error completes to nothing."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from orchestrator.core.text import plain

MAX_COMPLETIONS = 200
"""Number of newest runs that are offered."""

Complete = Callable[[typer.Context, str], list[Any]]


def _quiet(complete: Complete) -> Complete:
    """Make a failing completion offer nothing: an error would be written into the user's command line."""

    @wraps(complete)
    def safe(ctx: typer.Context, incomplete: str) -> list[Any]:
        try:
            return complete(ctx, incomplete)
        except Exception:
            return []

    return safe


@_quiet
def goals(ctx: typer.Context, incomplete: str) -> list[Any]:
    """The keys that tools give."""
    project = _project(ctx)
    keys = {key for tool in (*project.tools, *project.agents) for key in tool.gives}
    head, plus, last = incomplete.rpartition("+")
    return [f"{head}{plus}{key}" for key in sorted(keys) if key.startswith(last)]


@_quiet
def inputs(ctx: typer.Context, incomplete: str) -> list[Any]:
    """`KEY=` of the keys that tools take."""
    if "=" in incomplete:
        return []
    project = _project(ctx)
    keys = {
        key for tool in (*project.tools, *project.agents) for key in (*tool.needs.values(), *tool.optional.values())
    }
    return [f"{key}=" for key in sorted(keys) if key.startswith(incomplete)]


@_quiet
def tools(ctx: typer.Context, incomplete: str) -> list[Any]:
    """Tools and agents by name."""
    project = _project(ctx)
    return sorted(tool.name for tool in (*project.tools, *project.agents) if tool.name.startswith(incomplete))


@_quiet
def policies(ctx: typer.Context, incomplete: str) -> list[Any]:
    """The project's policies, and the shipped ones."""
    from orchestrator.core.process.installation import catalog_root

    folders = [catalog_root() / "policies"]
    folder = _given(ctx, "project", "ORCHESTRATOR_PROJECT")
    if folder:
        folders.insert(0, Path(folder) / "policies")
    names = {path.stem for each in folders for path in each.glob("*.toml")}
    return sorted(name for name in names if name.startswith(incomplete))


@_quiet
def runs(ctx: typer.Context, incomplete: str) -> list[Any]:
    """Runs by id with their goals, the newest first; and `last`."""
    from .invocation import DEFAULT_STORE
    from .session import reading

    where = _given(ctx, "store", "ORCHESTRATOR_STORE") or DEFAULT_STORE
    with reading(where) as store:
        found = [(row.run_id, plain(f"{row.goal}, {row.status}", 60)) for row in store.runs(limit=MAX_COMPLETIONS)]
    return [pair for pair in [("last", "the newest run"), *found] if pair[0].startswith(incomplete)]


def _project(ctx: typer.Context) -> Any:
    from .session import open_project

    folder = _given(ctx, "project", "ORCHESTRATOR_PROJECT")
    return open_project(Path(folder) if folder else None)


def _given(ctx: typer.Context, name: str, variable: str) -> str:
    return str(ctx.params.get(name) or os.environ.get(variable) or "")


__all__ = ["goals", "inputs", "policies", "runs", "tools"]
