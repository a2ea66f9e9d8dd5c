"""Coroutines for callers that are not async, and for callers whose cancellation is repeated."""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

T = TypeVar("T")


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine for a caller that is not async, whether or not an event loop runs around it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    result: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            result.append(asyncio.run(work))
        except BaseException as error:
            failed.append(error)

    context = contextvars.copy_context()  # so that the caller's span is the parent of the run's
    thread = threading.Thread(target=lambda: context.run(run), name="orchestrator-run-sync")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    found: T = result[0]
    return found


def cancelled_once() -> AbstractContextManager[object]:
    """Keep a cancelled anyio scope from cancelling again what is awaited inside.

    Such a scope (the request of an MCP or HTTP client that went away) cancels its task in every turn of the event
    loop, which would be taken for a second cancellation by the caller. A cancellation by asyncio still gets through.
    """
    if "anyio" not in sys.modules:  # so no scope of it is open; the import takes 30 ms
        return nullcontext()
    from anyio import CancelScope

    return CancelScope(shield=True)
