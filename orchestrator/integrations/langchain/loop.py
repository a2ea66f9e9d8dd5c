"""The event loop of healed tool calls: one daemon thread per process, shared by sync and async callers."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def submit(work: Coroutine[Any, Any, T]) -> "Future[T]":
    """Run a coroutine in the shared loop; the future may be waited for in any thread or, wrapped, in any loop."""
    return asyncio.run_coroutine_threadsafe(work, shared_loop())


def shared_loop() -> asyncio.AbstractEventLoop:
    """The loop of this process; a fork gets its own."""
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="orchestrator-healing", daemon=True).start()
        return loop


__all__ = ["shared_loop", "submit"]
