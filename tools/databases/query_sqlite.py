"""Rows of a SQLite database: one SELECT, in a connection that can do nothing else."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrator import CallerError, Refused, RunContext, Unavailable, tool

MOST_ROWS = 10_000
MOST_SECONDS = 30.0
READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def is_sqlite(database: Path) -> bool:
    """Whether a database is for SQLite: whatever is not DuckDB's."""
    try:
        with database.open("rb") as file:
            return file.read(12)[8:] != b"DUCK"
    except OSError:
        return database.suffix.lower() not in (".duckdb", ".ddb")


def only_reading(action: int, *_: str | None) -> int:
    """SQLite's authorizer: a statement may read tables and call functions, and nothing else."""
    return sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY


@tool(gives="rows", when=is_sqlite, latency=0.02, timeout=60)
def query_sqlite(
    database: Path, sql: str, ctx: RunContext, sql_parameters: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """What a SELECT gives: a mapping from column to value per row; ten thousand rows at most.

    `sql_parameters` fill `:name` in the statement.
    """
    if not database.is_file():
        raise CallerError(f"there is no database {database}")
    with closing(opened(database)) as connection:
        deadline = time.monotonic() + MOST_SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            found = connection.execute(sql, sql_parameters or {})
            columns = [column[0] for column in found.description or ()]
            rows = found.fetchmany(MOST_ROWS + 1)
        except (sqlite3.ProgrammingError, sqlite3.Warning) as error:
            raise CallerError(f"the statement cannot be run: {error}") from None
        except sqlite3.DatabaseError as error:
            raise explained(error) from None
    if len(set(columns)) < len(columns) or not columns:
        raise CallerError("the statement gives no columns, or two of one name: write SELECT ... AS ...")
    if len(rows) > MOST_ROWS:
        raise Refused(f"the statement gives more than {MOST_ROWS} rows: add a LIMIT")
    ctx.usage["rows"] += len(rows)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def opened(database: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    connection.set_authorizer(only_reading)
    return connection


def explained(error: sqlite3.DatabaseError) -> Exception:
    """What SQLite said, as what it means to a run."""
    text = str(error)
    if "not authorized" in text or "prohibited" in text:
        return CallerError("only a SELECT may be run")
    if "interrupted" in text:
        return Refused(f"the statement took longer than {MOST_SECONDS:g} s")
    if "not a database" in text or "malformed" in text:
        return Refused(f"the file is no sound SQLite database: {text}")
    return Unavailable(text) if "unable to open" in text else error
