"""Closes an orchestrator: its runs, then the background work, then the store."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext, suppress
from typing import Final

from orchestrator.core.errors import StoreError
from orchestrator.core.process.loops import LoopThread, cancelled_once
from orchestrator.engine.lifecycle.shutdown import leave_waiting, shut_down
from orchestrator.engine.runtime import Runtime
from orchestrator.escalation import NotificationSink

from .background import Background
from .evaluation import WorkEvaluator

JUDGED_WITHIN: Final = 30.0
"""Seconds that closing waits for judges."""
LOG: Final = logging.getLogger("orchestrator")


async def close_all(
    runtime: Runtime,
    background: Background,
    evaluator: WorkEvaluator,
    notifications: NotificationSink,
    sync_calls: LoopThread,
    blocked: asyncio.AbstractEventLoop | None,
) -> None:
    """Shut down the runs and the background work, and close the sinks and the store.

    `blocked` is the event loop whose thread is blocked by this call, if there is one. A cancellation ends what is
    waited for, and the rest is closed still.
    """
    parts: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: shut_down(runtime, blocked),
        lambda: sync_calls.also(lambda: leave_waiting(runtime)),
        lambda: leave_waiting(runtime),
        notifications.drain,
        lambda: evaluator.drain(JUDGED_WITHIN),
        background.stop,
        lambda: runtime.threads.run(lambda: _close_parts(runtime)),
    )
    cancelled = await _each(parts)
    if sync_calls.is_here:
        sync_calls.end()
    else:
        await runtime.threads.run(sync_calls.end)
    runtime.threads.end_idle()
    if cancelled is not None:
        raise cancelled


async def _each(parts: Iterable[Callable[[], Awaitable[object]]]) -> asyncio.CancelledError | None:
    """Await one after another; a cancellation ends one of them, not those after it. Returns the cancellation."""
    cancelled: asyncio.CancelledError | None = None
    for part in parts:
        with cancelled_once() if cancelled is not None else nullcontext():
            try:
                await part()
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled


def _close_parts(runtime: Runtime) -> None:
    for sink in runtime.sinks:
        closing = getattr(sink, "close", None)
        try:
            if closing is not None:
                closing()
        except Exception:  # the store and the other sinks are still closed
            LOG.exception("%s could not be closed", type(sink).__name__)
    with suppress(StoreError):  # reported by the store; the shares return when they expire
        runtime.daily.close()
    runtime.store.close()


__all__ = ["close_all"]
