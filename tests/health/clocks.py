"""A clock that is moved by hand: health never waits."""

from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class StillClock:
    """Stands still until `now` is set."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def time(self) -> float:
        """Seconds since the epoch."""
        return 1_700_000_000.0 + self.now

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Move."""
        self.now += seconds

    async def wait_for(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """Just wait."""
        del seconds
        return await awaitable
