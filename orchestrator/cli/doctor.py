"""`orchestrator doctor`: what is installed, which keys are set, and which tools would fail and why."""

import asyncio
import importlib.metadata
import os
import platform
from typing import Any

import typer

from orchestrator.core.conventions import __version__
from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.installation import DISTRIBUTION, EXTRAS, INSTALL_PAGE
from orchestrator.integrations.checks import PROVIDERS, check_tool, missing_modules

from . import options
from .screen import say, table, write_json
from .session import open_project


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(_doctor)


def _doctor(project: options.ProjectOption = None, as_json: options.AsJson = False) -> None:
    """Show what is installed, which keys are set, and which tools and agents would fail and why. Calls no tool.

    A file of the project that cannot be loaded is a finding, too; the exit status is 2 then.
    """
    problems: list[DefinitionError] = []
    loaded = open_project(project, problems.append)
    everything = [*loaded.tools, *loaded.agents]

    async def check() -> list[Any]:
        return await asyncio.gather(*(check_tool(tool) for tool in everything))

    failing = {found.name: list(found.problems) for found in asyncio.run(check()) if found.problems}
    report: dict[str, Any] = {
        "schema": "orchestrator.doctor/1",
        "version": __version__,
        "python": platform.python_version(),
        "distribution": _installed(DISTRIBUTION),
        "stranger": _other_project(),
        "extras": {extra: missing_modules(extra) for extra in EXTRAS},
        "keys": {variable: bool(os.environ.get(variable)) for _, variable in PROVIDERS.values() if variable},
        "tools": len(everything),
        "would_fail": failing,
        "not_loaded": [str(problem) for problem in problems],
    }
    if as_json:
        write_json(report)
    else:
        _show(report)
    if problems:
        raise typer.Exit(2)


def _show(report: dict[str, Any]) -> None:
    say(f"orchestrator {report['version']} on Python {report['python']}, distribution {report['distribution']}")
    if report["stranger"]:
        say(
            f"The package 'orchestrator' {report['stranger']} is installed beside this one: it is another project. "
            f"Remove it, and see {INSTALL_PAGE}."
        )
    table(
        ["extra", "not installed"],
        [[extra, ", ".join(missing) or "-"] for extra, missing in report["extras"].items()],
    )
    keys = [variable for variable, is_set in report["keys"].items() if is_set]
    say(f"Keys of models that are set: {', '.join(keys) or 'none'}.")
    for problem in report["not_loaded"]:
        say(f"Not loaded: {problem}")
    failing = report["would_fail"]
    if failing:
        table(["would fail", "because"], [[name, "; ".join(problems)] for name, problems in failing.items()])
        say(f"{INSTALL_PAGE} tells how to install an extra. Keys are read from the environment.")
    elif not report["not_loaded"]:
        say(f"No problem was found with any of the {report['tools']} tools and agents.")


def _installed(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name}, not installed as one (a source tree)"


def _other_project() -> str:
    """The version of the other project of this name, if it is installed."""
    try:
        found = importlib.metadata.distribution("orchestrator")
    except importlib.metadata.PackageNotFoundError:
        return ""
    ours = "Agent orchestration as routing" in (found.metadata["Summary"] or "")
    return "" if ours else found.version


__all__ = ["register"]
