"""Closes an orchestrator: its runs, then the background work, then the store."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from orchestrator.core.errors import StoreError
from orchestrator.core.process.loops import LoopThread
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

    `blocked` is the event loop whose thread is blocked by this call, if there is one.
    """
    await shut_down(runtime, blocked)
    await sync_calls.also(lambda: leave_waiting(runtime))
    await leave_waiting(runtime)
    await notifications.drain()
    await evaluator.drain(JUDGED_WITHIN)
    await background.stop()
    await runtime.threads.run(lambda: _close_parts(runtime))
    if sync_calls.is_here:
        sync_calls.end()
    else:
        await runtime.threads.run(sync_calls.end)
    runtime.threads.end_idle()


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
