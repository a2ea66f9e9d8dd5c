"""A locked, lost or damaged database: it is told once, slows nobody, and loses nothing that can be kept."""

import contextlib
import sqlite3
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from orchestrator.core.enums import Status
from orchestrator.errors import StoreError
from orchestrator.store import SqlStore
from orchestrator.store.ledger.verify import verify_run, verify_store
from orchestrator.store.sql import writer
from tests.store.rows import run_row


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage is told soon."""
    monkeypatch.setattr(writer, "OUTAGE_GRACE", 0.1)


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Another process, as it were, holds the write lock."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


class Problems:
    """The problems told so far, and a way to wait for the next."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.told = threading.Event()

    def __call__(self, problem: str) -> None:
        self.all.append(problem)
        self.told.set()


async def test_a_locked_database_is_told_once_and_loses_nothing(tmp_path: Path) -> None:
    problems = Problems()
    path = tmp_path / "runs.db"
    store = SqlStore(path, on_problem=problems)
    store.begin(run_row())
    with locked(path):
        for number in range(500):
            store.append("run-1", "x", {"n": number}, 1.0)
        with pytest.raises(StoreError, match=r"could not be made durable within 0.05 s"):
            await store.settled(timeout=0.05)
        assert problems.told.wait(30)
        with pytest.raises(StoreError, match="database is locked"):
            await store.settled(timeout=0.05)
        with pytest.raises(StoreError, match="did not answer"):
            store.try_lease("probe", "me", 10.0)
        with pytest.raises(StoreError, match="did not answer"):
            store.begin(run_row("later"))
        store.append("later", "x", {}, 1.0)
        assert store.records("run-1") == []
    await store.settled(timeout=30)
    assert [record.body["n"] for record in store.records("run-1")] == list(range(500))
    assert len(store.records("later")) == 1
    assert verify_store(store).ok
    assert len(problems.all) == 1
    # The lease was asked for, in vain: it must not have been taken when the database came back.
    assert store.try_lease("probe", "you", 10.0)
    store.close()


async def test_a_run_begun_during_an_outage_that_was_there_already_is_left_alone(tmp_path: Path) -> None:
    problems = Problems()
    path = tmp_path / "runs.db"
    first = SqlStore(path)
    first.begin(run_row("a"))
    first.append("a", "first", {}, 1.0)
    first.flush()
    store = SqlStore(path, on_problem=problems)
    with locked(path):
        store.append("ghost", "x", {}, 1.0)
        assert problems.told.wait(30)
        with pytest.raises(StoreError, match="did not answer"):
            store.begin(run_row("a", trace_id="another"))
        store.append("a", "second", {}, 1.0)
    with pytest.raises(StoreError, match="there already"):
        await store.settled(timeout=30, run_id="a")
    assert [record.kind for record in store.records("a")] == ["first"]
    first.close()
    store.close()


def test_a_queue_that_is_full_says_in_the_ledger_how_much_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs.db"
    problems = Problems()
    store = SqlStore(path, on_problem=problems)
    store.begin(run_row())
    monkeypatch.setattr(writer, "CAPACITY", 3000)
    with locked(path):
        for number in range(100):
            store.append("run-1", "x", {"n": number}, 1.0)
        store.set_status("run-1", Status.REACHED, 2.0)
    store.flush(timeout=30)
    records = store.records("run-1")
    kept = [record for record in records if record.kind == "x"]
    assert [record.body["n"] for record in kept] == list(range(len(kept)))
    assert 0 < len(kept) < 100
    assert [record.kind for record in records[len(kept) :]] == ["lost", "closed"]
    assert records[-2].body == {"count": 100 - len(kept)}
    assert verify_run(store, "run-1").ok
    with pytest.raises(StoreError, match="too much is waiting"):
        store.flush(run_id="run-1")
    store.close()


def test_a_record_that_cannot_be_written_holds_up_no_other_run(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    problems = Problems()
    store = SqlStore(path, on_problem=problems)
    for name in "ab":
        store.begin(run_row(name))
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO orchestrator_records VALUES ('a', 2, 'forged', 1.0, '{}', '', '')")
    connection.commit()
    connection.close()
    for number in range(3):
        for name in "ab":
            store.append(name, "x", {"n": number}, 1.0)
    store.flush(timeout=30, run_id="b")
    with pytest.raises(StoreError, match="run 'a' was refused"):
        store.flush(run_id="a")
    assert len(store.records("b")) == 3
    assert verify_run(store, "b").ok
    assert "record 2 was changed" in verify_run(store, "a").problems
    store.close()


def test_a_file_that_was_removed_is_made_anew_and_told(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    problems = Problems()
    store = SqlStore(path, on_problem=problems)
    store.begin(run_row("a"))
    for file in tmp_path.iterdir():
        file.unlink()
    store.append("a", "x", {}, 1.0)
    with pytest.raises(StoreError, match="never begun"):
        store.flush(timeout=30, run_id="a")
    assert store.begin(run_row("b")) is None
    store.append("b", "x", {}, 1.0)
    store.flush(run_id="b")
    store.close()
    again = SqlStore(path)
    assert [row.run_id for row in again.runs()] == ["b"]
    assert len(again.records("b")) == 1
    again.close()


def test_closing_during_an_outage_gives_up_and_says_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    problems = Problems()
    store = SqlStore(path, on_problem=problems)
    store.begin(run_row())
    with locked(path):
        store.append("run-1", "x", {}, 1.0)
        store.close(timeout=0.1)
    assert problems.all[-1].startswith("1 writes were lost when the store was closed")


def test_a_store_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = SqlStore(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE orchestrator_health")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="cannot be read: no such table"):
        store.load_health()
    store.close()
