"""What wakes a worker, and what happens to a run that it took and could not begin."""

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, Status, Tool
from orchestrator.engine.background import worker as work
from orchestrator.errors import StoreError
from tests.support.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]


def double(x: int) -> int:
    return 2 * x


def made(store: Any) -> Orchestrator:
    return Orchestrator([Tool(double, gives="y")], store=store, monitors=())


@pytest.mark.parametrize("engine", ["", "pgqueuer", "procrastinate"])
async def test_a_run_is_driven_at_once_although_the_worker_looks_seldom(
    postgres: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine and importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    monkeypatch.setattr(work, "TOLD_POLL_SECONDS", 100.0)
    store = f"{postgres}&queue={engine}" if engine else postgres
    async with made(store) as here, made(store) as there:
        worker = there.worker()
        working = asyncio.create_task(worker.run())
        async with asyncio.timeout(20):
            while not there.store.signals.live:  # noqa: ASYNC110 - a store says nothing by itself
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)  # the worker has found an empty queue
        async with asyncio.timeout(20):
            for number in range(2):
                await here.submit("y", {"x": number}, run_id=f"r{number}", work_here=False)
                assert (await here.wait(f"r{number}")).value == 2 * number
        worker.stop()
        await working


async def test_a_run_that_could_not_be_begun_is_handed_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def double_later(x: int) -> int:
        begun.set()
        await asyncio.sleep(60)
        return 2 * x

    async with Orchestrator([Tool(double_later, name="double", gives="y")], store=tmp_path / "runs.db") as before:
        await before.submit("y", {"x": 3}, run_id="r")
        await begun.wait()
    async with made(tmp_path / "runs.db") as orc:
        problems: list[str] = []
        orc.store.on_problem = problems.append
        records, failing = orc.store.records, 2

        def away(run_id: str, after: int = 0) -> Any:
            nonlocal failing
            if failing:
                failing -= 1
                raise StoreError("the database restarts")
            return records(run_id, after)

        monkeypatch.setattr(orc.store, "records", away)
        worker = orc.worker()
        working = asyncio.create_task(worker.run())
        async with asyncio.timeout(20):
            while not any("handed back" in problem for problem in problems):  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.02)
            outcome = await orc.wait("r")
        worker.stop()
        await working
        assert (outcome.status, outcome.value) == (Status.REACHED, 6)


async def test_a_hint_at_the_moment_of_closing_does_not_keep_the_background_running(tmp_path: Path) -> None:
    orc = Orchestrator([Tool(lambda: 1, name="one", gives={"one": int})], store=tmp_path / "runs.db", monitors=())
    await orc.submit("one", run_id="later", delay=100.0, work_here=True)
    assert (await orc.run("one")).value == 1
    background: Any = orc._background  # pyright: ignore[reportPrivateUsage]
    working, beating = background._working, background._task
    for _ in range(3):
        await asyncio.sleep(0.05)
        for task, hint in ((beating, background._turned), (working, background._worker._hint)):
            assert not task.done()
            hint.set()
    for task in (beating, working):
        task.cancel()
    done, left = await asyncio.wait([beating, working], timeout=5.0)
    assert (len(done), left) == (2, set())
    async with asyncio.timeout(10):
        await orc.aclose()
