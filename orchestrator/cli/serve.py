"""`orchestrator ui`, `mcp` and `gateway`: the viewer and the MCP servers, where their extras are installed."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.installation import missing_extra

from . import options
from .apps import AppProject
from .invocation import app_given
from .screen import say, table, write_json
from .session import open_project, working


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ui")(_ui)
    app.command("mcp")(_mcp)
    app.command("gateway")(_gateway)


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


def _gateway(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The JSON with mcpServers.", show_default=False)],
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="TOML", help="What may heal what. Default: FILE with the ending .toml."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say per tool what would heal, and end.")] = False,
    http: Annotated[bool, typer.Option("--http", help="By HTTP on this machine, behind a token.")] = False,
    host: Annotated[str, typer.Option("--host", help="With --http: the loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="With --http; 0 takes any that is free.")] = 0,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Serve the tools of MCP servers under their own names, with time-outs, reconnects, circuits and alternatives.

    One line in a client's configuration: command `orchestrator`, arguments `gateway FILE`.
    """
    gateway = part("gateway", "integrations.gateway", "mcp")
    config = gateway.load_config(file, rules)
    if explain:
        _explain(*gateway.explain_gateway(config), as_json=as_json)
        return
    weights = open_project(None).policy(policy)
    gateway.serve_gateway(config, policy=weights, store=store, http=(host, port) if http else None)


def _explain(rows: list[dict[str, Any]], problems: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        write_json({"schema": "orchestrator.gateway/1", "tools": rows, "problems": problems})
        return
    if rows:
        table(
            ["tool", "server", "effect", "alternatives", "tried again after", "rerouted after"],
            [
                [
                    row["tool"],
                    row["server"],
                    f"{row['effect']} ({row['because']})",
                    ", ".join(row["alternatives"]) or "-",
                    row["retried"],
                    row["rerouted"],
                ]
                for row in rows
            ],
        )
    for row in rows:
        if row["to heal more"]:
            say(f"{row['tool']}: {row['to heal more']}")
    for name, problem in problems.items():
        say(f"{name} did not answer: {problem}")
