"""Maintenance of a store in a database: migrate, check, prune, copy."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, Table, and_, delete, func, insert, inspect, or_, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.core.enums import Status
from orchestrator.core.errors import StoreError
from orchestrator.core.text import counted, listed
from orchestrator.store.owner import owner_died, shown_owner

from .engine import database_url, engines, prepare, reason, schema_version, shown_url
from .queue import abandoned
from .tables import (
    LABELS,
    METADATA,
    OBSOLETE_INDEXES,
    PRUNED,
    RECORDS,
    REQUESTS,
    RUNS,
    SCHEMA_VERSION,
    VALUES,
    database_time,
    take_turn,
)

_PAGE: Final = 500
_LOOK_SECONDS: Final = 0.5
"""Seconds between two checks for processes that still use a store."""
_NOT_COPIED: Final = frozenset({"orchestrator_meta", "orchestrator_owners", "orchestrator_leases"})
"""Tables with the schema's version and the data of running processes, which are not copied."""


@dataclass(frozen=True)
class Migration:
    """The result of `migrate`: the schema version before (`None`: there were no tables) and now."""

    before: int | None
    after: int
    indexes: tuple[str, ...] = field(default=(), compare=False)
    """Indexes that were created."""


def migrate(where: str | Path, *, force: bool = False, wait: float = 0.0) -> Migration:
    """Make the tables, or move those of an older version to today's, in one transaction; make indexes that are missing.

    A store that live processes use is not migrated: `migrate` waits up to `wait` seconds for them to stop; with `force`
    it is migrated at once, and they stop.

    Raises:
        StoreError: the store is newer than this program, is in use, or cannot be reached.
    """
    url = database_url(where)
    writer, reader = engines(url)
    reader.dispose()
    deadline = time.monotonic() + wait
    try:
        while True:
            with writer.begin() as connection:
                moved, users = _migrated(connection, url, force=force)
            if moved is not None and moved.before is None:
                prepare(writer, url)
            if moved is not None:
                return moved
            if time.monotonic() >= deadline:
                raise StoreError(_in_use(url, users))
            time.sleep(_LOOK_SECONDS)
    except SQLAlchemyError as error:
        raise StoreError(f"the store {shown_url(url)} cannot be migrated: {reason(error, url)}") from error
    finally:
        writer.dispose()


def _migrated(connection: Connection, url: URL, *, force: bool) -> tuple[Migration | None, tuple[str, ...]]:
    """The result, or `None` with the names of the processes that use the store."""
    take_turn(connection, "migration")
    before = schema_version(connection)
    if before is None:
        return Migration(None, SCHEMA_VERSION), ()
    if not 1 <= before <= SCHEMA_VERSION:
        raise StoreError(f"the store {shown_url(url)} has schema version {before}: use the program that made it")
    if before < SCHEMA_VERSION:
        users = live_owners(connection, before)
        if users and not force:
            return None, users
        from .migrations import upgrade

        upgrade(connection, before)
    return Migration(before, SCHEMA_VERSION, _make_indexes(connection)), ()


def _in_use(url: URL, users: Sequence[str]) -> str:
    names = listed([shown_owner(user) for user in users[:3]], "and")
    return (
        f"the store {shown_url(url)} is in use by {counted(len(users), 'process', 'processes')} ({names}): stop "
        "them first, or let the command wait for that with --wait SECONDS; --force moves the tables under them: "
        "workers of the older version then stop and hand their runs back"
    )


def live_owners(connection: Connection, version: int = SCHEMA_VERSION) -> tuple[str, ...]:
    """Processes that drive runs, or are workers, in a store of this schema version: their leases live."""
    table = "orchestrator_owners" if version > 1 else "orchestrator_claims"
    names = text(f"SELECT DISTINCT owner FROM {table} WHERE expires > :now AND owner <> '' ORDER BY owner")
    found = connection.execute(names, {"now": database_time(connection)}).scalars()
    return tuple(owner for owner in found if not owner_died(owner))


def _make_indexes(connection: Connection) -> tuple[str, ...]:
    """Create missing indexes of an older store; only its speed depends on them."""
    there = {name for table in METADATA.tables for name in _indexes_of(connection, table)}
    missing = [index for table in METADATA.sorted_tables for index in table.indexes if index.name not in there]
    for index in missing:
        index.create(connection)
    for name in OBSOLETE_INDEXES:
        connection.execute(text(f"DROP INDEX IF EXISTS {name}"))
    return tuple(sorted(str(index.name) for index in missing))


def _indexes_of(connection: Connection, table: str) -> list[str]:
    return [str(index["name"]) for index in inspect(connection).get_indexes(table)]


