"""`orchestrator ui` and `orchestrator mcp`: the viewer and the MCP server, where their extras are installed."""

from importlib import import_module
from typing import Annotated, Any

import typer

from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.extras import missing_extra

from . import options
from .apps import AppProject
from .invocation import app_given
from .session import open_project, working


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ui")(_ui)
    app.command("mcp")(_mcp)


def part(name: str, module: str, extra: str) -> Any:
    """A part of the framework that needs an extra. Raises `DefinitionError` that says what to install."""
    try:
        return import_module(f"orchestrator.{module}")
    except ModuleNotFoundError as error:
        raise DefinitionError(missing_extra(f"`orchestrator {name}`", str(error.name), extra)) from None


def _ui(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes any that is free.")] = 0,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Look at runs in a browser: decisions with prices, the graph at each moment, health, and questions to answer."""
    viewer = part("ui", "ui", "ui")
    loaded = open_project(project) if app_given() is not None else None
    if isinstance(loaded, AppProject):
        viewer.serve(loaded.made.store, orchestrator=loaded.made, host=host, port=port)
    else:
        viewer.serve(store=store, project=project, policy=policy, host=host, port=port)


def _mcp(
    http: Annotated[bool, typer.Option("--http", help="By HTTP on this machine, behind a token.")] = False,
    host: Annotated[str, typer.Option("--host", help="With --http: the loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="With --http; 0 takes any that is free.")] = 0,
    goals: Annotated[
        list[str] | None, typer.Option("--goal", metavar="GOAL", help="Offer this goal; default: all that tools give.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="USD", min=0, help="Spend at most this in one call.")
    ] = None,
    look: Annotated[
        bool, typer.Option("--look", help="Serve tools to look at runs instead: runs, why, verify, replay, health.")
    ] = False,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Serve goals as MCP tools: on standard input and output, or by HTTP.

    The address and the token go to standard error; ORCHESTRATOR_MCP_TOKEN sets the token.
    """
    made = part("mcp", "integrations.mcp", "mcp")
    opened = working(open_project(project), policy, store)
    if look:
        looking = part("mcp", "integrations.gateway", "mcp").LookServer
        made.serve(opened, http=(host, port) if http else None, make=looking)
        return
    made.serve(opened, goals=goals, budget=budget, http=(host, port) if http else None)


__all__ = ["part", "register"]
