"""Rows of a DuckDB database: one SELECT, read-only, without access to other files."""

from pathlib import Path
from typing import Any

from orchestrator import CallerError, Refused, RunContext, Unavailable, tool

MOST_ROWS = 10_000


def is_duckdb(database: Path) -> bool:
    """Whether a database is DuckDB's, by its first bytes; by its suffix where there is no such file."""
    try:
        with database.open("rb") as file:
            return file.read(12)[8:] == b"DUCK"
    except OSError:
        return database.suffix.lower() in (".duckdb", ".ddb")


@tool(gives="rows", when=is_duckdb, latency=0.05, timeout=60)
def query_duckdb(
    database: Path, sql: str, ctx: RunContext, sql_parameters: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """What a SELECT gives: a mapping from column to value per row; ten thousand rows at most.

    `sql_parameters` fill `$name` in the statement.
    """
    try:
        import duckdb
    except ImportError:
        raise Unavailable("duckdb is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    if not database.is_file():
        raise CallerError(f"there is no database {database}")
    try:
        columns, rows = read(duckdb, database, sql, sql_parameters or {})
    except duckdb.Error as error:
        error.with_traceback(None)  # its frames hold the connection, which would outlive the call
        if isinstance(error, duckdb.PermissionException):
            raise CallerError("a statement may read the tables of this database and nothing else") from None
        raise
    if not columns:
        raise CallerError("only one SELECT may be run")
    if len(set(columns)) < len(columns):
        raise CallerError("the statement gives two columns of one name: write SELECT ... AS ...")
    if len(rows) > MOST_ROWS:
        raise Refused(f"the statement gives more than {MOST_ROWS} rows: add a LIMIT")
    ctx.usage["rows"] += len(rows)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def read(duckdb: Any, database: Path, sql: str, parameters: dict[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of the columns, and the rows; no columns for anything but one SELECT."""
    settings = {"enable_external_access": "false", "lock_configuration": "true"}
    connection = duckdb.connect(str(database), read_only=True, config=settings)
    try:
        statements = connection.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            return [], []
        found = connection.execute(statements[0], parameters)
        return [column[0] for column in found.description], found.fetchmany(MOST_ROWS + 1)
    finally:
        connection.close()
