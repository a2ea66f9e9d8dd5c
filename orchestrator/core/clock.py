"""The injected clock: the only way the framework learns the time or waits."""

import asyncio
from collections.abc import Awaitable
from time import monotonic, time
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """The source of time and waits; `orchestrator.testing.FakeClock` is the implementation for tests."""

    def time(self) -> float:
        """Seconds since the epoch: for people and for records, never for a decision."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary point, never going back: for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def wait_for(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """The result of `awaitable`; cancels it and raises `TimeoutError` after `seconds`."""
        ...


class SystemClock:
    """The machine's own clock."""

    time = staticmethod(time)
    """Seconds since the epoch."""
    monotonic = staticmethod(monotonic)
    """Seconds from an arbitrary point."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def wait_for(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """The result of `awaitable`, or `TimeoutError`."""
        async with asyncio.timeout(seconds):
            return await awaitable
