"""Batched statements of the writer's transactions; on SQLite they bypass SQLAlchemy.

SQLite's driver releases the interpreter lock during a statement, and waits up to 5 ms (`sys.getswitchinterval`) to get
it back from a busy thread. With one statement per row, as in `executemany`, a writer beside a busy event loop would
mostly wait. So rows are written many at a time. SQLAlchemy is bypassed because it takes five times as long for a
statement as SQLite itself, time in which the event loop cannot run.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain
from types import SimpleNamespace
from typing import Any, Final, cast

from sqlalchemy import BindParameter, Column, Float, Integer, String, Table, bindparam, select
from sqlalchemy.engine import Connection

_MOST: Final = 64
"""Rows of one statement: with at most 12 columns fewer than the 999 parameters that an old SQLite takes."""
_IDS_MOST: Final = 500
_IDS: Final[BindParameter[str]] = bindparam("ids", type_=String(), expanding=True)

Cells = tuple[Any, ...]
"""One row, in the order of the table's columns."""


def rows_of_runs(connection: Connection, table: Table, run_ids: Sequence[str]) -> list[Any]:
    """The rows of these runs, locked until the end of the transaction."""
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
    """Insert rows; with `replace`, a row replaces one with the same key."""
    lite = _driver(connection)
    if lite is not None:
        for some in _portions(rows):
            lite.execute(_insertion(table, len(some), replace), tuple(chain.from_iterable(some)))
    elif rows:
        connection.exec_driver_sql(_postgres_insertion(table, replace), _columns(table, table.columns.keys(), rows))


def update_runs(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[Cells]) -> None:
    """Set these columns of runs; a row holds their values in this order, and the run's id at its end."""
    lite = _driver(connection)
    if lite is not None:
        lite.executemany(_change(table, names), rows)
    elif rows:
        connection.exec_driver_sql(_postgres_change(table, names), _columns(table, (*names, "run_id"), rows))


def _driver(connection: Connection) -> sqlite3.Connection | None:
    """The driver's connection, within the same transaction."""
    driver = connection.connection.dbapi_connection
    return cast("Any", driver) if isinstance(driver, sqlite3.Connection) else None


def _columns(table: Table, names: Iterable[str], rows: Sequence[Cells]) -> tuple[list[Any], ...]:
    """One array for each column. An array has one type: whole numbers in a column of floats are floats."""
    return tuple(
        [None if cell is None else float(cell) for cell in cells] if _is_float(table.columns[name]) else list(cells)
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    )


def _portions(rows: Sequence[Cells]) -> Iterator[Sequence[Cells]]:
    """The rows in batches whose sizes are powers of two, so that the driver can cache the few statements."""
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
    return text + (_replacing(table) if replace else "")


def _replacing(table: Table) -> str:
    key = ", ".join(column.name for column in table.primary_key)
    changed = ", ".join(f"{column.name} = excluded.{column.name}" for column in table.columns if not column.primary_key)
    return f" ON CONFLICT ({key}) DO UPDATE SET {changed}"


@cache
def _change(table: Table, names: tuple[str, ...]) -> str:
    return f"UPDATE {table.name} SET {', '.join(f'{name} = ?' for name in names)} WHERE run_id = ?"


@cache
def _locked(table: Table) -> Any:
    chosen = select(table).where(table.c.run_id.in_(_IDS)).order_by(table.c.run_id)
    return chosen.with_for_update()


@cache
def _postgres_insertion(table: Table, replace: bool) -> str:
    names = table.columns.keys()
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM {_arrays(table, names)}" + (
        _replacing(table) if replace else ""
    )


@cache
def _postgres_change(table: Table, names: tuple[str, ...]) -> str:
    changed = ", ".join(f"{name} = new.{name}" for name in names)
    new = f"{_arrays(table, (*names, 'run_id'))} AS new({', '.join(names)}, run_id)"
    return f"UPDATE {table.name} SET {changed} FROM {new} WHERE {table.name}.run_id = new.run_id"


def _arrays(table: Table, names: Iterable[str]) -> str:
    """The rows of arrays, one for each column, which psycopg sends in binary: as text they cost 25 times as much."""
    return f"unnest({', '.join(f'%b::{_type_of(table.columns[name])}[]' for name in names)})"


def _type_of(column: Column[Any]) -> str:
    return "float8" if _is_float(column) else "int4" if isinstance(column.type, Integer) else "text"


def _is_float(column: Column[Any]) -> bool:
    return isinstance(column.type, Float)
