"""`SharedResult`: one result that code of any thread and event loop may wait for."""

import asyncio
import contextlib
import threading
from typing import Any, Final, Generic, TypeVar

from .forks import new_lock

T = TypeVar("T")
_LOCK: Final = new_lock()
"""Of all results: it is held for a few assignments only."""


class SharedResult(Generic[T]):
    """As `concurrent.futures.Future`, for waiters that are coroutines.

    It has no condition of its own: a future with one is ten objects to the garbage collector.
    """

    __slots__ = ("_done", "_error", "_value", "_waiting")

    def __init__(self) -> None:
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiting: tuple[tuple[asyncio.AbstractEventLoop, int, asyncio.Future[None]], ...] = ()

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        return self._done

    def set_result(self, value: T) -> None:
        """Set the result. Raises `InvalidStateError` when there is one."""
        self._settle(value, None)

    def set_exception(self, error: BaseException) -> None:
        """Set the exception that waiters get. Raises `InvalidStateError` when there is a result."""
        self._settle(None, error)

    async def wait(self) -> T:
        """The result, once there is one. Raises the exception that was set."""
        if not self._done:
            loop = asyncio.get_running_loop()
            ended: asyncio.Future[None] = loop.create_future()
            with _LOCK:
                if not self._done:
                    self._waiting = (*self._waiting, (loop, threading.get_ident(), ended))
            if not self._done:
                await ended
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value

    def _settle(self, value: Any, error: BaseException | None) -> None:
        with _LOCK:
            if self._done:
                raise asyncio.InvalidStateError("there is a result already")
            self._value, self._error, self._done = value, error, True
            waiting, self._waiting = self._waiting, ()
        here = threading.get_ident()
        for loop, thread, ended in waiting:
            with contextlib.suppress(RuntimeError):  # the event loop is closed, and nobody waits there any more
                if thread == here:
                    _end(ended)
                else:
                    loop.call_soon_threadsafe(_end, ended)


def _end(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)


__all__ = ["SharedResult"]
