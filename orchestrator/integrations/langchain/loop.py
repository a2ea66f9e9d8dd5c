"""The event loops of healed tool calls: an async agent's own, and one daemon thread per process for sync agents."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


async def in_home(work: Coroutine[Any, Any, T], home: asyncio.AbstractEventLoop | None) -> T:
    """Run a coroutine in the loop that has its session, which mostly is the running one."""
    if home is None or home is asyncio.get_running_loop():
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home))


def shared_loop() -> asyncio.AbstractEventLoop:
    """The loop of this process; a fork gets its own."""
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="orchestrator-healing", daemon=True).start()
        return loop


__all__ = ["in_home", "shared_loop"]
