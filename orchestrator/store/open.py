"""The one place where a user's word for a store becomes a store."""

from pathlib import Path

from .memory import MemoryStore
from .protocol import Store


def open_store(where: Store | str | Path | None = None) -> Store:
    """A store of `None` (memory), a path (SQLite), a `postgresql://` URL, or a store, which is returned as it is.

    Raises:
        StoreError: it cannot be opened; the message says what to do.
    """
    if where is None or where in (":memory:", "sqlite://", "sqlite:///:memory:"):
        return MemoryStore()
    if isinstance(where, str | Path):
        from orchestrator.store.sql.store import SqlStore

        return SqlStore(where)
    return where
