"""`serve`: goals as MCP tools, on standard input and output or by HTTP on this machine alone, behind a token."""

import asyncio
import hmac
import os
import secrets
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, redirect_stdout, suppress
from typing import Any, Final, Protocol

from mcp.server import NotificationOptions, Server
from mcp.server.stdio import stdio_server

from orchestrator.api import Orchestrator
from orchestrator.core.errors import InputError

from .goal_server import GoalServer

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
TOKEN_VARIABLE: Final = "ORCHESTRATOR_MCP_TOKEN"
"""The environment variable of the token; without it one is generated and printed."""


async def serve_http(server: Server[Any], listening: socket.socket, token: str) -> None:
    """Serve on a socket that listens, by streamable HTTP at `/mcp`, until it is interrupted.

    Each request carries the token (`Authorization: Bearer ...`); Host and Origin are checked, too.
    """
    import uvicorn

    app = _Guarded(server.streamable_http_app(host="127.0.0.1"), token)
    config = uvicorn.Config(app, log_level="warning", server_header=False, date_header=False, lifespan="on")
    await uvicorn.Server(config).serve(sockets=[listening])


class _Guarded:
    """Rejects requests without the token."""

    def __init__(self, app: Any, token: str) -> None:
        if not token:
            raise InputError(f"The token of the MCP server is empty. Set {TOKEN_VARIABLE}, or leave it unset.")
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http":
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, self._wanted):
                headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b"Bearer")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b"The token is missing or wrong.\n"})
                return
        await self._app(scope, receive, send)


def listen(host: str, port: int) -> socket.socket:
    """A socket on this machine. Raises `InputError` for any other address, and for one that is taken."""
    if host not in LOOPBACK:
        raise InputError(f"The MCP server listens on this machine alone: {', '.join(LOOPBACK)}, not {host!r}.")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen()  # clients may connect as soon as the address is printed
    except (OSError, OverflowError) as error:
        made.close()
        raise InputError(f"{host}:{port} cannot be listened on ({error}). --port names another.") from None
    return made


async def serve_stdio(server: "Serves") -> None:
    """Serve one client on standard input and output until it disconnects. Output of tools goes to standard error."""
    async with stdio_server() as (read, write):
        with redirect_stdout(sys.stderr):
            options = server.server.create_initialization_options(
                NotificationOptions(tools_changed=True, resources_changed=True, prompts_changed=True)
            )
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
    """Serve until the client disconnects (standard input and output) or Ctrl-C (HTTP).

    Serves a `GoalServer`, or the result of `make`. `opened` is an async context manager of the orchestrator; `http` is
    the address and port to listen on. The address and the token of an HTTP server are printed to standard error.
    """

    serve_opened(_over(opened, make or (lambda orc: GoalServer(orc, goals, budget))), http)


def serve_opened(opened: AbstractAsyncContextManager[Serves], http: tuple[str, int] | None) -> None:
    """As `serve`, for the server of an async context manager."""

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
