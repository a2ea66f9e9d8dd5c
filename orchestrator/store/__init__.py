"""Stores of runs, ledgers and shared data: memory, one SQLite file, or PostgreSQL."""

from typing import TYPE_CHECKING, Any

from . import shutdown as shutdown  # what is registered first runs last
from .memory import MemoryStore
from .open import open_store
from .owner import owner_died, owner_name
from .protocol import OnProblem, Store
from .rows import Record, RunRow, Seal

if TYPE_CHECKING:
    from orchestrator.store.sql.store import SqlStore

__all__ = [
    "MemoryStore",
    "OnProblem",
    "Record",
    "RunRow",
    "Seal",
    "SqlStore",
    "Store",
    "open_store",
    "owner_died",
    "owner_name",
]


def __getattr__(name: str) -> Any:
    """`SqlStore` on first use, because importing SQLAlchemy takes long."""
    if name == "SqlStore":
        from orchestrator.store.sql.store import SqlStore

        return SqlStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
