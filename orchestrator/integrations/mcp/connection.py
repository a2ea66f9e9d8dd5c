"""`Connection`: one session with an MCP server, opened when it is first needed and again when it broke."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.shared.subscriptions import PromptsListChanged, ResourcesListChanged, ResourceUpdated, ToolsListChanged
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, REQUEST_TIMEOUT
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from orchestrator.core.errors import ToolError, Unavailable
from orchestrator.core.privacy.redaction import message_of
from orchestrator.health.failures.inspect import parts_of

from .server_requests import ServerRequests
from .transports import Transport

CLOSE_SECONDS: Final = 10.0
"""Seconds that closing a session may take; then its task is cancelled, which ends the server's process."""
SILENT: Final = 2
"""Time-outs in a row after which a session is dropped: a single one may come from a slow tool."""
_ANSWERED: Final = frozenset({INVALID_PARAMS, METHOD_NOT_FOUND, INTERNAL_ERROR})
"""Codes of errors that a server returns in a working session."""


_CHANGES: Final[Mapping[type[Any], str]] = {
    ToolsListChanged: "tools",
    ResourcesListChanged: "resources",
    PromptsListChanged: "prompts",
}


class SessionLost(Exception):
    """The server does not know the session any more, so the request was not executed."""


class NotOpened(Unavailable):
    """No session could be opened, so nothing was sent. `response` is the HTTP response that refused it, if any: its
    status and `Retry-After` are used.
    """

    def __init__(self, message: str, response: httpx2.Response | None) -> None:
        super().__init__(message)
        self.response = response


@dataclass(eq=False)
class _Session:
    """An open session."""

    client: Client
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    task: asyncio.Task[None]
    calls: int = 0
    """Number of calls in flight."""
    silent: int = 0
    """Time-outs since the last answer."""
    given_up: bool = False

    def on_message(self, error: BaseException | None) -> None:
        """Record the result of a call."""
        if error is None or isinstance(error, ToolError) or (isinstance(error, MCPError) and error.code in _ANSWERED):
            self.silent = 0
        elif isinstance(error, MCPError) and error.code == REQUEST_TIMEOUT:
            self.silent += 1
            self.given_up = self.given_up or self.silent >= SILENT
        elif isinstance(error, httpx2.HTTPStatusError):
            self.silent = 0
        elif isinstance(error, Exception):
            self.given_up = True

    def close_when_idle(self) -> None:
        """Close it, or let the last call in flight close it."""
        if self.given_up and not self.calls:
            self.stop.set()


