"""What SQLite and PostgreSQL write differently: upserts, the database's clock, locks of one transaction."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection

Now = Callable[[Connection], float]
"""The time in seconds since the epoch, by the store's clock."""


def database_time(connection: Connection) -> float:
    """The database's clock; for a SQLite file that is the machine's."""
    if not is_postgres(connection):
        return time.time()
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def is_postgres(connection: Connection) -> bool:
    """Whether the other end is PostgreSQL."""
    return connection.dialect.name == "postgresql"


def upsert(connection: Connection, table: Table) -> PostgresInsert | SqliteInsert:
    """An `INSERT` that knows `ON CONFLICT`."""
    return postgres_insert(table) if is_postgres(connection) else sqlite_insert(table)


def take_turn(connection: Connection, name: str) -> None:
    """Wait until no other transaction holds the turn of this name. In SQLite a transaction excludes all others.

    An advisory lock of the transaction: it needs no row and holds behind a pooler in transaction mode.
    """
    if is_postgres(connection):
        statement: Any = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7165428094412371))")
        connection.execute(statement, {"name": name})
