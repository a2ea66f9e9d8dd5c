"""Knows when an event loop has nothing to do: every task waits for something that only a clock can bring.

What it can see decides how long it looks. With nothing but tasks, the loop is idle as soon as no callback is ready. A
thread at work, an open socket or a timer of the real clock may bring something: then it is idle after a short real
pause without activity. Reads private attributes of asyncio's own loop, and falls back to the pause on any other.
"""

import asyncio
import concurrent.futures.thread
import gc
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final

_PAUSE: Final = 0.002
"""Real seconds."""
_PAUSES_FOR_THREADS: Final = 500
"""How many pauses a thread at work is waited for."""
_AT_WORK: Final = {"orchestrator-tool": "_do", "orchestrator-store": "_write"}
"""Names of the framework's threads -> the function in which they work."""
_EXECUTOR: Final = concurrent.futures.thread.__file__
"""The file in whose function `run` the threads of an executor work; how many of them it counts as idle is a guess."""
_ROUNDS: Final = 2
"""Looks at an empty queue before it counts as idle."""


class Idleness:
    """Calls `when_idle` each time its loop has nothing else to do, for as long as that returns True."""

    def __init__(self, loop: asyncio.AbstractEventLoop, when_idle: Callable[[asyncio.AbstractEventLoop], bool]) -> None:
        self.loop = loop
        self._when_idle = when_idle
        self._watching = False
        self._quiet = 0
        self._pauses = 0

    def watch(self) -> None:
        """Begin to look, or start again: something has just happened."""
        self._quiet = self._pauses = 0
        if not self._watching:
            self._watching = True
            self.loop.call_soon(self._look)

    def _look(self) -> None:
        ready: Any = getattr(self.loop, "_ready", None)
        if ready:
            self._quiet = self._pauses = 0
            self.loop.call_soon(self._look)
            return
        self._quiet += 1
        if ready is not None and self._quiet < _ROUNDS:
            self.loop.call_soon(self._look)
            return
        busy = threads_at_work(self.loop)
        patience = _PAUSES_FOR_THREADS if busy else 1
        if (busy or ready is None or _can_wake(self.loop)) and self._pauses < patience:
            self._pauses += 1
            self._quiet = 0
            self.loop.call_later(_PAUSE, self._look)
            return
        self._quiet = self._pauses = 0
        self._watching = self._when_idle(self.loop)
        if self._watching:
            self.loop.call_soon(self._look)


def _can_wake(loop: Any) -> bool:
    """Whether a socket, a child process or a timer of the real clock may wake the loop."""
    selector = getattr(loop, "_selector", None)
    sockets = len(selector.get_map()) if selector is not None else 2
    timers = [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()]
    # One socket is the loop's own, by which other threads wake it.
    return sockets > 1 or bool(timers) or bool(_own_threads()) or bool(_executor_threads(loop))


def threads_at_work(loop: Any) -> bool:
    """Whether a thread does something that a task waits for."""
    queue = getattr(getattr(loop, "_default_executor", None), "_work_queue", None)
    if queue is not None and queue.qsize() > 0:
        return True
    if any(_waits_for_thread(getattr(task, "_fut_waiter", None), 0) for task in asyncio.all_tasks(loop)):
        return True
    working: list[tuple[threading.Thread, str, str | None]] = [
        (thread, "run", _EXECUTOR) for thread in _executor_threads(loop)
    ]
    working += [(thread, _AT_WORK[thread.name], None) for thread in _own_threads()]
    if not working:
        return False
    frames = _current_frames()
    return any(_below(frames.get(thread.ident or 0), function, file) for thread, function, file in working)


def _executor_threads(loop: Any) -> list[threading.Thread]:
    """The threads of the loop's default executor."""
    return list(getattr(getattr(loop, "_default_executor", None), "_threads", ()))


def _own_threads() -> list[threading.Thread]:
    """The framework's own threads: for sync tools, and for what writes the store."""
    return [thread for thread in threading.enumerate() if thread.name in _AT_WORK]


def _current_frames() -> Mapping[int, FrameType]:
    """What each thread is doing, by its ident.

    The interpreter holds its lock of threads meanwhile; where collecting garbage then runs a finalizer that wants it,
    everything stands still (CPython gh-106883: 3.11 before 3.11.9).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()  # pyright: ignore[reportPrivateUsage]
    finally:
        if collecting:
            gc.enable()


def _below(frame: FrameType | None, function: str, file: str | None) -> bool:
    """Whether a frame is somewhere below a function of that name (and file)."""
    while frame is not None:
        if frame.f_code.co_name == function and file in (None, frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


def _waits_for_thread(future: Any, depth: int) -> bool:
    """Whether a future is chained to one of another thread (`asyncio.wrap_future`, `run_in_executor`)."""
    if future is None or depth > 4:
        return False
    for callback, _ in getattr(future, "_callbacks", None) or ():
        if str(getattr(callback, "__qualname__", "")).startswith("_chain_future"):
            return True
    return any(_waits_for_thread(child, depth + 1) for child in getattr(future, "_children", ()))