class Connection:
    """Keeps a session open for all callers of an event loop. Another event loop gets its own session.

    A session is opened and closed in one task, as its transports require; any task of the loop may call.
    """

    def __init__(
        self,
        name: str,
        opening: Callable[[], AbstractAsyncContextManager[Client]],
        seconds: float,
        transport: Transport | None = None,
    ) -> None:
        self.name = name
        self.requests = ServerRequests(name)
        self._transport = transport
        self._opening = opening
        self._seconds = seconds
        self._session: _Session | None = None
        self._ending: set[_Session] = set()
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self.opened = 0
        """How often a session was opened."""
        self.on_changed: Callable[[str], Awaitable[None]] | None = None
        """Called with `tools`, `resources` or `prompts` when a server of protocol 2026-07-28 says that they changed;
        before that it is a message.
        """
        self.on_updated: Callable[[str], Coroutine[Any, Any, None]] | None = None
        """Called with the address of a resource in `subscribed` that was updated, or may have been updated between two
        sessions.
        """
        self.listens = False
        """Whether changes arrive in a subscription of the session; messages about them are ignored then."""
        self.subscribed: set[str] = set()
        self.log_level: types.LoggingLevel | None = None
        """The lowest level of log messages; `None` leaves it to the server."""
        self._listening: dict[int, asyncio.Task[None]] = {}

    def answer_to(self, call: str) -> httpx2.Response | None:
        """The HTTP response with an error status to a call."""
        return self._transport.answer_to(call) if self._transport is not None else None

    @property
    def is_open(self) -> bool:
        """Whether a session is open that the next call uses."""
        return self._usable() is not None

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        """The client of the open session, for one call. Raises `Unavailable` when none can be opened, so that nothing
        was sent. An exception of the call shows whether the session still works.
        """
        async with self._locked():
            held = self._session = self._usable() or await self._begin()
            held.calls += 1
        error: BaseException | None = None
        try:
            yield held.client
        except BaseException as raised:
            error = raised
            raise
        finally:
            held.calls -= 1
            held.on_message(error)
            held.close_when_idle()

    async def aclose(self) -> None:
        """Close the session, and with it the process of a started server. It may be opened again."""
        async with self._locked():
            held, self._session = self._session, None
            for session in [*self._ending, *([held] if held else [])]:
                await _end(session)

    def _locked(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = loop, asyncio.Lock()
        return self._lock[1]

    def _usable(self) -> _Session | None:
        held = self._session
        if held is None:
            return None
        if held.loop is asyncio.get_running_loop() and not held.given_up and not held.task.done():
            return held
        held.given_up = True
        if held.loop is asyncio.get_running_loop():
            held.close_when_idle()
        elif not held.loop.is_closed():
            held.loop.call_soon_threadsafe(held.close_when_idle)
        return None

    async def _begin(self) -> _Session:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        ready: asyncio.Future[Client] = loop.create_future()
        task = loop.create_task(self._hold(ready, stop), name=f"mcp:{self.name}")
        try:
            async with asyncio.timeout(self._seconds):
                client = await asyncio.shield(ready)
        except BaseException as error:
            task.cancel()
            with contextlib.suppress(BaseException):
                await asyncio.wait([task], timeout=CLOSE_SECONDS)
            if not isinstance(error, Exception):
                raise
            raise await self._not_opened(error) from error
        self.opened += 1
        made = _Session(client, loop, stop, task)
        self._ending.add(made)
        task.add_done_callback(lambda _: self._ending.discard(made))
        return made

    async def _not_opened(self, error: Exception) -> NotOpened:
        declined = self._transport.declined() if self._transport is not None else None
        if isinstance(error, TimeoutError):
            reason = "it did not answer in time"
        elif declined is not None:
            reason = f"it answered with HTTP status {declined.status_code} {declined.reason_phrase}".rstrip()
        else:
            reason = _reason(error)
        words = await asyncio.to_thread(self._transport.last_words) if self._transport is not None else ""
        wrote = f" Its last lines: {words}" if words else ""
        return NotOpened(f"The MCP server {self.name!r} cannot be reached: {reason}.{wrote}", declined)

    async def _hold(self, ready: "asyncio.Future[Client]", stop: asyncio.Event) -> None:
        try:
            async with self._opening() as client:
                if not ready.done():
                    ready.set_result(client)
                self.listens = client.protocol_version in MODERN_PROTOCOL_VERSIONS
                preparing = asyncio.create_task(self._prepare(client, sorted(self.subscribed)))
                try:
                    await stop.wait()
                finally:
                    listening = self._listening.pop(id(client), preparing)
                    for task in {preparing, listening}:
                        task.cancel()
                    await asyncio.wait({preparing, listening}, timeout=CLOSE_SECONDS)
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
                ready.exception()  # the waiting caller may have been cancelled

    # -- changes -----------------------------------------------------------------------------------------------------

    async def _prepare(self, client: Client, subscribed: list[str]) -> None:
        """Send the log level and the subscriptions in a new session. Subscribed resources may have changed."""
        with contextlib.suppress(Exception):  # the server is gone: the next call reports it
            if self.log_level is not None:
                await set_level(client, self.log_level)
            if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
                if self.on_changed is not None:
                    await self._listen_to(client)
            else:
                for uri in subscribed:
                    await _subscribe(client, uri)
            for uri in subscribed:
                await self._updated(uri)

    async def subscribe(self, uri: str) -> None:
        """Subscribe to a resource: `on_updated` is called when it was updated. Raises the error of the server."""
        await self._change(uri, wanted=True)

    async def unsubscribe(self, uri: str) -> None:
        """End the subscription to a resource."""
        await self._change(uri, wanted=False)

    async def _change(self, uri: str, *, wanted: bool) -> None:
        async with self.client() as client:
            if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
                await (_subscribe if wanted else _unsubscribe)(client, uri)
            (self.subscribed.add if wanted else self.subscribed.discard)(uri)
            if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
                await self._listen_to(client)

    async def _listen_to(self, client: Client) -> None:
        """Open a stream for the current subscriptions, and close the previous one once the new one is acknowledged."""
        before = self._listening.get(id(client))
        ready = asyncio.Event()
        listening = asyncio.create_task(self._listen(client, ready), name=f"mcp:{self.name}:changes")
        listening.add_done_callback(lambda _: ready.set())
        self._listening[id(client)] = listening
        await ready.wait()
        if before is not None:
            before.cancel()

    async def _listen(self, client: Client, ready: asyncio.Event) -> None:
        wanted = client.listen(
            tools_list_changed=True,
            resources_list_changed=True,
            prompts_list_changed=True,
            resource_subscriptions=sorted(self.subscribed),
        )
        with contextlib.suppress(Exception):  # unsupported, or the server is gone: the next call reports it
            async with wanted as changes:
                ready.set()
                async for change in changes:
                    if isinstance(change, ResourceUpdated):
                        await self._updated(change.uri)
                    elif (kind := _CHANGES.get(type(change))) is not None and self.on_changed is not None:
                        await self.on_changed(kind)

    async def _updated(self, uri: str) -> None:
        if self.on_updated is not None:
            await self.on_updated(uri)


async def set_level(client: Client, level: types.LoggingLevel) -> None:
    """Set the log level of a server of an older protocol; since 2026-07-28 each request carries it."""
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS and client.server_capabilities.logging is not None:
        request = types.SetLevelRequest(params=types.SetLevelRequestParams(level=level))
        await client.session.send_request(request, types.EmptyResult)


async def _subscribe(client: Client, uri: str) -> None:
    request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
    await client.session.send_request(request, types.EmptyResult)


async def _unsubscribe(client: Client, uri: str) -> None:
    request = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri=uri))
    await client.session.send_request(request, types.EmptyResult)


async def _end(session: _Session) -> None:
    if session.loop.is_closed() or session.task.done():
        return
    if session.loop is not asyncio.get_running_loop():
        session.loop.call_soon_threadsafe(session.stop.set)
        return
    session.stop.set()
    await asyncio.wait([session.task], timeout=CLOSE_SECONDS)
    if not session.task.done():
        session.task.cancel()
        await asyncio.wait([session.task], timeout=CLOSE_SECONDS)


def _reason(error: BaseException) -> str:
    """The message of the innermost error of a group."""
    parts = parts_of(error)
    return _reason(parts[0]) if parts else f"{type(error).__name__}: {message_of(error)}"
