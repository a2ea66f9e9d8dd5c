"""One call of a tool of an MCP server, as a callable that the graph can read."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import mcp_types as types
from mcp import Client, MCPError
from opentelemetry.propagate import inject
from pydantic_core import PydanticSerializationError, to_jsonable_python

from orchestrator.core.calls.signatures import with_signature
from orchestrator.core.context import RunContext
from orchestrator.core.errors import CallerError, Unavailable

from .connection import Connection, SessionLost
from .elicitation import Elicitations
from .results import output_value
from .transports import CALL_ID

_LOST: Final = re.compile(
    r"session (?:id )?(?:was )?(?:not found|terminated|expired|unknown|closed|invalid)"
    r"|(?:no valid|unknown|invalid|missing|expired) session|server not initialized",
    re.IGNORECASE,
)
"""How servers say that they do not know a session: nothing was executed."""


@dataclass(frozen=True)
class Terms:
    """What was agreed about a tool: what it is sent, and what becomes of its answer."""

    server: str
    remote: str
    takes: Mapping[str, Any]
    """Parameter -> type."""
    required: tuple[str, ...]
    gives: dict[str, Any]
    timeout: float
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Arguments that are always sent."""


def remote_call(connection: Connection, terms: Terms) -> Callable[..., Awaitable[Any]]:
    """A function with the parameters of the tool. Raises what the classes of failures know (`results`)."""

    async def work(ctx: RunContext[Any] | None, inputs: dict[str, Any]) -> Any:
        arguments = {name: _as_json(terms, name, value) for name, value in {**terms.fixed, **inputs}.items()}
        result = await call_remote(connection, terms.remote, arguments, terms.timeout, ctx)
        return output_value(result, terms.gives)

    return with_signature(work, terms.remote, terms.takes, terms.required)


async def call_remote(
    connection: Connection, remote: str, arguments: dict[str, Any], timeout: float, ctx: RunContext[Any] | None
) -> types.CallToolResult:
    """Call a tool. A session that the server no longer knows is opened again, and the call, which it cannot have
    executed, is sent again. Raises `Unavailable` when that happens twice, and `httpx2.HTTPStatusError` with the
    server's own status.
    """
    lost: SessionLost | None = None
    for _ in range(2):
        try:
            async with connection.client() as client:
                return await _send(connection, client, remote, arguments, timeout, ctx)
        except SessionLost as error:
            lost = error
    raise Unavailable(f"The MCP server {connection.name!r} does not keep a session: {lost}")


async def _send(
    connection: Connection,
    client: Client,
    remote: str,
    arguments: dict[str, Any],
    timeout: float,
    ctx: RunContext[Any] | None,
) -> types.CallToolResult:
    call_id = uuid.uuid4().hex
    meta: Any = {CALL_ID: call_id}
    inject(meta)

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        if ctx is not None:
            ctx.report(message or (f"{progress:g} of {total:g}" if total else f"{progress:g}"))

    sending = client.call_tool(
        remote, arguments, read_timeout_seconds=timeout, progress_callback=on_progress, meta=meta
    )
    try:
        if ctx is None:
            return await sending
        return await _with_questions(connection.elicitations, ctx, sending)
    except MCPError as error:
        _raise_for(connection.answer_to(call_id), error)
        raise


async def _with_questions(
    elicitations: Elicitations, ctx: RunContext[Any], sending: Awaitable[types.CallToolResult]
) -> types.CallToolResult:
    """The answer of the server; what it asks meanwhile is a question of the run."""
    task = asyncio.ensure_future(sending)
    with elicitations.open() as asked:
        try:
            while not task.done():
                waiting = asyncio.ensure_future(asked.get())
                await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    await waiting.result().answer(ctx)
                else:
                    waiting.cancel()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
    return task.result()


def _raise_for(response: httpx2.Response | None, error: MCPError) -> None:
    """Raise what an HTTP status, or the words of an error, says; the client's own code says nothing."""
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


def _as_json(terms: Terms, name: str, value: Any) -> Any:
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        raise CallerError(
            f"{terms.remote} of the MCP server {terms.server!r} cannot be sent {name}: a {type(value).__name__} "
            "cannot be written as JSON."
        ) from None
