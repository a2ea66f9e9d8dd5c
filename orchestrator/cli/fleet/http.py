"""`orchestrator serve`: the HTTP service, where its extra is installed."""

import os
import socket
from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer

from orchestrator.cli import options
from orchestrator.cli.screen import complain
from orchestrator.cli.session import assemble, open_project
from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.installation import missing_extra


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(_serve)


def _serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes any that is free.")] = 8080,
    tokens: Annotated[
        str,
        typer.Option(
            "--tokens",
            metavar="FILE",
            help="A JSON file: token -> tenant. Default: the variable ORCHESTRATOR_TOKENS, else one that is printed.",
        ),
    ] = "",
    ui: Annotated[bool, typer.Option("--ui/--no-ui", help="Serve the viewer too, behind a token of its own.")] = True,
    mcp: Annotated[bool, typer.Option("--mcp/--no-mcp", help="Serve the goals to MCP clients at /mcp too.")] = False,
    work: Annotated[bool, typer.Option("--work/--no-work", help="Drive queued runs in this process too.")] = False,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Serve submit, status, events, answer, cancel and health over HTTP; the document is at /openapi.json."""
    part: Any
    try:
        part = import_module("orchestrator.service.serving")
    except ModuleNotFoundError as error:
        raise DefinitionError(missing_extra("`orchestrator serve`", str(error.name), "serve")) from None
    beside: dict[str, Any] = {"viewer": _viewer(host) if ui else None, "mcp": partial(_mcp, host) if mcp else None}
    given = tokens or os.environ.get("ORCHESTRATOR_TOKENS", "")
    part.serve(assemble(open_project(project), policy, store), host=host, port=port, tokens=given, work=work, **beside)


def _viewer(host: str) -> Any:
    """What makes the viewer; `None` where its extra is not installed."""
    try:
        app, security = import_module("orchestrator.ui.app"), import_module("orchestrator.ui.security")
    except ModuleNotFoundError as error:
        complain(missing_extra("The viewer", str(error.name), "ui"), status="serve")
        return None
    local = host in security.LOOPBACK
    names = security.LOOPBACK if local else (*security.LOOPBACK, host, socket.gethostname(), socket.getfqdn())

    def make(orc: Any, token: str) -> Any:
        return app.create_app(orc, token=token, hosts=names, any_address=not local)

    return make


def _mcp(host: str, orc: Any, token: str) -> Any:
    """The goals of an orchestrator as an MCP application; the front checks the token."""
    del token
    try:
        server = import_module("orchestrator.integrations.mcp").GoalServer(orc)
    except ModuleNotFoundError as error:
        raise DefinitionError(missing_extra("`orchestrator serve --mcp`", str(error.name), "mcp")) from None
    return server.server.streamable_http_app(host=host)


__all__ = ["register"]
