"""The head of each ended run's ledger, told outside of the store: a chain that is kept in one place proves too little.

The head is known when the store's writer has committed the run's closing record, which no run waits for. A thread of
its own waits instead, gathers what has ended meanwhile, and tells.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.errors import StoreError
from orchestrator.store.base import RunRow, Store

GATHER: Final = 0.05
"""Seconds that ended runs are gathered: by then the writer has committed them without being hurried."""
PATIENCE: Final = 30.0
"""Seconds after which a head is given up: the store is down, and says so itself."""

Tell = Callable[[RunRow], None]


@dataclass(frozen=True, slots=True)
class _Ended:
    store: Store
    run_id: str
    tell: Tell


class Anchor:
    """Waits for the heads of ended runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[_Ended] = deque()
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def watch(self, store: Store, run_id: str, tell: Tell) -> None:
        """Tell the row of a run once it is durable. Returns at once."""
        with self._lock:
            self._queue.append(_Ended(store, run_id, tell))
            self._idle.clear()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="orchestrator-anchor", daemon=True)
                self._thread.start()

    def drain(self, timeout: float) -> bool:
        """Wait until everything has been told; whether it has."""
        self._hurry.set()
        return self._idle.wait(timeout)

    def _work(self) -> None:
        while True:
            self._hurry.wait(GATHER)
            with self._lock:
                batch = list(self._queue)
                self._queue.clear()
                if not batch:
                    self._thread = None
                    self._hurry.clear()
                    self._idle.set()
                    return
            for ended in batch:
                _tell(ended)


def _tell(ended: _Ended) -> None:
    deadline = time.monotonic() + PATIENCE
    try:
        ended.store.flush(PATIENCE)
        row = ended.store.run(ended.run_id)
        while row is not None and not row.status.ended and time.monotonic() < deadline:
            time.sleep(GATHER)
            row = ended.store.run(ended.run_id)
    except StoreError:
        return  # the store reports its own trouble
    if row is not None and row.status.ended:
        ended.tell(row)


def head_now(store: Any, run_id: str) -> RunRow | None:
    """The row of an ended run where asking costs no I/O: a store in memory."""
    from orchestrator.store.memory import MemoryStore

    return store.run(run_id) if isinstance(store, MemoryStore) else None
