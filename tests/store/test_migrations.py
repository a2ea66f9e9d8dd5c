"""Stores of older versions are moved to today's tables, and then they are what a new store is."""

import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, Engine

from orchestrator.core.enums import Status
from orchestrator.errors import StoreError
from orchestrator.store import SqlStore
from orchestrator.store.ledger.verify import verify_run, verify_store
from orchestrator.store.owner import owner_name
from orchestrator.store.sql import maintenance
from orchestrator.store.sql.engine import database_url
from orchestrator.store.sql.tables import METADATA, SCHEMA_VERSION
from tests.store.rows import ended_run, run_row

OLD = Path(__file__).parent / "schema_1.sql"
"""The tables of schema 1, as SQLAlchemy wrote them for SQLite; PostgreSQL takes the same text."""
DATA = Path(__file__).parent / "schema_1.json"
"""What a program of version 0.1 wrote: an ended run, one that waits, claims, seals, a graph, health, a document."""


@contextmanager
def written(where: str) -> Generator[Connection]:
    """A transaction of another program, which closes its connection."""
    engine = create_engine(database_url(where))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def old_store(where: str) -> None:
    """Make a store as version 0.1 did."""
    with written(where) as connection:
        for statement in OLD.read_text().split(";"):
            if statement.strip():
                connection.execute(text(statement))
        for table, rows in json.loads(DATA.read_text()).items():
            for row in rows:
                names = ", ".join(row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(row)})"), row)


def differences(engine: Engine) -> list[Any]:
    """Where the tables differ from those that a new store has."""

    def ours(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != "table" or (name or "") in METADATA.tables

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"include_name": ours})
        return list(compare_metadata(context, METADATA))

    with engine.connect() as connection:
        return compare(connection)


def moves(where: str) -> None:
    """An old store says which command moves it, and has everything afterwards."""
    old_store(where)
    with pytest.raises(StoreError, match="orchestrator store migrate --store"):
        SqlStore(where)
    assert maintenance.check_store(where).schema == 1
    assert maintenance.migrate(where) == maintenance.Migration(1, SCHEMA_VERSION)
    assert maintenance.migrate(where) == maintenance.Migration(SCHEMA_VERSION, SCHEMA_VERSION)
    store = SqlStore(where)
    assert {row.run_id: row.status for row in store.runs()} == {"old": Status.REACHED, "asks": Status.WAITING}
    assert verify_run(store, "old").ok
    assert verify_store(store).ok
    assert store.claim("asks", "me", 10.0) == 8  # the old claim's token was 7
    ended_run(store, "new", records=3)
    assert verify_store(store).ok
    assert store.document("policy") == {"v": 1}
    assert differences(store.engine) == []
    store.close()


def test_a_file_of_the_first_schema_moves(tmp_path: Path) -> None:
    moves(str(tmp_path / "runs.db"))


def test_a_database_of_the_first_schema_moves(postgres: str) -> None:
    moves(postgres)


def test_a_new_store_needs_no_migration(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    assert maintenance.migrate(where) == maintenance.Migration(None, SCHEMA_VERSION)
    store = SqlStore(where)
    assert differences(store.engine) == []
    store.close()


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    store = SqlStore(where)
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE orchestrator_meta SET value = 99 WHERE name = 'schema'"))
    store.close()
    for opening in (SqlStore, maintenance.migrate):
        with pytest.raises(StoreError, match="schema version 99"):
            opening(where)


def test_pruned_runs_leave_whole_chains(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    store = SqlStore(where)
    ended_run(store, "a", records=3)
    store.begin(run_row("child", parent="a"))
    store.set_status("child", Status.REACHED, 2000.0)
    store.begin(run_row("open"))
    store.flush()
    assert maintenance.prune(where, older_than=60.0) == 2
    assert [row.run_id for row in store.runs()] == ["open"]
    assert store.pruned() == {"a", "child"}
    assert verify_store(store).ok
    assert maintenance.prune(where, older_than=60.0) == 0
    store.close()


def copies(source: str, target: str) -> None:
    """A copy has the same runs, verifies, and goes on."""
    store = SqlStore(source)
    ended_run(store, "a", records=3)
    store.begin(run_row("open", labels={"tenant": "x"}), "me", 100.0)
    store.append("open", "x", {"n": 1}, 1.0)
    store.put_value("open", "k", "1")
    store.close()
    assert maintenance.copy(source, target)["orchestrator_records"] == 5
    with pytest.raises(StoreError, match="is not empty"):
        maintenance.copy(source, target)
    copied = SqlStore(target)
    assert {row.run_id for row in copied.runs()} == {"a", "open"}
    assert copied.runs(labels={"tenant": "x"})[0].run_id == "open"
    assert copied.values("open") == {"k": "1"}
    assert copied.owner("open") == ""
    assert verify_store(copied).ok
    ended_run(copied, "more", records=3)
    assert verify_store(copied).ok
    copied.close()


def test_a_file_is_copied_into_a_database_and_back(tmp_path: Path, postgres: str) -> None:
    copies(str(tmp_path / "runs.db"), postgres)
    assert maintenance.copy(postgres, str(tmp_path / "back.db"))["orchestrator_seals"] == 2
    back = SqlStore(str(tmp_path / "back.db"))
    assert verify_store(back).ok
    back.close()


def test_a_store_that_live_processes_use_is_not_moved_but_by_force(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    old_store(where)
    here = owner_name()
    with written(where) as connection:
        claim = text("UPDATE orchestrator_claims SET owner = :owner, expires = :expires")
        connection.execute(claim, {"owner": here, "expires": time.time() + 0.6})
    process = f"1 process \\(process {os.getpid()} on .*--wait SECONDS.*--force"
    with pytest.raises(StoreError, match=process):
        maintenance.migrate(where)
    assert maintenance.check_store(where).schema == 1
    assert maintenance.migrate(where, wait=20.0) == maintenance.Migration(1, SCHEMA_VERSION)  # its lease ends meanwhile

    forced = str(tmp_path / "forced.db")
    old_store(forced)
    with written(forced) as connection:
        connection.execute(claim, {"owner": here, "expires": time.time() + 1_000})
    assert maintenance.migrate(forced, force=True).before == 1


def test_the_lease_of_a_process_that_is_gone_holds_up_no_migration(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    old_store(where)
    machine, _, started, rest = owner_name().split("|")
    with written(where) as connection:
        claim = text("UPDATE orchestrator_claims SET owner = :owner, expires = :expires")
        dead = "|".join((machine, "999999999", started, rest))
        connection.execute(claim, {"owner": dead, "expires": time.time() + 1_000})
    assert maintenance.migrate(where).before == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_indexes_that_a_store_lacks_are_made(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    where = str(tmp_path / "runs.db") if kind == "sqlite" else request.getfixturevalue("postgres")
    store = SqlStore(where)
    with store.engine.begin() as connection:
        connection.execute(text("DROP INDEX orchestrator_runs_turns"))
    store.queue.submit(run_row("a"), "{}")
    assert [run.run_id for run in store.queue.take("w", 10.0, 5)] == ["a"]
    assert maintenance.migrate(where).indexes == ("orchestrator_runs_turns",)
    assert maintenance.migrate(where).indexes == ()
    assert differences(store.engine) == []
    store.close()
