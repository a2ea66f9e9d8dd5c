"""`orchestrator gateway FILE`: the tools of the MCP servers in a client's configuration, healed."""

from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .screen import say, table, write_json
from .serve import part
from .session import open_project


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gateway")(_gateway)


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


__all__ = ["register"]
