"""Where runs, their ledgers and what outlives them are kept: memory, one SQLite file, or PostgreSQL."""

from .base import Problem, Record, RunRow, Seal, Store
from .memory import MemoryStore
from .opening import open_store
from .owner import owner_died, owner_name
from .sql import SqlStore

__all__ = [
    "MemoryStore",
    "Problem",
    "Record",
    "RunRow",
    "Seal",
    "SqlStore",
    "Store",
    "open_store",
    "owner_died",
    "owner_name",
]
