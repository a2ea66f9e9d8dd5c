"""One port for the service, the viewer and the MCP server: requests are dispatched by path and headers."""

import hmac
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

MCP_PATH: Final = "/mcp"
_OURS: Final = ("/healthz", "/readyz", "/openapi.json", "/metrics")
"""Paths that belong to the service only."""


class Front:
    """Dispatches requests: `/mcp` to the MCP server, those of browsers to the viewer, all others to the service.

    A request is a browser's if it accepts HTML, or has the viewer's token or a form, and no `Authorization` header.
    Each part has guards and a token of its own; `token` is that of the MCP server.
    """

    def __init__(
        self, service: ASGIApp, viewer: ASGIApp | None = None, mcp: ASGIApp | None = None, token: str = ""
    ) -> None:
        """Without `viewer` or `mcp`, their paths belong to the service."""
        self._service, self._viewer, self._mcp = service, viewer, mcp
        self._wanted = f"Bearer {token}".encode()

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=[Mount("/", app=self._pass_on)], lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for part in (self._viewer, self._mcp):
                router: Any = getattr(part, "router", None)
                if router is not None:
                    await stack.enter_async_context(router.lifespan_context(part))
            yield

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if self._mcp is not None and (path == MCP_PATH or path.startswith(f"{MCP_PATH}/")):
            await self._to_mcp(scope, receive, send)
        elif self._viewer is not None and path not in _OURS and _is_browser(scope):
            await self._viewer(scope, receive, send)
        else:
            await self._service(scope, receive, send)

    async def _to_mcp(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._mcp is not None
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if hmac.compare_digest(given, self._wanted):
            await self._mcp(scope, receive, send)
            return
        refused = PlainTextResponse("The token is missing or wrong.\n", 401, {"WWW-Authenticate": "Bearer"})
        await refused(scope, receive, send)


def _is_browser(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    headers = Headers(scope=scope)
    if "authorization" in headers:
        return False
    form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    asked = b"token=" in scope.get("query_string", b"")
    return form or asked or "cookie" in headers or "text/html" in headers.get("accept", "")


__all__ = ["MCP_PATH", "Front"]
