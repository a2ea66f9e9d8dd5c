"""`FakeClock`: virtual time for tests. An hour of back-off takes no time at all."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, TypeVar

from orchestrator.core.calls.options import checked

from .idleness import Idleness

T = TypeVar("T")


@dataclass(order=True)
class _Event:
    """Something that happens at a time: the end of a sleep, or a deadline."""

    at: float
    order: int
    is_sleep: bool = field(compare=False)
    loop: asyncio.AbstractEventLoop = field(compare=False)
    fire: Callable[[], None] = field(compare=False)
    over: bool = field(default=False, compare=False)


class FakeClock:
    """A clock that stands still until it is moved, or until everybody sleeps.

    `advance(seconds)` moves it, firing sleeps and deadlines on the way in order. It also moves by itself: when nothing
    else in the event loop can continue and a task sleeps, it jumps to the next event. A deadline (`wait_for`) alone
    never makes it jump, for what is waited for may be real work. Programs of pure asyncio run the same way every time.
    """

    @checked()
    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._now = 0.0
        self._events: list[_Event] = []
        self._order = 0
        self._lock = RLock()
        self._idleness: dict[int, Idleness] = {}

    def time(self) -> float:
        """Seconds since the epoch; begins at `start`."""
        return self._start + self._now

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    @checked()
    def advance(self, seconds: float) -> None:
        """Move the clock; what is due on the way is woken in order, and runs when the caller next awaits.

        Raises `ValueError` for a negative amount.
        """
        if not seconds >= 0:
            raise ValueError(f"A clock goes forward only; advance got {seconds!r}.")
        until = self._now + seconds
        while (event := self._next()) is not None and event.at <= until:
            self._fire(event)
        self._now = until

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        event = self._add(seconds, True, loop, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            event.over = True

    async def wait_for(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """The result of `awaitable`; cancels it and raises `TimeoutError` once the clock has moved `seconds`."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as scope:
            if seconds is None:
                return await awaitable
            if seconds <= 0:
                scope.reschedule(loop.time())
                return await awaitable
            event = self._add(seconds, False, loop, lambda: scope.reschedule(loop.time()))
            try:
                return await awaitable
            finally:
                event.over = True

    def _add(self, seconds: float, is_sleep: bool, loop: asyncio.AbstractEventLoop, fire: Callable[[], None]) -> _Event:
        with self._lock:
            self._order += 1
            event = _Event(self._now + seconds, self._order, is_sleep, loop, fire)
            heapq.heappush(self._events, event)
            idleness = self._idleness.get(id(loop))
            if idleness is None or idleness.loop is not loop:
                idleness = self._idleness[id(loop)] = Idleness(loop, self._when_idle)
        if is_sleep:
            idleness.watch()
        return event

    def _next(self) -> _Event | None:
        """The earliest event that is not over."""
        with self._lock:
            while self._events and (self._events[0].over or self._events[0].loop.is_closed()):
                heapq.heappop(self._events)
            return self._events[0] if self._events else None

    def _fire(self, event: _Event) -> None:
        with self._lock:
            event.over = True
            self._now = max(self._now, event.at)

        def wake() -> None:
            event.fire()
            if self._has_sleepers(event.loop):
                self._idleness[id(event.loop)].watch()

        if event.loop is _running_loop():
            wake()
        else:
            event.loop.call_soon_threadsafe(wake)

    def _when_idle(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Jump to the next event if a task sleeps; returns whether to continue watching."""
        if not self._has_sleepers(loop):
            return False
        event = self._next()
        if event is not None:
            self._fire(event)
        return self._has_sleepers(loop)

    def _has_sleepers(self, loop: asyncio.AbstractEventLoop) -> bool:
        with self._lock:
            return any(e.is_sleep and not e.over and e.loop is loop for e in self._events)

    def __repr__(self) -> str:
        return f"FakeClock({self._now:g} s)"


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
