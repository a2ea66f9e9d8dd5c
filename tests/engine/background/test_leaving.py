"""A process that leaves a run, because it drains or was fenced, leaves the run's children as they stand too."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, RunContext, Status, Tool
from orchestrator.engine.background.worker import WorkerOptions


class Shop:
    """A parent with two children that are slow the first time."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.slow = True

    def tools(self) -> list[Tool]:
        async def part(n: int) -> int:
            self.begun.set()
            if self.slow:
                await asyncio.sleep(60)
            return n

        async def whole(order: int, ctx: RunContext) -> int:
            found = await asyncio.gather(*(ctx.reach("part", {"n": order + n}) for n in range(2)))
            return sum(outcome.value for outcome in found)

        return [Tool(part, gives="part"), Tool(whole, gives="whole")]


@pytest.mark.parametrize("why", ["drained", "closed", "fenced"])
async def test_children_of_a_run_that_is_left_are_gone_on_with(tmp_path: Path, why: str) -> None:
    shop, where = Shop(), tmp_path / "runs.db"
    async with Orchestrator(shop.tools(), store=where, monitors=()) as first:
        worker = first.worker()
        working = asyncio.create_task(worker.run())
        await first.submit("whole", {"order": 5}, run_id="r", work_here=False)
        async with asyncio.timeout(20):
            await shop.begun.wait()
            if why == "drained":
                worker.stop(drain_seconds=0.0)
                await working
            elif why == "fenced":
                live: Any = first._runtime.runs.live("r")  # pyright: ignore[reportPrivateUsage]
                await asyncio.to_thread(take_over, where)
                live.fence()
                worker.stop(drain_seconds=0.0)
                await working
            else:
                await first.aclose()
    working.cancel()
    await asyncio.wait([working])
    shop.slow = False
    async with Orchestrator(shop.tools(), store=where, monitors=()) as second:
        rows = second.store.runs(parent="r")
        assert {row.status for row in rows} <= {Status.RUNNING}, rows
        second.store.queue.sweep(5)
        await second.worker(WorkerOptions()).until_idle()
        outcome = second.outcome("r")
        assert (outcome.status, outcome.value) == (Status.REACHED, 11), outcome.failures
        assert second.verify("r").ok
        assert second.replay("r").agrees


def take_over(where: Path) -> None:
    """Another process's statement, as it were: the run is somebody else's, who then gives it back."""
    import sqlite3

    connection = sqlite3.connect(where)
    with connection:
        connection.execute("UPDATE orchestrator_runs SET token = token + 1, owner = '' WHERE run_id = 'r'")
    connection.close()
