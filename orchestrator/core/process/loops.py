"""Event loops for callers that are not async: a loop for one coroutine, and `LoopThread`, one in its own thread."""

import asyncio
import contextlib
import contextvars
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

from .forks import new_lock, renew_after_fork

T = TypeVar("T")


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine for a caller that is not async, also inside a running event loop; returns its result."""
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
    """Prevent a cancelled anyio scope from cancelling the awaited code repeatedly.

    Such a scope (the request of a disconnected MCP or HTTP client) cancels its task in every iteration of the event
    loop, which would count as a second cancellation by the caller. A cancellation by asyncio still takes effect.
    """
    if "anyio" not in sys.modules:  # so no scope of it is open; the import takes 30 ms
        return nullcontext()
    from anyio import CancelScope

    return CancelScope(shield=True)


IDLE_SECONDS: Final = 10.0
"""Seconds without a call after which the thread ends, so that its owner can be collected; the next call starts
another.
"""
LAST_SECONDS: Final = 2.0
"""Seconds that a caller interrupted twice waits for its coroutine to end."""
_OF_PARENTS: Final[list[asyncio.AbstractEventLoop]] = []
"""Event loops of the parent process: a forked child never runs, closes or collects them."""


class _Call:
    """One coroutine that a thread waits for."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work
        self._context = contextvars.copy_context()  # so that the caller's span is the parent of the run's
        self._task: asyncio.Task[None] | None = None
        self._ended = threading.Lock()
        self._ended.acquire()
        self._result: Any = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin, in the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._drive(), context=self._context)

    async def _drive(self) -> None:
        try:
            self._result = await self._work
        except BaseException as error:
            self._error = error
        finally:
            self._ended.release()

    def cancel(self) -> None:
        """Cancel it, in the event loop."""
        if self._task is not None:
            self._task.cancel()

    def wait(self, seconds: float = -1) -> None:
        """Block until the coroutine has ended."""
        if self._ended.acquire(timeout=seconds):
            self._ended.release()

    def result(self) -> Any:
        """The result of the ended coroutine; raises its exception."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
            return self._result
        finally:
            del error  # its traceback holds this frame


class LoopThread:
    """Runs coroutines for callers that are not async, in one event loop that outlives the calls.

    `needed` returns whether the loop must continue without calls. Safe to use from several threads; a forked child
    starts without a loop.
    """

    def __init__(self, needed: Callable[[], bool], idle_seconds: float = IDLE_SECONDS) -> None:
        self._needed = needed
        self._idle_seconds = idle_seconds
        self._lock = new_lock()
        self._calls = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: drop the parent's thread and calls."""
        if self._loop is not None:
            _OF_PARENTS.append(self._loop)
        self._calls, self._loop, self._thread, self._stop = 0, None, None, None

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in this event loop."""
        return threading.current_thread() is self._thread

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, whether or not an event loop runs around the caller.

        Ctrl-C cancels it and waits for its end; a second one waits no longer. Both raise `KeyboardInterrupt`.
        """
        if self.is_here:  # waiting for this loop would be a deadlock
            return in_a_loop(work)
        call = _Call(work)
        with self._lock:
            self._calls += 1
            loop = self._loop or self._begin()
        try:
            loop.call_soon_threadsafe(call.start)
            with _interruptible():
                _wait(call, loop)
        finally:
            with self._lock:
                self._calls -= 1
        found: T = call.result()
        return found

    async def also(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Await `work` in this event loop, if there is one and the caller is not in it."""
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))

    def end(self) -> None:
        """End the event loop and wait for its thread, unless it is the caller's."""
        with self._lock:
            loop, thread, stop = self._loop, self._thread, self._stop
            self._loop = None
        if loop is None or thread is None or stop is None:
            return
        loop.call_soon_threadsafe(stop.set)
        if thread is not threading.current_thread():
            thread.join()

    def _begin(self) -> asyncio.AbstractEventLoop:
        loop = self._loop = asyncio.new_event_loop()
        stop = self._stop = asyncio.Event()
        thread = self._thread = threading.Thread(
            target=self._serve, args=(loop, stop), name="orchestrator-run-sync", daemon=True
        )
        thread.start()
        return loop

    def _serve(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._until_idle(loop, stop))

    async def _until_idle(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_seconds):
                    await stop.wait()
                return
            with self._lock:
                if self._calls == 0 and not self._needed():
                    if self._loop is loop:
                        self._loop = None
                    return


def _wait(call: _Call, loop: asyncio.AbstractEventLoop) -> None:
    """Wait for a call; Ctrl-C cancels it, a second one cancels it again and waits only a moment more."""
    try:
        call.wait()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(call.cancel)
        try:
            call.wait()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(call.cancel)
            call.wait(LAST_SECONDS)
        raise


@contextlib.contextmanager
def _interruptible() -> Generator[None]:
    """Let Ctrl-C raise here while the caller blocks asyncio's event loop, whose handler would only set a flag."""
    handler: Any = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if getattr(getattr(handler, "func", None), "__name__", "") != "_on_sigint":
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
