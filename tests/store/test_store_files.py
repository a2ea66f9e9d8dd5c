"""Opening a store: what is made, for whom, and one clear error for everything that cannot be one."""

import gc
import os
import sqlite3
import stat
import warnings
from pathlib import Path

import pytest

from orchestrator.errors import StoreError
from orchestrator.store import MemoryStore, SqlStore, open_store
from tests.store.rows import ended_run, run_row


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_and_its_new_folders_are_the_owners_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = SqlStore(tmp_path / "a" / "b" / "runs.db")
    ended_run(store, records=3)
    files = sorted((tmp_path / "a" / "b").iterdir())
    assert [file.name for file in files] == ["runs.db", "runs.db-shm", "runs.db-wal"]
    assert [mode(file) for file in files] == [0o600] * 3
    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b"), mode(tmp_path)] == [0o700, 0o700, 0o755]
    store.close()


def test_a_store_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    for where in (path, str(path), f"sqlite:///{path}", f"sqlite+pysqlite:///{path}"):
        store = open_store(where)
        store.begin(run_row("a"))
        assert store.count_runs() == 1
        store.close()


def opened(folder: Path) -> list[str]:
    """The files of a folder that this process holds open."""
    links = [os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    return [target for link in links if os.path.islink(link) and (target := os.readlink(link)).startswith(str(folder))]


def test_a_closed_store_that_is_read_holds_no_file_open(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "runs.db")
    store.begin(run_row("a"))
    store.flush()
    assert opened(tmp_path)
    store.close()
    assert store.count_runs() == 1
    assert not opened(tmp_path)


def test_a_store_that_nobody_closed_is_closed_when_nothing_refers_to_it(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = SqlStore(tmp_path / "runs.db")
        assert store.count_runs() == 0
        del store
        gc.collect()
    assert not opened(tmp_path)


def test_a_word_for_memory_is_memory() -> None:
    for where in (None, ":memory:", "sqlite://", "sqlite:///:memory:"):
        assert isinstance(open_store(where), MemoryStore)
    store = MemoryStore()
    assert open_store(store) is store


def test_tables_of_others_in_the_same_file_stay(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "app.db")
    connection.execute("CREATE TABLE runs (mine TEXT)")
    connection.execute("INSERT INTO runs VALUES ('x')")
    connection.commit()
    store = SqlStore(tmp_path / "app.db")
    ended_run(store, records=3)
    assert connection.execute("SELECT mine FROM runs").fetchall() == [("x",)]
    connection.close()
    store.close()


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is a folder: give a file in it, such as .*runs\.db"):
        SqlStore(tmp_path)


def test_a_path_below_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"file/runs.db cannot be opened: Not a directory"):
        SqlStore(tmp_path / "file" / "runs.db")


def test_a_folder_that_cannot_be_made_is_no_store() -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        SqlStore("/proc/nowhere/runs.db")


@pytest.mark.parametrize("text", ["just some notes, longer than the header of a database\n" * 50, "short", "x"])
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database file"):
        SqlStore(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    SqlStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE orchestrator_meta SET value = 99 WHERE name = 'schema'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="schema version 99, and this orchestrator knows 2"):
        SqlStore(path)


@pytest.mark.parametrize("where", ["mysql://host/db", "redis://host"])
def test_another_kind_of_database_is_refused(where: str) -> None:
    with pytest.raises(StoreError, match="a store cannot be kept in"):
        open_store(where)


def test_a_url_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(StoreError, match="cannot be read") as caught:
        open_store("://user:secret@host")
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_one_clear_error_without_the_password() -> None:
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        open_store("postgresql://user:secret@127.0.0.1:1/runs")
    assert "secret" not in str(caught.value)
    assert "user:***@127.0.0.1" in str(caught.value)


def test_a_closed_store_takes_nothing_and_says_so(tmp_path: Path) -> None:
    problems: list[str] = []
    store = SqlStore(tmp_path / "runs.db", on_problem=problems.append)
    store.begin(run_row())
    store.close()
    store.append("run-1", "x", {}, 1.0)
    store.merge_health({"x": {}}, lambda _, new: dict(new))
    assert len(problems) == 2
    with pytest.raises(StoreError, match="closed"):
        store.flush(run_id="run-1")
    with pytest.raises(StoreError, match="closed"):
        store.begin(run_row("b"))


def test_what_is_enqueued_is_written_when_the_store_is_closed(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "runs.db")
    store.begin(run_row())
    for number in range(5000):
        store.append("run-1", "x", {"n": number}, 1.0)
    store.close()
    again = SqlStore(tmp_path / "runs.db")
    assert len(again.records("run-1")) == 5000
    again.close()
