"""Batched statements of the writer's transactions; on SQLite they bypass SQLAlchemy.

SQLite's driver gives the interpreter away while a statement runs, and has to win it back from whatever thread is busy:
up to 5 ms each time (`sys.getswitchinterval`). With a statement for each row, as `executemany` does it, a writer beside
a busy event loop would do little else than wait. So there rows go in many at a time. And what the writer does in
Python, the event loop cannot: SQLAlchemy takes five times as long for a statement as SQLite itself.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain
from types import SimpleNamespace
from typing import Any, Final, cast

from sqlalchemy import BindParameter, String, Table, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.engine import Connection

_MOST: Final = 64
"""Rows of one statement: with at most 12 columns fewer than the 999 parameters that an old SQLite takes."""
_IDS_MOST: Final = 500
_IDS: Final[BindParameter[str]] = bindparam("ids", type_=String(), expanding=True)

Cells = tuple[Any, ...]
"""One row, in the order of the table's columns."""


def rows_of_runs(connection: Connection, table: Table, run_ids: Sequence[str]) -> list[Any]:
    """The rows of these runs, which nobody else changes until the end of the transaction."""
    lite = _driver(connection)
    found: list[Any] = []
    for start in range(0, len(run_ids), _IDS_MOST):
        some = run_ids[start : start + _IDS_MOST]
        if lite is None:
            found += connection.execute(_locked(table), {"ids": list(some)})
        else:
            names = table.columns.keys()
            rows = lite.execute(_selection(table, len(some)), some)
            found += [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in rows]
    return found


def insert_rows(connection: Connection, table: Table, rows: Sequence[Cells], *, replace: bool = False) -> None:
    """Insert rows; with `replace`, a row whose key is there already takes its place."""
    lite = _driver(connection)
    if lite is not None:
        for some in _portions(rows):
            lite.execute(_insertion(table, len(some), replace), tuple(chain.from_iterable(some)))
    elif rows:
        connection.execute(_postgres_insertion(table, replace), _named(table.columns.keys(), rows))


def update_runs(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[Cells]) -> None:
    """Set these columns of runs; a row holds their values in this order, and the run's id at its end."""
    lite = _driver(connection)
    if lite is not None:
        lite.executemany(_change(table, names), rows)
    elif rows:
        statement = update(table).where(table.c.run_id == bindparam("id"))
        connection.execute(statement, _named([*names, "id"], rows))


def _driver(connection: Connection) -> sqlite3.Connection | None:
    """SQLite's own connection, in the midst of the same transaction."""
    driver = connection.connection.dbapi_connection
    return cast("Any", driver) if isinstance(driver, sqlite3.Connection) else None


def _named(names: Iterable[str], rows: Sequence[Cells]) -> list[Mapping[str, Any]]:
    known = list(names)
    return [dict(zip(known, row, strict=True)) for row in rows]


def _portions(rows: Sequence[Cells]) -> Iterator[Sequence[Cells]]:
    """The rows in portions of powers of two, so that the driver knows the few statements that there are."""
    start, size = 0, _MOST
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=32)
def _selection(table: Table, count: int) -> str:
    names = ", ".join(table.columns.keys())
    return f"SELECT {names} FROM {table.name} WHERE run_id IN ({', '.join('?' * count)})"


@cache
def _insertion(table: Table, count: int, replace: bool) -> str:
    row = f"({', '.join('?' * len(table.columns))})"
    text = f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) VALUES {', '.join([row] * count)}"
    if not replace:
        return text
    key = ", ".join(column.name for column in table.primary_key)
    changed = ", ".join(f"{name} = excluded.{name}" for name in _others(table))
    return f"{text} ON CONFLICT ({key}) DO UPDATE SET {changed}"


@cache
def _change(table: Table, names: tuple[str, ...]) -> str:
    return f"UPDATE {table.name} SET {', '.join(f'{name} = ?' for name in names)} WHERE run_id = ?"


@cache
def _locked(table: Table) -> Any:
    chosen = select(table).where(table.c.run_id.in_(_IDS)).order_by(table.c.run_id)
    return chosen.with_for_update()


@cache
def _postgres_insertion(table: Table, replace: bool) -> Any:
    statement = postgres_insert(table)
    if not replace:
        return statement
    changed = {name: statement.excluded[name] for name in _others(table)}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)


def _others(table: Table) -> list[str]:
    """The columns that are no part of the key."""
    return [column.name for column in table.columns if not column.primary_key]
