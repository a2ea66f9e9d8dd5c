"""Opens a database: permissions of the file, durability of commits, and checks of the tables."""

import os
import shlex
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, select, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from orchestrator.core.errors import StoreError, nearest
from orchestrator.core.process.installation import missing_extra
from orchestrator.core.text import listed

from .session import keep_settings, startup_options
from .tables import META, METADATA, SCHEMA_VERSION

ENGINES = ("pgqueuer", "procrastinate")
"""Queue engines that can carry the ids of runs to workers."""
_MAGIC = b"SQLite format 3\0"
"""Magic number of a SQLite file; SQLite itself treats a shorter file with other contents as empty."""
_NO_DATABASE = "it is not a database file; give another path"
_DISK_FULL = "there is no room on the disk; free some, or give another path"
_LEAST_FREE = 128 * 1024
"""Minimum free bytes for a new file with its log."""
_BUSY_SECONDS = 1.0
_OPEN_SECONDS = 30.0

_ALIVE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""TCP settings by which a host that is gone is noticed within seconds."""


def database_url(where: str | Path) -> URL:
    """The database URL of a path or a URL, with our driver.

    Raises:
        StoreError: neither a path nor a database that we know.
    """
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(Path(where).expanduser().absolute()))
    try:
        url = make_url(where)
    except ArgumentError as error:
        raise StoreError("the store's URL cannot be read: write postgresql://user@host/database or a path") from error
    kind = url.get_backend_name()
    if kind == "sqlite" and url.database:
        return URL.create("sqlite", database=str(Path(url.database).expanduser().absolute()))
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg").difference_update_query(["queue"])
    raise StoreError(f"a store cannot be kept in {kind!r}: give a path (SQLite) or a postgresql:// URL")


def queue_engine(where: str | Path) -> str:
    """The queue engine that a store's URL names, as in `postgresql://host/database?queue=pgqueuer`; empty: none.

    Raises:
        StoreError: an engine that is not known, or a store that cannot have one.
    """
    if isinstance(where, Path) or "://" not in where:
        return ""
    url = make_url(where)
    named = str(url.query.get("queue", ""))
    if named and (url.get_backend_name() not in ("postgresql", "postgres") or named not in ENGINES):
        known, hint = " or ".join(ENGINES), nearest(named, ENGINES)
        raise StoreError(f"queue={named} in a store's URL: it is {known}, and only on PostgreSQL.{hint}")
    return named


def shown_url(url: URL) -> str:
    """The store's name in messages, without a password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def reason(error: BaseException, url: URL) -> str:
    """The driver's message on one line, without a password."""
    cause = getattr(error, "orig", None) or error
    message = " ".join(str(cause).split()) or type(cause).__name__
    return message.replace(str(url.password), "***") if url.password else message


def engines(url: URL) -> tuple[Engine, Engine]:
    """The engine of the writer, one connection whose transactions are durable when committed; and that of readers.

    Raises:
        StoreError: the file cannot be made or the driver is not installed.
    """
    if url.get_backend_name() == "sqlite":
        _make_file(Path(str(url.database)))
        return _sqlite(url, writes=True), _sqlite(url, writes=False)
    given = _given_options(url)
    settings: dict[str, Any] = {
        "connect_args": {
            "connect_timeout": 5,
            **_ALIVE,
            "options": startup_options(given),
            "prepare_threshold": None,  # a pooler in transaction mode changes the session under prepared statements
        },
        "pool_timeout": 5,
    }
    try:
        writer = create_engine(url, pool_size=1, max_overflow=0, **settings)
        reader = create_engine(url, isolation_level="AUTOCOMMIT", **settings)
    except ImportError as error:
        raise StoreError(missing_extra("A store on PostgreSQL", "psycopg", "postgres")) from error
    keep_settings(writer, given, writes=True)
    keep_settings(reader, given, writes=False)
    return writer, reader


def _given_options(url: URL) -> tuple[str, ...]:
    """Options of the session that the store's URL names, such as `-csearch_path=team`; they are added to ours."""
    given = url.query.get("options", ())
    return (given,) if isinstance(given, str) else given


def empty_log(engine: Engine) -> bool:
    """Copy SQLite's write-ahead log into the file and truncate it, without waiting; returns whether that succeeded."""
    if engine.dialect.name != "sqlite":
        return True
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 0")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout = {round(_BUSY_SECONDS * 1000)}")
        return not busy
    finally:
        connection.close()


def prepare(engine: Engine, url: URL) -> None:
    """Create the tables, or check that the existing ones have a known version.

    Raises:
        StoreError: what is there is not ours to use, or cannot be reached.
    """
    deadline = time.monotonic() + _OPEN_SECONDS
    while True:
        try:
            with engine.begin() as connection:
                _prepare(connection, url)
            return
        except SQLAlchemyError as error:
            # Many processes may open a new file at the same time; switching it to WAL does not wait for its lock.
            locked = isinstance(error, OperationalError) and "locked" in str(error)
            racing = isinstance(error, DBAPIError) and ("already exists" in str(error) or "lock timeout" in str(error))
            if not (locked or racing) or time.monotonic() > deadline:
                raise StoreError(f"the store {shown_url(url)} cannot be opened: {advice(error, url)}") from error
            time.sleep(0.02)


