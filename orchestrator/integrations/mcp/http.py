"""The HTTP side of the MCP server: a port of this machine alone, and a token in every request."""

import hmac
import socket
from typing import Any, Final

from mcp.server import Server

from orchestrator.core.errors import InputError

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
TOKEN_VARIABLE: Final = "ORCHESTRATOR_MCP_TOKEN"
"""The environment variable that holds the token; without it one is made up and printed."""


async def serve_http(server: Server[Any], listening: socket.socket, token: str) -> None:
    """Serve on a socket that listens, by streamable HTTP at `/mcp`, until it is interrupted.

    Each request carries the token (`Authorization: Bearer ...`); Host and Origin are checked, too.
    """
    import uvicorn

    app = _Guarded(server.streamable_http_app(host="127.0.0.1"), token)
    config = uvicorn.Config(app, log_level="warning", server_header=False, date_header=False, lifespan="on")
    await uvicorn.Server(config).serve(sockets=[listening])


class _Guarded:
    """Turns away whoever does not know the token."""

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
        made.listen()  # whoever reads the address may call at once
    except (OSError, OverflowError) as error:
        made.close()
        raise InputError(f"{host}:{port} cannot be listened on ({error}). --port names another.") from None
    return made
