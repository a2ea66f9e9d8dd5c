"""A tool's limit holds over all processes of a store, and the slots of a dead one return."""

import asyncio
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Tool
from orchestrator.engine.background import worker
from orchestrator.engine.background.worker import WorkerOptions
from orchestrator.store import SqlStore
from orchestrator.store.rows import slot_name


async def test_two_workers_call_a_limited_tool_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LEASE_SECONDS", 600.0)  # whose lease ends, loses its runs and its slots
    at_once, most = 0, 0

    async def slow(x: int) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return x

    store = tmp_path / "runs.db"
    options = WorkerOptions(tool_limits={"slow": 1}, concurrency=4)
    async with (
        Orchestrator([Tool(slow, gives="y")], store=store, monitors=()) as one,
        Orchestrator([Tool(slow, gives="y")], store=store, monitors=()) as two,
    ):
        for number in range(8):
            await one.submit("y", {"x": number}, run_id=f"r{number}", work_here=False)
        done = await asyncio.gather(one.worker(options).until_idle(), two.worker(options).until_idle())
        assert sum(done) == 8
        assert most == 1
        assert {one.outcome(f"r{number}").value for number in range(8)} == set(range(8))


def test_the_slots_of_a_process_that_is_gone_return(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "runs.db")
    assert store.try_lease(slot_name("slow", 0), "another|1|1|x", 1000.0)
    assert store.try_lease("other", "another|1|1|x", 1000.0)
    assert not store.try_lease(slot_name("slow", 0), "mine", 1000.0)
    store.queue.sweep(5)
    assert store.try_lease(slot_name("slow", 0), "mine", 1000.0)
    assert not store.try_lease("other", "mine", 1000.0)
    store.close()
