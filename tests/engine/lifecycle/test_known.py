"""An id that was used before, of a run that waits in the queue."""

import asyncio
from pathlib import Path

import pytest

from orchestrator import Goal, InputError, Orchestrator, tool


@tool(gives="y")
def double(x: int) -> int:
    return 2 * x


@tool(gives="z")
def act(y: int) -> str:
    return f"did {y}"


@pytest.fixture(params=["memory", "sqlite"])
def embedded(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "runs.db" if request.param == "sqlite" else None


async def test_a_queued_run_is_not_run_with_another_goal_or_other_inputs(embedded: Path | None) -> None:
    async with Orchestrator([double, act], store=embedded) as orc:
        await orc.submit("z", {"x": 1}, run_id="one", delay=100.0, work_here=False)
        async with asyncio.timeout(5):
            with pytest.raises(InputError, match="other inputs"):
                await orc.run("z", {"x": 2}, run_id="one")
            for ask in (orc.run, orc.submit):
                with pytest.raises(InputError, match="same goal"):
                    await ask(Goal("z", demotions=["y"]), {"x": 1}, run_id="one")
        assert await orc.submit("z", {"x": 1}, run_id="one", work_here=False) == "one"
        for look in (orc.outcome, orc.replay):
            with pytest.raises(InputError, match="is queued"):
                look("one")


async def test_a_queued_run_is_joined_when_a_worker_begins_it(embedded: Path | None) -> None:
    async with Orchestrator([double, act], store=embedded) as orc:
        await orc.submit("z", {"x": 1}, run_id="one", delay=0.3, work_here=True)
        async with asyncio.timeout(10):
            joined = await asyncio.gather(*(orc.run("z", {"x": 1}, run_id="one") for _ in range(3)))
        assert [outcome.value for outcome in joined] == ["did 2"] * 3
        assert joined[0].decisions[0].id == joined[2].decisions[0].id
        assert orc.verify("one").ok


async def test_a_run_that_was_set_aside_is_not_waited_for(embedded: Path | None) -> None:
    async with Orchestrator([double, act], store=embedded) as orc:
        await orc.submit("z", {"x": 1}, run_id="one", delay=100.0, work_here=False)
        assert orc.store.queue.sweep(0).set_aside == ()  # no process has died of it
        assert orc.store.queue.take_one("one", "dead|1|1|x", 0.0)
        assert orc.store.queue.sweep(1).set_aside == ("one",)  # after the last of the owners that it may lose
        async with asyncio.timeout(5):
            with pytest.raises(InputError, match="set aside"):
                await orc.run("z", {"x": 1}, run_id="one")
            with pytest.raises(InputError, match="set aside"):
                await orc.wait("one")
