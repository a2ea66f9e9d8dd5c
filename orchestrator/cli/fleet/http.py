"""`orchestrator serve`: the HTTP service, where its extra is installed."""

import os
from importlib import import_module
from typing import Annotated, Any

import typer

from orchestrator.cli import options
from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.extras import missing_extra


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
    given = tokens or os.environ.get("ORCHESTRATOR_TOKENS", "")
    part.serve(store=store, project=project, policy=policy, host=host, port=port, tokens=given, work=work)


__all__ = ["register"]
