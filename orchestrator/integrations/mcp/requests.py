"""One request to an MCP server, with the HTTP status of its response; a lost session is opened again."""

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import httpx2
from mcp import Client, MCPError
from opentelemetry.propagate import inject

from orchestrator.core.errors import Unavailable

from .connection import Connection, SessionLost
from .transports import CALL_ID

T = TypeVar("T")
_LOST: Final = re.compile(
    r"session (?:id )?(?:was )?(?:not found|terminated|expired|unknown|closed|invalid)"
    r"|(?:no valid|unknown|invalid|missing|expired) session|server not initialized",
    re.IGNORECASE,
)
"""Messages by which servers report an unknown session: nothing was executed."""


async def request(connection: Connection, send: Callable[[Client, Any], Awaitable[T]]) -> T:
    """The response to `send(client, meta)`.

    A session that the server no longer knows is opened again, and the request, which it cannot have executed, is sent
    again. Raises `Unavailable` when that happens twice, `httpx2.HTTPStatusError` with the server's own status, and
    `MCPError` for an error that the server answered.
    """
    lost: SessionLost | None = None
    for _ in range(2):
        try:
            async with connection.client() as client:
                return await _sent(connection, client, send)
        except SessionLost as error:
            lost = error
    raise Unavailable(f"The MCP server {connection.name!r} does not keep a session: {lost}")


async def _sent(connection: Connection, client: Client, send: Callable[[Client, Any], Awaitable[T]]) -> T:
    call_id = uuid.uuid4().hex
    meta: Any = {CALL_ID: call_id}
    inject(meta)
    try:
        return await send(client, meta)
    except MCPError as error:
        _raise_for(connection.answer_to(call_id), error)
        raise


def _raise_for(response: httpx2.Response | None, error: MCPError) -> None:
    """Raise by the HTTP status, or by the text of an error; the client's own error code is not specific."""
    error_text = error.error.message
    if response is None:
        if _LOST.search(error_text):
            raise SessionLost(error_text) from error
        return
    body = response.text[:2000]
    if "mcp-session-id" in response.request.headers and (response.status_code == 404 or _LOST.search(body)):
        raise SessionLost(error_text) from error
    reason = f"the MCP server answered with HTTP status {response.status_code} {response.reason_phrase}".strip()
    raise httpx2.HTTPStatusError(reason, request=response.request, response=response) from error


__all__ = ["request"]