_RIGHTS = """
    SELECT current_setting('transaction_read_only') = 'on', array(
        SELECT name FROM unnest(CAST(:names AS text[])) AS name
        WHERE to_regclass(name) IS NOT NULL AND NOT (has_table_privilege(name, 'SELECT')
            AND has_table_privilege(name, 'INSERT') AND has_table_privilege(name, 'UPDATE')
            AND has_table_privilege(name, 'DELETE')))
"""


def check_writable(engine: Engine, url: URL) -> None:
    """Check that records can be written; a read-only role is sufficient for reading runs.

    Raises:
        StoreError: the server takes no writes, or the role lacks rights; the message names the tables.
    """
    if url.get_backend_name() == "sqlite":
        return  # opening it has begun a transaction that writes
    names = [table.name for table in METADATA.sorted_tables]
    try:
        with engine.connect() as connection:
            read_only, denied = connection.execute(text(_RIGHTS), {"names": names}).one()
    except SQLAlchemyError as error:
        raise StoreError(f"the store {shown_url(url)} cannot be opened: {advice(error, url)}") from error
    if read_only:
        raise StoreError(f"the store {shown_url(url)} cannot be written: the server or the role is read-only")
    if denied:
        raise StoreError(
            f"the store {shown_url(url)} cannot be written: the role {url.username} may not select, insert, update and "
            f"delete in {listed(denied[:3])}; grant it that, or use another role"
        )


def same_file(url: URL) -> Callable[[], bool]:
    """Returns a check that the path is still the open database file; else commits would be lost."""
    if url.get_backend_name() != "sqlite":
        return lambda: True
    path = str(url.database)
    opened = os.stat(path)

    def check() -> bool:
        try:
            found = os.stat(path)
        except OSError:
            return False
        return (found.st_ino, found.st_dev) == (opened.st_ino, opened.st_dev)

    return check


def _prepare(connection: Connection, url: URL) -> None:
    version = schema_version(connection)
    if version is None and connection.dialect.name == "postgresql":  # others may be making them now
        connection.execute(text("SELECT pg_advisory_xact_lock(7165428094412371)"))
        version = schema_version(connection)
    if version is None:
        METADATA.create_all(connection)
        connection.execute(META.insert(), {"name": "schema", "value": SCHEMA_VERSION})
        version = SCHEMA_VERSION
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"the store {shown_url(url)} has schema version {version}, and this orchestrator uses {SCHEMA_VERSION}: "
            f"stop the programs that use it and run `orchestrator store migrate --store {shlex.quote(shown_url(url))}`"
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store {shown_url(url)} has schema version {version}, and this orchestrator knows {SCHEMA_VERSION}: "
            "use the newer orchestrator that made it, or another store"
        )


def schema_version(connection: Connection) -> int | None:
    """The version of the tables; `None` where there are none."""
    if not inspect(connection).has_table(META.name):
        return None
    version = connection.execute(select(META.c.value).where(META.c.name == "schema")).scalar()
    return -1 if version is None else int(version)


class _ClosedAtLast(sqlite3.Connection):
    """A connection that is closed with its pool, also where nobody disposes of the pool.

    A store that was not closed and that nothing refers to any more ends its pool so. Since Python 3.13 a connection
    that is still open then warns that it was forgotten.
    """

    def __del__(self) -> None:
        self.close()


def _sqlite(url: URL, *, writes: bool) -> Engine:
    settings = {"pool_size": 1, "max_overflow": 0} if writes else {"isolation_level": "AUTOCOMMIT"}
    connect = {"check_same_thread": False, "timeout": _BUSY_SECONDS, "factory": _ClosedAtLast}
    engine = create_engine(url, connect_args=connect, pool_timeout=5, **settings)

    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.text_factory = _lenient_text
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",) and writes:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL" if writes else "PRAGMA query_only = ON")
        if writes:
            connection.execute("PRAGMA secure_delete = ON")  # values that were deleted are not in the file any more

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", set_up)
    if writes:
        event.listen(engine, "begin", begin)
    return engine


def _lenient_text(data: bytes) -> str:
    """Read damaged text without an error, so that verification can name the record."""
    return data.decode("utf-8", "surrogateescape")


def _make_file(path: Path) -> None:
    """Make the file and the folders that are missing, for the owner alone (DESIGN promise 10)."""
    try:
        if path.is_dir():
            raise StoreError(f"the store {path} is a folder: give a file in it, such as {path / 'runs.db'}")
        missing = [folder for folder in path.parents if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb") as file:
            if (begins := file.read(len(_MAGIC))) and begins != _MAGIC:
                raise StoreError(f"the store {path} cannot be opened: {_NO_DATABASE}")
    except OSError as error:
        raise StoreError(f"the store {path} cannot be opened: {error.strerror or error}") from error


def advice(error: BaseException, url: URL) -> str:
    """Why the database cannot be opened or written, and what to do if known."""
    message = reason(error, url)
    if url.get_backend_name() == "sqlite":
        if "not a database" in message:
            return _NO_DATABASE
        return f"{message}: {_DISK_FULL}" if _is_full(Path(str(url.database))) else message
    if is_denied(error) or "no schema has been selected" in message:
        return f"{message} (the role {url.username} needs the rights to make, read and write the tables of the store)"
    return message


def is_denied(error: BaseException) -> bool:
    """Whether the server says that the role has no right to do so."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) == "42501"


def _is_full(path: Path) -> bool:
    """Whether SQLite may have failed because the file cannot grow; it says "disk I/O error" then."""
    try:
        return shutil.disk_usage(path.parent).free < _LEAST_FREE
    except OSError:
        return False
