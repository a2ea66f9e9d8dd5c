"""Opens the store that a user names."""

from collections.abc import Callable
from pathlib import Path

from .memory import MemoryStore
from .protocol import Store


def open_store(
    where: Store | str | Path | None = None, clock: Callable[[], float] | None = None, *, to_write: bool = False
) -> Store:
    """A store of `None` (memory), a path (SQLite), a `postgresql://` URL, or a store, which is returned as it is.

    With `to_write` a read-only database role is an error now, not at the first write. `clock` (seconds since the epoch)
    takes the place of the store's own, for tests on virtual time.

    Raises:
        StoreError: it cannot be opened; the message says what to do.
    """
    if where is None or where in (":memory:", "sqlite://", "sqlite:///:memory:"):
        return MemoryStore() if clock is None else MemoryStore(clock=clock)
    if isinstance(where, str | Path):
        from orchestrator.store.sql.store import SqlStore

        store = SqlStore(where, clock=clock)
        if to_write:
            store.check_writable()
        return store
    return where
