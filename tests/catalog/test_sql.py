"""Rows of real databases; and whatever is no harmless question, turned away."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator import FailureKind, Orchestrator, Outcome
from orchestrator.core.process.installation import catalog_root

SCHEMA = "create table boats (name varchar, feet integer)"
ROWS = "insert into boats values ('Skua', 28), ('Tern', 19), ('Auk', 31)"


def make(path: Path) -> Path:
    """A database of three boats, of the kind that the suffix says."""
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(SCHEMA)
            connection.execute(ROWS)
        return path
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute(SCHEMA)
        connection.execute(ROWS)
    return path


@pytest.fixture(params=["boats.db", "boats.duckdb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path / request.param)


@pytest.fixture
def engine() -> Iterator[Orchestrator]:
    orc = Orchestrator.from_project(catalog_root())
    yield orc
    orc.close()


def ask(engine: Orchestrator, database: Path, sql: str, parameters: dict[str, Any] | None = None) -> Outcome:
    """The rows of a statement."""
    inputs: dict[str, Any] = {"database": database, "sql": sql}
    return engine.run_sync("rows", inputs | ({"sql_parameters": parameters} if parameters else {}))


def test_rows_are_mappings_in_the_order_of_the_statement(engine: Orchestrator, database: Path) -> None:
    outcome = ask(engine, database, "select name, feet from boats where feet > 20 order by name")
    assert outcome.value == [{"name": "Auk", "feet": 31}, {"name": "Skua", "feet": 28}]
    assert outcome.usage == {"rows": 2}
    assert [call.tool for call in outcome.calls] == ["query_duckdb" if "duck" in database.suffix else "query_sqlite"]


def test_parameters_are_values_and_never_sql(engine: Orchestrator, database: Path) -> None:
    mark = "$" if "duck" in database.suffix else ":"
    statement = f"select feet from boats where name = {mark}name"
    assert ask(engine, database, statement, {"name": "Tern"}).value == [{"feet": 19}]
    assert ask(engine, database, statement, {"name": "x' or 1=1 --"}).value == []


def test_no_rows_is_an_answer(engine: Orchestrator, database: Path) -> None:
    assert ask(engine, database, "select * from boats where feet > 99").value == []


@pytest.mark.parametrize(
    "statement",
    [
        "insert into boats values ('x', 1)",
        "delete from boats",
        "update boats set feet = 0",
        "drop table boats",
        "create table t (a integer)",
        "with x as (select 1) insert into boats select 'x', 1",
        "attach '{folder}/other.db' as other",
        "copy boats to '{folder}/stolen.csv'",
        "vacuum into '{folder}/stolen.db'",
        "export database '{folder}/stolen'",
        "pragma journal_mode = delete",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select load_extension('/tmp/x')",
        "install httpfs",
        "set enable_external_access = true",
        "select 1; drop table boats",
        "select 1; select 2",
        "select nothing from boats",
        "select name, feet as name from boats",
        "no sql at all",
        "",
    ],
)
def test_only_one_harmless_select_is_run(engine: Orchestrator, database: Path, statement: str) -> None:
    before = database.read_bytes()
    outcome = ask(engine, database, statement.format(folder=database.parent))
    assert [failure.kind for failure in outcome.failures] == [FailureKind.CALLER_ERROR]
    assert database.read_bytes() == before
    assert list(database.parent.iterdir()) == [database]


def test_a_missing_parameter_is_the_callers_error(engine: Orchestrator, database: Path) -> None:
    outcome = ask(engine, database, "select :nothing" if database.suffix == ".db" else "select $nothing")
    assert outcome.failures[0].kind is FailureKind.CALLER_ERROR


@pytest.mark.parametrize("name", ["none.db", "none.duckdb", "none"])
def test_a_database_that_is_not_there(engine: Orchestrator, tmp_path: Path, name: str) -> None:
    outcome = ask(engine, tmp_path / name, "select 1")
    assert outcome.failures[0].kind is FailureKind.CALLER_ERROR
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(engine: Orchestrator, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"words, and no database at all " * 99)
    outcome = ask(engine, tmp_path / "x.db", "select * from boats")
    assert outcome.failures[0].kind is FailureKind.REFUSAL


def test_too_many_rows_are_refused_not_cut_off(engine: Orchestrator, database: Path) -> None:
    many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) select i from n"
    assert len(ask(engine, database, many.format(10_000)).value) == 10_000
    outcome = ask(engine, database, many.format(10_001))
    assert outcome.failures[0].kind is FailureKind.REFUSAL
    assert "LIMIT" in outcome.failures[0].message


def test_a_statement_without_end_is_broken_off(
    engine: Orchestrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine.graph["query_sqlite"].call.__globals__, "MOST_SECONDS", 0.05)
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    outcome = ask(engine, make(tmp_path / "boats.db"), endless)
    assert outcome.failures[0].kind is FailureKind.REFUSAL


def test_a_database_that_is_being_written_can_be_read(engine: Orchestrator, tmp_path: Path) -> None:
    path = make(tmp_path / "boats.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        writer.execute("insert into boats values ('Gull', 9)")
        assert ask(engine, path, "select count(*) as boats from boats").value == [{"boats": 3}]
        writer.execute("rollback")
