"""Coroutines for callers that are not async."""

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
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
