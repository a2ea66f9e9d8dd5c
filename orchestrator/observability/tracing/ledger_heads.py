"""Publishes the head of each ended run's ledger outside of the store, so that a rewritten store can be detected.

The head is known when the store's writer has committed the run's closing record, for which no run waits. A separate
thread waits instead and publishes the heads of ended runs in batches.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.errors import StoreError
from orchestrator.core.process.forks import new_lock
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow

GATHER: Final = 0.05
"""Seconds between batches: by then the writer has committed the runs in its normal cycle."""
DURABLE_TIMEOUT: Final = 1.0
"""Seconds that a store may take to make a run durable before it is tried again later."""
OUTAGE: Final = 1.0
"""Seconds until an unreachable store is tried again."""
KEPT: Final = 10_000
"""Maximum number of ended runs that are kept while the store is down; the oldest are dropped."""

Tell = Callable[[RunRow], None]


@dataclass(frozen=True, slots=True)
class _Ended:
    store: Store
    run_id: str
    publish: Tell


class Anchor:
    """Waits for the heads of ended runs."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._queue: deque[_Ended] = deque()
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def watch(self, store: Store, run_id: str, publish: Tell) -> None:
        """Publish the row of a run once it is durable. Returns at once."""
        with self._lock:
            self._queue.append(_Ended(store, run_id, publish))
            self._idle.clear()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="orchestrator-anchor", daemon=True)
                self._thread.start()

    def drain(self, timeout: float) -> bool:
        """Wait until everything has been published; whether it has."""
        self._hurry.set()
        return self._idle.wait(timeout)

    def _work(self) -> None:
        pause = GATHER
        while True:
            self._hurry.wait(pause)
            with self._lock:
                batch = list(self._queue)
                self._queue.clear()
                if not batch:
                    self._thread = None
                    self._hurry.clear()
                    self._idle.set()
                    return
            late = [ended for ended in batch if not _write_head(ended)]
            pause = OUTAGE if late else GATHER
            if late:
                self._hurry.clear()
                with self._lock:
                    self._queue.extendleft(reversed(late))
                    while len(self._queue) > KEPT:
                        self._queue.popleft()


def _write_head(ended: _Ended) -> bool:
    """Publish the head of a run; `False` when the store cannot be reached, which it reports itself."""
    try:
        ended.store.flush(DURABLE_TIMEOUT)
        row = ended.store.run(ended.run_id)
    except StoreError:
        return False
    if row is not None and row.status.ended:  # else another process owns it and will end it
        with contextlib.suppress(Exception):  # a broken exporter must not hold up later heads
            ended.publish(row)
    return True


def head_now(store: Any, run_id: str) -> RunRow | None:
    """The row of an ended run in a store in memory, which needs no I/O."""
    from orchestrator.store.memory import MemoryStore

    return store.run(run_id) if isinstance(store, MemoryStore) else None
