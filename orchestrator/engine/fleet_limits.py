"""Concurrency limits of a tool over all processes of a store: each call holds one of a fixed number of leases."""

import asyncio
import random
from typing import Final

from orchestrator.core.errors import StoreError
from orchestrator.store.protocol import Store
from orchestrator.store.rows import slot_name

from .threads import Threads

LOOK_SECONDS: Final = 0.2
"""Mean seconds between two attempts of a waiting call to get a slot."""


class FleetLimit:
    """Limits the concurrent calls of one tool, over all processes of a store.

    A slot is a lease in the store for as long as a call may take; the sweep returns those of dead processes. While the
    store is unreachable no call of the tool starts, because the calls of other processes cannot be counted.
    """

    def __init__(self, store: Store, threads: Threads, owner: str, tool: str, most: int, seconds: float) -> None:
        """`seconds`: how long a call may take at most, abandoned calls included."""
        self._store, self._threads, self._owner = store, threads, owner
        self._tool, self._most, self._seconds = tool, most, seconds
        self._held: list[str] = []

    async def acquire(self, run_id: str = "") -> None:
        """Wait for a slot and take it; `run_id` does not matter here."""
        del run_id
        while True:
            asked = asyncio.ensure_future(self._threads.run(self._try))
            try:
                name = await asyncio.shield(asked)
            except asyncio.CancelledError:
                asked.add_done_callback(self._give_back)  # a thread cannot be interrupted
                raise
            if name is not None:
                self._held.append(name)
                return
            await asyncio.sleep(LOOK_SECONDS * (0.5 + random.random()))

    def take(self) -> None:
        """Continue without a slot: for a call that lent its slot and cannot wait."""
        self._held.append("")

    def release(self) -> None:
        """Give a slot back, from any thread."""
        name = self._held.pop()
        if name:
            self._store.release_lease(name, self._owner)

    def _give_back(self, asked: "asyncio.Future[str | None]") -> None:
        name = None if asked.cancelled() or asked.exception() is not None else asked.result()
        if name:
            self._store.release_lease(name, self._owner)

    def _try(self) -> str | None:
        numbers = list(range(self._most))
        random.shuffle(numbers)  # no decision depends on which number is free
        for number in numbers:
            name = slot_name(self._tool, number)
            try:
                if self._store.try_lease(name, self._owner, self._seconds):
                    return name
            except StoreError:
                return None
        return None


__all__ = ["FleetLimit"]
