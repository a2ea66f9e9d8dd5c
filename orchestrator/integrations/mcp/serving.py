"""`serve`: goals as MCP tools, on standard input and output or by HTTP."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, redirect_stdout, suppress
from typing import Any, Protocol

from mcp.server import NotificationOptions, Server
from mcp.server.stdio import stdio_server

from orchestrator.api import Orchestrator

from .goal_server import GoalServer
from .http import TOKEN_VARIABLE, listen, serve_http


async def serve_stdio(server: "Serves") -> None:
    """Serve one client on standard input and output until it hangs up. What tools print goes to standard error."""
    async with stdio_server() as (read, write):
        with redirect_stdout(sys.stderr):
            options = server.server.create_initialization_options(NotificationOptions(tools_changed=True))
            await server.server.run(read, write, options)


class Serves(Protocol):
    """What has an MCP server."""

    server: Server[Any]


@asynccontextmanager
async def _over(
    opened: AbstractAsyncContextManager[Orchestrator], make: Callable[[Orchestrator], Serves]
) -> AsyncGenerator[Serves]:
    async with opened as orc:
        yield make(orc)


def serve(
    opened: AbstractAsyncContextManager[Orchestrator],
    *,
    goals: Iterable[str] | None = None,
    budget: float | None = None,
    http: tuple[str, int] | None = None,
    make: Callable[[Orchestrator], Serves] | None = None,
) -> None:
    """Serve until the client hangs up (standard input and output) or Ctrl-C (HTTP).

    What is served is a `GoalServer`, or what `make` gives. `opened` is an async context manager that gives the
    orchestrator; `http` is the address and port to listen on. The address and the token of an HTTP server go to
    standard error.
    """

    serve_opened(_over(opened, make or (lambda orc: GoalServer(orc, goals, budget))), http)


def serve_opened(opened: AbstractAsyncContextManager[Serves], http: tuple[str, int] | None) -> None:
    """Serve what an async context manager opens, as `serve` does."""

    async def work() -> None:
        async with opened as server:
            if http is None:
                await serve_stdio(server)
                return
            with listen(*http) as listening:
                token = os.environ.get(TOKEN_VARIABLE, "") or secrets.token_urlsafe(32)
                host = f"[{http[0]}]" if ":" in http[0] else http[0]
                address = f"http://{host}:{listening.getsockname()[1]}/mcp"
                print(f"{address}\nAuthorization: Bearer {token}", file=sys.stderr, flush=True)
                await serve_http(server.server, listening, token)

    with suppress(KeyboardInterrupt):
        asyncio.run(work())


__all__ = ["serve", "serve_opened", "serve_stdio"]
