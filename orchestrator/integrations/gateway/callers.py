"""Clients with calls in progress: progress and log messages are sent to them, and roots come from them."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

import mcp_types as types
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from orchestrator.core.events import Decided, Event, Progressed
from orchestrator.core.text import clean
from orchestrator.integrations.mcp.calling import RemoteProgress
from orchestrator.integrations.mcp.goal_server import Listeners
from orchestrator.integrations.mcp.remote import McpServer

LEVELS: Final[tuple[types.LoggingLevel, ...]] = get_args(types.LoggingLevel)
"""From the least severe on."""
STEP: Final = 0.001
"""How much a report of the gateway itself advances the progress."""


@dataclass
class Caller:
    """The client of a call."""

    ctx: Any
    meta: Mapping[str, Any]
    """Of the request."""
    progress: float = 0.0
    """The last reported progress; it only grows."""
    base: float = 0.0
    """The progress at the start of the current call of a server."""

    def advanced(self, reported: Any) -> tuple[float, float | None]:
        """The progress and the total after a report of a server, or of the gateway itself."""
        total: float | None = None
        if isinstance(reported, RemoteProgress):
            if self.base + reported.progress <= self.progress:  # another server, or the call was made again
                self.base = self.progress
            self.progress = max(self.base + reported.progress, self.progress + STEP)
            total = None if reported.total is None else self.base + reported.total
        else:
            self.progress += STEP
        return self.progress, total

    @property
    def level(self) -> str:
        """The lowest level of log messages for this call, of a client of protocol 2026-07-28; empty for none."""
        return str(self.meta.get(types.LOG_LEVEL_META_KEY) or "")


class Callers:
    """Reports events of runs to the clients that started them."""

    def __init__(self, listeners: Listeners) -> None:
        self.by_run: dict[str, Caller] = {}
        self.level: types.LoggingLevel | None = None
        """The lowest level of log messages for clients of older protocols."""
        self._listeners = listeners
        self._work: set[asyncio.Task[None]] = set()

    # -- progress ----------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Report reroutes and retries, and the progress of tools."""
        caller = self.by_run.get(event.run_id)
        if caller is None:
            return
        if isinstance(event, Decided):
            reported: Any = f"{event.decision.kind}: {event.decision.chosen}"
        elif isinstance(event, Progressed):
            reported = event.progress
        else:
            return
        task = asyncio.get_running_loop().create_task(_report(caller, *caller.advanced(reported), str(reported)))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    # -- log messages ------------------------------------------------------------------------------------------------

    def meta_of(self, run_id: str) -> Mapping[str, Any]:
        """The `_meta` fields of a request to a server: the log level that the caller of a run wants."""
        caller = self.by_run.get(run_id)
        level = caller.level if caller is not None and caller.level else self.level
        return {types.LOG_LEVEL_META_KEY: level} if level else {}

    async def log(self, server: McpServer, params: types.LoggingMessageNotificationParams) -> None:
        """Pass on a log message: to the caller of the newest call at the server, else to each client that listed."""
        caller = self.by_run.get(server.connection.requests.newest)
        named = params.model_copy(update={"logger": params.logger or server.name, "meta": None})
        notice = types.LoggingMessageNotification(params=named)
        if caller is not None:
            if _wants(caller.level if _is_modern(caller.ctx.session) else self.level or "debug", params.level):
                with suppress(Exception):  # the client has disconnected
                    await caller.ctx.session.send_notification(notice, related_request_id=caller.ctx.request_id)
            return
        for session in self._listeners.sessions:
            if not _is_modern(session) and _wants(self.level or "debug", params.level):
                with suppress(Exception):
                    await session.send_notification(notice)

    # -- roots -------------------------------------------------------------------------------------------------------

    async def roots(self) -> types.ListRootsResult | types.ErrorData:
        """The roots of the newest client, for a request outside of a call."""
        for session in reversed(self._listeners.sessions):
            able = session.client_capabilities
            if able is not None and able.roots is not None and not _is_modern(session):
                try:
                    metadata = ServerMessageMetadata()
                    return cast(
                        "types.ListRootsResult",
                        await session.send_request(types.ListRootsRequest(), types.ListRootsResult, metadata=metadata),
                    )
                except Exception as error:
                    logging.getLogger("orchestrator.gateway").warning("roots: %s", clean(str(error), 200))
        return types.ErrorData(code=types.INVALID_REQUEST, message="No client of the gateway has roots.")


def _is_modern(session: Any) -> bool:
    return session.protocol_version in MODERN_PROTOCOL_VERSIONS


def _wants(level: str, given: str) -> bool:
    known = [str(each) for each in LEVELS]
    return level in known and given in known and known.index(given) >= known.index(level)


async def _report(caller: Caller, number: float, total: float | None, message: str) -> None:
    with suppress(Exception):  # the client has disconnected or does not accept progress
        await caller.ctx.session.report_progress(number, total, message)


__all__ = ["Caller", "Callers"]
