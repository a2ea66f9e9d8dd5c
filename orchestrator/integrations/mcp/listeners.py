"""Notifies the clients of an MCP server that its tools changed."""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import Any, Final

from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged

SEND_SECONDS: Final = 5.0
"""How long a client may take to accept a notification."""
MAX_CONNECTIONS: Final = 1000
"""Connections of clients that are notified; the oldest beyond it is forgotten."""


class Listeners:
    """The clients that have asked for the tools, or, since protocol 2026-07-28, have subscribed to changes."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self.on_listen = ListenHandler(self._bus)
        """Serves the subscriptions of clients."""
        self._sessions: OrderedDict[int, Any] = OrderedDict()
        """Connection -> the newest session on it; the client library makes a session for each request."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: set[asyncio.Task[None]] = set()

    def add(self, session: Any) -> None:
        """A client was shown the tools, in the running loop."""
        self._sessions[id(getattr(session, "_connection", session))] = session
        if len(self._sessions) > MAX_CONNECTIONS:
            self._sessions.popitem(last=False)
        self._loop = asyncio.get_running_loop()

    def notify(self) -> None:
        """Notify each client that the tools changed; from any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed, and its clients are gone
                loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        task = asyncio.get_running_loop().create_task(self._notify_all(), name="mcp:tools changed")
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _notify_all(self) -> None:
        await asyncio.gather(self._bus.publish(ToolsListChanged()), *map(self._send, list(self._sessions.items())))

    async def _send(self, known: tuple[int, Any]) -> None:
        connection, session = known
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await session.send_tool_list_changed()
        except Exception:  # a client that is gone, or that subscribes instead
            self._sessions.pop(connection, None)


__all__ = ["Listeners"]
