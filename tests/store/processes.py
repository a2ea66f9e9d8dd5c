"""What tests let other processes do with one store."""

import time
from multiprocessing.process import BaseProcess
from typing import Any

from orchestrator.core.enums import Status
from orchestrator.store import SqlStore, owner_name
from orchestrator.store.sql import store as sql
from tests.store.rows import run_row
from tests.support import forked


def start(target: Any, *args: Any) -> BaseProcess:
    """Start a process."""
    process = forked.processes().Process(target=target, args=args)
    process.start()
    return process


def join(processes: list[BaseProcess]) -> None:
    """Wait for processes, all of which must succeed."""
    for process in processes:
        process.join(90)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def append_for_ever(where: str, said: Any) -> None:
    """Append, settle, and say what is durable, until killed."""
    store = SqlStore(where)
    store.begin(run_row())
    number = 0
    while True:
        for _ in range(1 + number % 7):
            number += 1
            store.append("run-1", "x", {"n": number}, 1.0)
            store.put_value("run-1", "latest", str(number))
        store.flush(run_id="run-1")
        said.send(number)
        store.append("run-1", "unsettled", {"n": number}, 1.0)


def hold_claim(where: str, said: Any) -> None:
    """Claim a run for a long time, say the token, and stay."""
    store = SqlStore(where)
    store.begin(run_row())
    said.send(store.claim("run-1", owner_name(), ttl=1e6))
    time.sleep(60)


def run_and_end(where: str, name: str, records: int) -> None:
    """A run of one's own among many processes."""
    store = SqlStore(where)
    store.begin(run_row(name))
    for number in range(records):
        store.append(name, "x", {"n": number}, 1.0)
        if number % 10 == 0:
            store.flush(timeout=60, run_id=name)
    store.set_status(name, Status.REACHED, 2.0)
    store.put_document("policy", {"by": name})
    store.close(timeout=60)


def ask_for_leases(where: str, name: str, windows: int, said: Any) -> None:
    """Ask for the lease of one probe in each window; say which were won."""
    sql.LEASE_SECONDS = 60.0  # on a busy machine an answer may take longer than a run would wait for it
    now = 0.0
    store = SqlStore(where, clock=lambda: now)
    won: list[int] = []
    for window in range(windows):
        now = 1000.0 + 10.0 * window
        if store.try_lease("dead-tool", name, seconds=10.0):
            won.append(window)
    said.put((name, won))
    store.close(timeout=60)
