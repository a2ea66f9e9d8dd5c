"""The clock of a program whose store is on a server: what several machines compare are times of one clock."""

from collections.abc import Awaitable
from typing import Protocol, TypeVar

from orchestrator.core.clock import Clock, SystemClock

T = TypeVar("T")


class _Store(Protocol):
    @property
    def embedded(self) -> bool: ...

    def estimated_now(self) -> float: ...


class StoreClock:
    """The machine's clock, but for the time of day, which is the store's: records, due times, budgets and health that
    one machine writes are read by others, whose clocks may be set differently.
    """

    def __init__(self, store: _Store, local: Clock) -> None:
        self._store = store
        self._local = local
        self.monotonic = local.monotonic
        """Seconds from an arbitrary point, of this machine."""

    def time(self) -> float:
        """Seconds since the epoch by the store's clock, without asking the store."""
        return self._store.estimated_now()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._local.sleep(seconds)

    async def wait_for(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """The result of `awaitable`, or `TimeoutError`."""
        return await self._local.wait_for(awaitable, seconds)


def clock_of(store: _Store, given: Clock | None = None) -> Clock:
    """The clock that is given, else the machine's, with the store's time where that is on a server."""
    if given is not None:
        return given
    local = SystemClock()
    return local if store.embedded else StoreClock(store, local)


__all__ = ["StoreClock", "clock_of"]