@dataclass(frozen=True)
class Condition:
    """The result of `check_store`: the schema's version, runs by status, runs without an owner or set aside."""

    schema: int | None
    runs: dict[str, int]
    abandoned: tuple[str, ...]
    """Running runs without a live owner, for `recover` or a worker."""
    set_aside: tuple[str, ...]
    """Queued runs that lost their owner too often."""
    bytes: int = 0
    """Size on disk, including deleted rows."""

    @property
    def current(self) -> bool:
        """Whether the schema is today's."""
        return self.schema == SCHEMA_VERSION


def check_store(where: str | Path) -> Condition:
    """The state of a store, without changing it; an older schema is reported, not refused.

    Raises:
        StoreError: it cannot be reached.
    """
    url = database_url(where)
    writer, reader = engines(url)
    try:
        with reader.connect() as connection:
            version = schema_version(connection)
            if version != SCHEMA_VERSION:
                return Condition(version, {}, (), ())
            counts = connection.execute(select(RUNS.c.status, func.count()).group_by(RUNS.c.status)).all()
            aside = and_(RUNS.c.status == str(Status.QUEUED), RUNS.c.wake.is_(None))
            set_aside = connection.execute(select(RUNS.c.run_id).where(aside).order_by(RUNS.c.run_id)).scalars()
            return Condition(
                version,
                {row[0]: int(row[1]) for row in counts},
                abandoned(connection, database_time(connection)),
                tuple(set_aside),
                _size(connection),
            )
    except SQLAlchemyError as error:
        raise StoreError(f"the store {shown_url(url)} cannot be read: {reason(error, url)}") from error
    finally:
        writer.dispose()
        reader.dispose()


def prune(where: str | Path, older_than: float, keep: Collection[str] = ()) -> int:
    """Delete runs that ended more than `older_than` seconds ago, with their children, records and values, but those to
    `keep`.

    Their seals stay, and the fact that they were deleted. Returns how many were.
    Raises:
        StoreError: the store cannot be reached, or has another schema.
    """
    url = database_url(where)
    writer, reader = engines(url)
    reader.dispose()
    try:
        prepare(writer, url)
        pruned = 0
        while some := _prune_some(writer, older_than, keep):
            pruned += some
        return pruned
    except SQLAlchemyError as error:
        raise StoreError(f"the store {shown_url(url)} cannot be pruned: {reason(error, url)}") from error
    finally:
        writer.dispose()


def _size(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    pages, size = (connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("page_count", "page_size"))
    return int(pages) * int(size)


def _prune_some(engine: Engine, older_than: float, keep: Collection[str]) -> int:
    with engine.begin() as connection:
        now = database_time(connection)
        ended = RUNS.c.status.in_([str(status) for status in Status if status.ended])
        parent = RUNS.alias()
        orphan = or_(RUNS.c.parent.is_(None), ~select(parent.c.run_id).where(parent.c.run_id == RUNS.c.parent).exists())
        others = RUNS.c.run_id.not_in(list(keep))
        old = select(RUNS.c.run_id).where(ended, RUNS.c.ended < now - older_than, orphan, others).limit(_PAGE)
        ids = list(connection.execute(old).scalars())
        if ids:
            for table in (RECORDS, VALUES, LABELS, REQUESTS, RUNS):
                connection.execute(delete(table).where(table.c.run_id.in_(ids)))
            connection.execute(insert(PRUNED), [{"run_id": run_id, "at": now} for run_id in ids])
        return len(ids)


def copy(source: str | Path, target: str | Path) -> dict[str, int]:
    """Copy all that outlives processes from one store into another, empty one; rows copied, by table.

    Raises:
        StoreError: one of them cannot be reached, or the target is not empty.
    """
    from_url, to_url = database_url(source), database_url(target)
    from_writer, reader = engines(from_url)
    writer, to_reader = engines(to_url)
    try:
        prepare(from_writer, from_url)
        prepare(writer, to_url)
        with from_writer.begin() as read, writer.begin() as write:
            if write.execute(select(RUNS.c.run_id).limit(1)).first() is not None:
                raise StoreError(f"the store {shown_url(to_url)} is not empty: copy into a new one")
            tables = [table for table in METADATA.sorted_tables if table.name not in _NOT_COPIED]
            return {table.name: _copy_table(read, write, table) for table in tables}
    except SQLAlchemyError as error:
        raise StoreError(f"{shown_url(from_url)} cannot be copied: {reason(error, to_url)}") from error
    finally:
        for engine in (from_writer, reader, writer, to_reader):
            engine.dispose()


def _copy_table(read: Connection, write: Connection, table: Table) -> int:
    copied = 0
    result = read.execution_options(yield_per=_PAGE).execute(select(table))
    for page in result.mappings().partitions(_PAGE):
        rows: list[dict[str, Any]] = [_unowned(table, dict(row)) for row in page]
        write.execute(insert(table), rows)
        copied += len(rows)
    return copied


def _unowned(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """A run without its owner, who drives it in the original store."""
    return {**row, "owner": ""} if table is RUNS else row


__all__ = ["Condition", "Migration", "check_store", "copy", "migrate", "prune"]
