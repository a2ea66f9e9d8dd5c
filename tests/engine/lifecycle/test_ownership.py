"""A run is driven by one process at a time, whatever happens to its owner: forks, kills, stops, blocked loops."""

import contextlib
import os
import signal
import sqlite3
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, Status, Tool
from orchestrator.store import SqlStore
from orchestrator.store.ledger.verify import verify_run
from tests.engine.owning import bank, pay_once, payer
from tests.support import forked


def begin(*args: Any) -> tuple[BaseProcess, Any]:
    """A process that pays, and where it says how that ended."""
    ours, theirs = forked.processes().Pipe()
    process = forked.processes().Process(target=pay_once, args=(*args[:3], theirs, *args[3:]))
    process.start()
    assert ours.poll(60)
    assert ours.recv() == "begun"
    return process, ours


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def stop_outside_a_transaction(process: BaseProcess, where: str) -> None:
    """Stop a process; one that is stopped with a SQLite file locked would block everybody."""
    assert process.pid
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        if "://" in where:
            return
        free = contextlib.closing(sqlite3.connect(where, timeout=0.1, isolation_level=None))
        with free as connection, contextlib.suppress(sqlite3.OperationalError):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            return
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.05)


def paying(store: SqlStore) -> bool:
    """Whether the intent to pay is on record."""
    return any(record.kind == "CallStarted" for record in store.records("order-42"))


def payments(world: str) -> list[str]:
    return Path(world).read_text().splitlines()


def ended(said: Any) -> Any:
    assert said.poll(60)
    return said.recv()


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "runs.db") if request.param == "sqlite" else request.getfixturevalue("postgres")


@pytest.fixture
def world(tmp_path: Path) -> str:
    return str(bank(str(tmp_path / "bank.txt")))


def test_what_a_killed_owner_had_not_sent_is_sent_by_the_next(where: str, world: str) -> None:
    store = SqlStore(where)
    first, _ = begin(where, world, 60.0)
    until(lambda: paying(store))
    assert first.pid
    os.kill(first.pid, signal.SIGKILL)
    first.join(30)
    second, said = begin(where, world, 0.0)
    assert ended(said) == ("reached", [])
    second.join(30)
    assert len(payments(world)) == 1
    assert verify_run(store, "order-42").ok
    store.close()


@pytest.mark.parametrize("keyed", [False, True])
def test_what_a_stopped_owner_may_still_send_is_settled_only_with_a_key(where: str, world: str, keyed: bool) -> None:
    store = SqlStore(where)
    first, first_said = begin(where, world, 2.5, keyed)
    until(lambda: paying(store))
    stop_outside_a_transaction(first, where)
    second, said = begin(where, world, 0.0, keyed)
    status, listed = ended(said)
    assert status == ("reached" if keyed else "escalated")
    assert listed == ([] if keyed else ["pay"])
    assert first.pid
    os.kill(first.pid, signal.SIGCONT)
    assert ended(first_said) == (status, listed)  # the recorded outcome
    for process in (first, second):
        process.join(30)
    keys = {line.split()[1] for line in payments(world) if keyed}
    assert len(keys) == 1 if keyed else len(payments(world)) <= 1
    assert verify_run(store, "order-42").ok
    store.close()


def test_a_blocked_event_loop_keeps_its_run(where: str, world: str) -> None:
    store = SqlStore(where)
    first, first_said = begin(where, world, 2.0, False, True)
    until(lambda: paying(store))
    second, said = begin(where, world, 0.0)
    assert ended(said) == ended(first_said) == ("reached", [])
    for process in (first, second):
        process.join(30)
    assert len(payments(world)) == 1
    store.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("durable", [False, True])
def test_a_forked_child_works_at_once_as_another_owner(tmp_path: Path, world: str, durable: bool) -> None:
    def double(x: int) -> int:
        return 2 * x

    store = tmp_path / "runs.db" if durable else None
    orc = Orchestrator([Tool(double, gives="y", effect="write", timeout=20), payer(Path(world), 0.0)], store=store)
    assert orc.run_sync("y", {"x": 1}).value == 2
    owner = orc._runtime.owner  # pyright: ignore[reportPrivateUsage]
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            began = time.monotonic()
            outcome = orc.run_sync("y", {"x": 10})
            right = outcome.value == 20 and orc._runtime.owner != owner and time.monotonic() - began < 5  # pyright: ignore[reportPrivateUsage]
            code = 0 if right and orc.run_sync("receipt", {"order": "1"}).status is Status.REACHED else 2
            orc.close()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert orc.run_sync("y", {"x": 3}).value == 6
    assert orc._runtime.owner == owner  # pyright: ignore[reportPrivateUsage]
    orc.close()


async def test_a_beat_while_a_run_begins_takes_nothing_from_it(tmp_path: Path, world: str) -> None:
    async with Orchestrator([payer(Path(world), 0.0)], store=tmp_path / "runs.db") as orc:
        begin_in_store = orc.store.begin

        def slow(*args: Any) -> Any:
            found = begin_in_store(*args)
            orc._runtime.heartbeat.beat()  # pyright: ignore[reportPrivateUsage]
            return found

        orc.store.begin = slow  # type: ignore[method-assign, assignment]
        outcome = await orc.run("receipt", {"order": "1"})
        orc._runtime.heartbeat.beat()  # pyright: ignore[reportPrivateUsage]
        orc.store.flush()
        assert outcome.status is Status.REACHED
        assert len(payments(world)) == 1
        assert orc.store.records(outcome.run_id)[-1].kind == "closed"
        assert orc.store.owner(outcome.run_id) == ""
