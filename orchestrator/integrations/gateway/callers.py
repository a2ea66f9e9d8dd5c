"""The clients of a gateway whose calls are under way: progress, log messages and roots go to and come from them."""

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
"""By how much a report of the gateway advances the progress that a server reports."""


@dataclass
class Caller:
    """Who made a call."""

    ctx: Any
    meta: Mapping[str, Any]
    """Of the request."""
    progress: float = 0.0
    """What was reported last: it only grows."""
    base: float = 0.0
    """What was reported when the server of the moment was called."""

    def advanced(self, reported: Any) -> tuple[float, float | None]:
        """The progress and the total with a report of a server, or of the gateway itself."""
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
        """From which level on a client of protocol 2026-07-28 wants log messages of this call; empty for none."""
        return str(self.meta.get(types.LOG_LEVEL_META_KEY) or "")


class Callers:
    """Reports what happens in runs to the clients that asked for them."""

    def __init__(self, listeners: Listeners) -> None:
        self.by_run: dict[str, Caller] = {}
        self.level: types.LoggingLevel | None = None
        """From which level on a client of an older protocol wants log messages."""
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
        """What a request to a server says of the log messages that the caller of a run wants."""
        caller = self.by_run.get(run_id)
        level = caller.level if caller is not None and caller.level else self.level
        return {types.LOG_LEVEL_META_KEY: level} if level else {}

    async def log(self, server: McpServer, params: types.LoggingMessageNotificationParams) -> None:
        """Pass on what a server logs: to the caller of its newest call; without one, to whoever was shown a list."""
        caller = self.by_run.get(server.connection.requests.newest)
        named = params.model_copy(update={"logger": params.logger or server.name, "meta": None})
        notice = types.LoggingMessageNotification(params=named)
        if caller is not None:
            if _wants(caller.level if _is_modern(caller.ctx.session) else self.level or "debug", params.level):
                with suppress(Exception):  # a client that is gone is no reason to fail
                    await caller.ctx.session.send_notification(notice, related_request_id=caller.ctx.request_id)
            return
        for session in self._listeners.sessions:
            if not _is_modern(session) and _wants(self.level or "debug", params.level):
                with suppress(Exception):
                    await session.send_notification(notice)

    # -- roots -------------------------------------------------------------------------------------------------------

    async def roots(self) -> types.ListRootsResult | types.ErrorData:
        """The roots of the newest client, for a server that asks outside of a call."""
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
    with suppress(Exception):  # a client that is gone or does not listen is no reason to fail
        await caller.ctx.session.report_progress(number, total, message)


__all__ = ["Caller", "Callers"]
