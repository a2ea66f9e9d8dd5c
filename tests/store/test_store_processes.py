"""One SQLite file shared by many processes, some of which are killed."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store import SqlStore, owner_name
from orchestrator.store.ledger.verify import verify_run, verify_store
from orchestrator.store.sql import documents
from orchestrator.store.sql.writer import WriteRequest
from tests.store.processes import append_for_ever, ask_for_leases, hold_claim, join, run_and_end, start
from tests.store.rows import run_row
from tests.support import forked


def crash(where: str, rounds: int) -> int:
    """Let a process append, kill it after it has settled `rounds` times; returns the last number it knew durable."""
    ours, theirs = forked.processes().Pipe()
    process = start(append_for_ever, where, theirs)
    number = 0
    for _ in range(rounds):
        assert ours.poll(60)
        number = ours.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    while ours.poll():
        number = ours.recv()
    return number


def check_crash(where: str, rounds: int) -> None:
    """All that was settled is there, and the chain is whole."""
    settled = crash(where, rounds)
    store = SqlStore(where)
    numbers = [record.body["n"] for record in store.records("run-1") if record.kind == "x"]
    assert numbers[:settled] == list(range(1, settled + 1))
    assert int(store.values("run-1")["latest"]) == numbers[-1]
    assert verify_run(store, "run-1").ok
    store.append("run-1", "after", {}, 1.0)
    store.flush(run_id="run-1")
    assert verify_store(store).ok
    store.close()


@pytest.mark.parametrize("rounds", [1, 2, 3, 5, 8, 13])
def test_what_was_settled_survives_kill_9(tmp_path: Path, rounds: int) -> None:
    check_crash(str(tmp_path / "runs.db"), rounds)


def test_what_was_settled_survives_kill_9_in_postgres(postgres: str) -> None:
    check_crash(postgres, 5)


def test_a_killed_owner_loses_its_run_at_once(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    ours, theirs = forked.processes().Pipe()
    process = start(hold_claim, where, theirs)
    assert ours.poll(60)
    first = ours.recv()
    store = SqlStore(where)
    assert store.claim("run-1", owner_name(), ttl=10.0) is None
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    second = store.claim("run-1", owner_name(), ttl=10.0)
    assert second is not None
    assert second > first
    store.close()


def sixteen_open_at_once(where: str) -> None:
    """16 processes make the same new store, run and end; everything verifies."""
    join([start(run_and_end, where, f"run-{index}", 40) for index in range(16)])
    store = SqlStore(where)
    assert store.count_runs() == 16
    assert [row.count for row in store.runs()] == [41] * 16
    assert len(store.seals()) == 16
    assert store.document_versions("policy") == list(range(1, 17))
    assert verify_store(store).ok
    store.close()


def test_sixteen_processes_share_one_new_file(tmp_path: Path) -> None:
    sixteen_open_at_once(str(tmp_path / "new" / "runs.db"))


def test_sixteen_processes_share_one_new_database(postgres: str) -> None:
    sixteen_open_at_once(postgres)


def one_winner_per_window(where: str) -> None:
    """16 processes ask for the same probe in each of 20 windows."""
    SqlStore(where).close()
    said = forked.processes().Queue()
    processes = [start(ask_for_leases, where, f"p{index}", 20, said) for index in range(16)]
    won = [said.get(timeout=90) for _ in processes]
    join(processes)
    assert sorted(window for _, windows in won for window in windows) == list(range(20))


def test_sixteen_processes_have_one_lease_winner_per_window(tmp_path: Path) -> None:
    one_winner_per_window(str(tmp_path / "runs.db"))


def test_sixteen_processes_have_one_lease_winner_per_window_in_postgres(postgres: str) -> None:
    one_winner_per_window(postgres)


def in_child(work: Callable[[], bool]) -> bool:
    """Whether `work` succeeds in a forked child."""
    pid = os.fork()
    if pid == 0:
        succeeded = False
        try:
            succeeded = work()
        finally:
            os._exit(0 if succeeded else 1)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_queue_and_connections_of_its_own(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "runs.db")
    store.begin(run_row("parent"))
    store.append("parent", "x", {}, 1.0)

    def child() -> bool:
        store.begin(run_row("child"))
        store.append("child", "x", {}, 1.0)
        store.flush(timeout=30, run_id="child")
        return len(store.records("child")) == 1

    assert in_child(child)
    store.flush(timeout=30)
    assert sorted(row.run_id for row in store.runs()) == ["child", "parent"]
    assert [len(store.records(name)) for name in ("child", "parent")] == [1, 1]
    assert verify_store(store).ok
    store.close()


def test_two_stores_of_one_file_see_each_others_writes(tmp_path: Path) -> None:
    first, second = SqlStore(tmp_path / "runs.db"), SqlStore(tmp_path / "runs.db")
    first.begin(run_row())
    for number in range(20):
        store = first if number % 2 else second
        store.append("run-1", "x", {"n": number}, 1.0)
        store.flush()
    assert [record.body["n"] for record in first.records("run-1")] == list(range(20))
    assert verify_run(second, "run-1").ok
    first.close()
    second.close()


def test_a_commit_is_as_durable_as_sqlite_can_make_it(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "runs.db")
    store.begin(run_row())
    connection = sqlite3.connect(tmp_path / "runs.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert store.durability() == "FULL"
    store.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_is_forked_in_the_midst_of_a_transaction_can_write(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "runs.db")
    begun = threading.Event()

    def slow(connection: Any, _: WriteRequest) -> None:
        documents.add_document(connection, "slow", "{}")
        begun.set()
        time.sleep(0.5)

    store._writer.put(WriteRequest(slow, keep=True))  # pyright: ignore[reportPrivateUsage]
    store._writer.when_durable(lambda: None)  # pyright: ignore[reportPrivateUsage]
    assert begun.wait(10)
    assert in_child(lambda: store.begin(run_row("child")) is None and store.run("child") is not None)
    store.flush()
    assert store.run("child") is not None
    assert store.document("slow") == {}
    store.close()
