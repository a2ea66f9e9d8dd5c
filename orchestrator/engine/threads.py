"""Daemon threads for sync tools: they do not block the event loop, and a hung one does not block the exit."""

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from orchestrator.core.process.forks import new_lock, renew_after_fork

T = TypeVar("T")
ThreadJob = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", contextvars.Context, Callable[[], Any]]


class Threads:
    """A pool that grows as needed and reuses idle threads. A cancelled call finishes, and its result is discarded."""

    def __init__(self, idle_seconds: float = 10.0) -> None:
        self._idle_seconds = idle_seconds
        self._jobs: queue.SimpleQueue[ThreadJob | None] = queue.SimpleQueue()
        self._idle = 0
        self._ending = False
        """Whether idle threads end at once."""
        self._lock = new_lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: drop the parent's threads and jobs."""
        self._jobs = queue.SimpleQueue()
        self._idle = 0

    def end_idle(self) -> None:
        """End idle threads, until the next call."""
        with self._lock:
            self._ending = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._jobs.put(None)

    async def run(self, call: Callable[[], T]) -> T:
        """Make `call` in a thread with a copy of the caller's context variables; returns its result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        job: ThreadJob = (loop, future, contextvars.copy_context(), call)
        with self._lock:
            self._ending = False
            fresh = self._idle == 0
            if not fresh:
                self._idle -= 1
        self._jobs.put(job)
        if fresh:
            threading.Thread(target=self._work, name="orchestrator-tool", daemon=True).start()
        try:
            return await future
        finally:  # an error refers to this frame; a reference back would keep the values alive
            del future, job

    def _work(self) -> None:
        job = self._next()  # queued before this thread was started; another thread may have taken it
        while job is not None:
            self._do(job)
            job = None
            with self._lock:
                if self._ending:
                    return
                self._idle += 1
            job = self._next()

    def _next(self) -> ThreadJob | None:
        try:
            return self._jobs.get(timeout=self._idle_seconds)
        except queue.Empty:
            with self._lock:
                if self._idle > 0:
                    self._idle -= 1
                    return None
            return self._jobs.get()  # a job was assigned to this thread meanwhile

    @staticmethod
    def _do(job: ThreadJob) -> None:
        loop, future, context, call = job
        try:
            result, error = context.run(call), None
        except BaseException as raised:
            result, error = None, raised
        try:
            loop.call_soon_threadsafe(_deliver, future, result, error)
        except RuntimeError:
            return  # the loop is closed: no caller waits
        finally:
            del error, future, job  # breaks the cycle of error, frame and future


def _deliver(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):
        raised = RuntimeError(f"it raised StopIteration: {error}")
        future.set_exception(raised.with_traceback(error.__traceback__))
    else:
        future.set_exception(error)
