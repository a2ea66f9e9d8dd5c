"""Subscriptions of a gateway's clients to resources of its servers."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import mcp_types as types
from mcp import MCPError

from orchestrator.core.errors import ToolError
from orchestrator.core.text import clean
from orchestrator.integrations.mcp.goal_server import Listeners
from orchestrator.integrations.mcp.remote import McpServer

Locate = Callable[[str], Awaitable[tuple[McpServer, str]]]
"""The server of a resource, and the address of the resource at that server."""


class Subscriptions:
    """Subscribes at a server while a client is subscribed at the gateway, and passes updates on."""

    def __init__(self, locate: Locate, listeners: Listeners) -> None:
        self._locate = locate
        self._listeners = listeners
        self._sessions: defaultdict[str, dict[int, Any]] = defaultdict(dict)
        """Address at the gateway -> connection of a client of an older protocol -> its session."""
        self._wanted: Counter[str] = Counter()
        """Address at the gateway -> number of subscriptions."""
        self._places: dict[str, tuple[McpServer, str]] = {}
        """Address at the gateway -> where it was subscribed to."""
        self._here: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """Server and its address -> addresses at the gateway."""
        self._lock = asyncio.Lock()

    def watch(self, server: McpServer) -> None:
        """Receive the updates of a server."""
        server.connection.on_updated = partial(self._updated, server.name)

    async def subscribe(self, ctx: Any, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """`resources/subscribe`, of clients before protocol 2026-07-28."""
        uri, connection = str(params.uri), id(getattr(ctx.session, "_connection", ctx.session))
        if connection not in self._sessions.get(uri, ()):
            await self._add(uri)
            if connection in self._sessions[uri]:  # the same client asked twice at one moment
                await self._drop(uri)
                return types.EmptyResult()
            stack = getattr(getattr(ctx.session, "_connection", None), "exit_stack", None)
            if stack is not None:
                stack.push_async_callback(self._left, uri, connection)
        self._sessions[uri][connection] = ctx.session
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Any, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """`resources/unsubscribe`."""
        await self._left(str(params.uri), id(getattr(ctx.session, "_connection", ctx.session)))
        return types.EmptyResult()

    async def listen(self, ctx: Any, params: types.SubscriptionsListenRequestParams) -> Any:
        """`subscriptions/listen`: until the client disconnects."""
        added: list[str] = []
        try:
            for uri in params.notifications.resource_subscriptions or ():
                try:
                    await self._add(str(uri))
                    added.append(str(uri))
                except MCPError:  # accepted without effect, as by other servers
                    continue
            return await self._listeners.on_listen(ctx, params)
        finally:
            await asyncio.shield(asyncio.gather(*(self._drop(uri) for uri in added)))

    async def _left(self, uri: str, connection: int) -> None:
        sessions = self._sessions.get(uri, {})
        if sessions.pop(connection, None) is None:
            return
        if not sessions:
            del self._sessions[uri]
        await self._drop(uri)

    async def _add(self, uri: str) -> None:
        """Raises `MCPError`."""
        async with self._lock:
            if not self._wanted[uri]:
                server, own = await self._locate(uri)
                try:
                    await server.connection.subscribe(own)
                except (ToolError, OSError) as error:
                    raise MCPError(types.INTERNAL_ERROR, clean(str(error), 500)) from None
                self._here[server.name, own].add(uri)
                self._places[uri] = server, own
            self._wanted[uri] += 1

    async def _drop(self, uri: str) -> None:
        async with self._lock:
            self._wanted[uri] -= 1
            if self._wanted[uri] > 0:
                return
            del self._wanted[uri]
            server, own = self._places.pop(uri)
            addresses = self._here[server.name, own]
            addresses.discard(uri)
            if not addresses:
                del self._here[server.name, own]
                server.connection.subscribed.discard(own)
                if server.connection.is_open:
                    try:
                        await server.connection.unsubscribe(own)
                    except Exception:
                        return  # the server is gone, and its subscriptions with it

    async def _updated(self, server: str, own: str) -> None:
        for uri in sorted(self._here.get((server, own), ())):
            await self._listeners.updated(uri)
            for connection, session in list(self._sessions.get(uri, {}).items()):
                try:
                    await session.send_resource_updated(uri)
                except Exception:  # the client has disconnected
                    await self._left(uri, connection)


__all__ = ["Subscriptions"]
