"""Workers whose clocks are wrong by an hour, or run too fast: the database's clock decides."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from orchestrator import Budget, Status, SystemClock
from orchestrator.store import SqlStore
from orchestrator.store.sql.tables import DatabaseClock
from tests.engine.background.skewed import COST, TENANT, TIMEOUT, orchestrator

from .server import Server

CLOCKS: Final = {"ahead": ("3600", "1.0"), "behind": ("-3600", "1.0"), "fast": ("0", "1.1"), "slow": ("0", "0.9")}
"""How many seconds each clock is ahead, and how fast it is."""
ROOT: Final = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server("skew")
    yield made
    made.close()


def worker(url: str, name: str) -> "subprocess.Popen[str]":
    """A worker whose time of day is wrong."""
    command = [sys.executable, "-m", "tests.engine.background.skewed", url, name, *CLOCKS[name]]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_the_estimate_follows_the_database_and_not_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: seconds)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    clock = DatabaseClock()
    assert clock.estimate() == 1e9
    clock.note(5000.0, 99.9, 100.1)
    assert clock.estimate() == 5000.0
    seconds = 160.0
    clock.note(5060.02, 159.8, 160.0)  # may be due to the way there
    assert clock.estimate() == 5060.0
    clock.note(5066.0, 159.9, 160.0)  # the machine's clock is slow
    assert clock.estimate() == pytest.approx(5066.05)


async def test_a_clock_that_is_wrong_changes_no_time_on_record(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in this process, where only the time of day is wrong."""
    real = time.time
    monkeypatch.setattr(SystemClock, "time", staticmethod(lambda: real() + 3600.0))
    async with orchestrator(server.url) as orc:
        assert abs(orc._runtime.clock.time() - real()) < 1.0  # pyright: ignore[reportPrivateUsage]
        assert abs(orc.store.now() - real()) < 1.0


@pytest.mark.campaign
@pytest.mark.timeout(300)
def test_claims_timers_schedules_and_budgets_by_the_clock_of_the_database(server: Server) -> None:
    began = time.time()
    processes = {name: worker(server.url, name) for name in CLOCKS}
    shown = {name: float(process.stdout.readline()) for name, process in processes.items() if process.stdout}
    assert shown["ahead"] > time.time() + 3000
    assert shown["behind"] < time.time() - 3000
    try:
        asyncio.run(_work_goes_on(server, processes))
    finally:
        for process in processes.values():
            process.terminate()
            process.communicate(timeout=30)
    ended = time.time()
    store = SqlStore(server.url)
    _check(store, began, ended)
    assert abs(store.accounts.spent(f"tenant={TENANT}") - 24 * COST) < 1e-9
    store.close()


async def _work_goes_on(server: Server, processes: "dict[str, subprocess.Popen[str]]") -> None:
    labels = {"tenant": TENANT}
    async with orchestrator(server.url) as orc:
        later = await orc.submit("done", {"n": 0}, delay=3.0, labels=labels, work_here=False)
        slow = [
            await orc.submit("done", {"n": n}, labels=labels, budget=Budget(seconds=60.0), work_here=False)
            for n in range(1, 24)
        ]
        asked = [await orc.submit("approved", {"m": n}, work_here=False) for n in range(6)]
        await asyncio.sleep(0.7)
        processes["ahead"].kill()  # what it began an hour from now goes on an hour ago
        processes["ahead"].communicate()
        processes["ahead"] = worker(server.url, "ahead")
        async with asyncio.timeout(120):
            assert [(await orc.wait(run_id)).status for run_id in (later, *slow)] == [Status.REACHED] * 24
            while any(not orc.store.run(run_id).status.ended for run_id in asked):  # type: ignore[union-attr]  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        for run_id in asked:
            row = orc.store.run(run_id)
            assert row is not None
            assert row.ended is not None
            assert TIMEOUT <= row.ended - row.started < TIMEOUT + 15.0


def _check(store: SqlStore, began: float, ended: float) -> None:
    ticks = 0
    for row in store.runs(limit=1000):
        records = [record.at for record in store.records(row.run_id)]
        assert began - 2 < min(records), row
        assert max(records) < ended + 2, row
        assert all(after >= before - 0.5 for before, after in pairwise(records)), row
        assert row.attempts <= 1, row
        ticks += row.run_id.startswith("tick-")
    assert 5 <= ticks <= ended - began + 5
