"""One call of a tool of an MCP server, as a callable with a signature for the graph."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types as types
from mcp import Client, MCPError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from orchestrator.core.context import RunContext
from orchestrator.core.errors import CallerError
from orchestrator.core.types.json_schema import with_signature

from .connection import Connection
from .requests import request
from .results import output_value
from .server_requests import ServerRequests


class RemoteProgress(str):
    """Progress reported by a server: its message, or its numbers as text."""

    __slots__ = ("progress", "total")
    progress: float
    total: float | None

    def __new__(cls, progress: float, total: float | None, message: str | None) -> "RemoteProgress":
        """The text, with the numbers beside it."""
        made = super().__new__(cls, message or (f"{progress:g} of {total:g}" if total else f"{progress:g}"))
        made.progress, made.total = progress, total
        return made


NEVER: Final = 1e7
"""Time-out of the client in seconds while a person is asked, whose time does not count."""


@dataclass(frozen=True)
class Terms:
    """The mapping of a tool: its arguments, and the conversion of its result."""

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
    """A function with the parameters of the tool. Raises exceptions that failure classification knows (`results`)."""

    async def work(ctx: RunContext[Any] | None, inputs: dict[str, Any]) -> Any:
        arguments = {name: _as_json(terms, name, value) for name, value in {**terms.fixed, **inputs}.items()}
        result = await call_remote(connection, terms.remote, arguments, terms.timeout, ctx)
        return output_value(result, terms.gives)

    return with_signature(work, terms.remote, terms.takes, terms.required)


async def call_remote(
    connection: Connection,
    remote: str,
    arguments: dict[str, Any],
    timeout: float,
    ctx: RunContext[Any] | None,
    *,
    more: Mapping[str, Any] | None = None,
) -> types.CallToolResult:
    """Call a tool by `request`; requests of the server are questions of the run.

    `more` is added to the request's `_meta`.
    """

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        if ctx is not None:
            ctx.report(RemoteProgress(progress, total, message))

    async def send(client: Client, meta: Any) -> types.CallToolResult:
        meta |= more or {}

        def sending(seconds: float) -> Awaitable[types.CallToolResult]:
            return client.call_tool(
                remote,
                arguments,
                read_timeout_seconds=seconds,
                progress_callback=on_progress,
                meta=meta,
            )

        if ctx is None:
            return await sending(timeout)
        return await _with_questions(connection.requests, ctx, sending(NEVER), timeout)

    return await request(connection, send)


async def _with_questions(
    requests: ServerRequests, ctx: RunContext[Any], sending: Awaitable[types.CallToolResult], seconds: float
) -> types.CallToolResult:
    """The response of the server; its elicitations are questions of the run, and the time for their answers does not
    count.

    Raises `MCPError` with the code of a time-out after `seconds`.
    """
    task = asyncio.ensure_future(sending)
    with requests.open(ctx.run_id) as asked:
        task.add_done_callback(asked.wake_up)
        try:
            while not task.done():
                began = asyncio.get_running_loop().time()
                try:
                    async with asyncio.timeout(seconds):
                        pending = await asked.next()
                except TimeoutError:
                    raise MCPError(types.REQUEST_TIMEOUT, "The call was not answered in time") from None
                seconds -= asyncio.get_running_loop().time() - began
                if pending is not None:
                    await requests.answer(pending, ctx)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
    return task.result()


def _as_json(terms: Terms, name: str, value: Any) -> Any:
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        raise CallerError(
            f"{terms.remote} of the MCP server {terms.server!r} cannot be sent {name}: a {type(value).__name__} "
            "cannot be written as JSON."
        ) from None
