"""A run that is queued, being begun or driven elsewhere is looked for again, and its turn is left meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import InputError, Orchestrator, Status, Tool
from orchestrator.engine import registry
from orchestrator.engine.lifecycle import driver, start
from orchestrator.engine.lifecycle.driver import Abandoned
from orchestrator.engine.lifecycle.phases import Phase
from orchestrator.engine.run import Run

STORES = ["memory", "sqlite"]


class Shop:
    """A write that takes a moment."""

    def __init__(self, store: str, path: Path) -> None:
        self.made: list[str] = []

        async def pay(order: str) -> str:
            await asyncio.sleep(0.05)
            self.made.append(order)
            return order

        tool = Tool(pay, gives="paid", effect="write", compensate=self.made.remove)
        self.orc = Orchestrator([tool], store=path / "runs.db" if store == "sqlite" else None)


@pytest.fixture(params=STORES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    return Shop(request.param, tmp_path)


async def both(*calls: Any) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)


async def test_a_run_is_submitted_and_run_under_one_id(shop: Shop) -> None:
    async with shop.orc as orc:
        ran = [orc.run("paid", {"order": "1"}, run_id="r") for _ in range(2)]
        _, *outcomes = await both(orc.submit("paid", {"order": "1"}, run_id="r"), *ran)
        assert [outcome.value for outcome in outcomes] == ["1", "1"]
        assert shop.made == ["1"]


async def test_who_runs_a_submitted_run_and_leaves_leaves_alone(shop: Shop) -> None:
    async with shop.orc as orc:
        await orc.submit("paid", {"order": "1"}, run_id="r")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(orc.run("paid", {"order": "1"}, run_id="r"), 0.01)
        assert (await asyncio.wait_for(orc.wait("r"), 10)).ok


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.005, 0.02])
async def test_a_submitted_run_is_cancelled_while_a_worker_takes_it(shop: Shop, pause: float) -> None:
    async with shop.orc as orc:
        await orc.submit("paid", {"order": "1"}, run_id="r")
        await asyncio.sleep(pause)
        cancelled, resumed = await both(orc.cancel("r"), orc.resume("r"))
        assert (cancelled.status, resumed.status, shop.made) == (Status.ESCALATED, Status.ESCALATED, [])


async def test_other_inputs_than_a_queued_run_has_are_an_error(shop: Shop) -> None:
    async with shop.orc as orc:
        await orc.submit("paid", {"order": "1"}, run_id="r", delay=3600)
        for order, goal, problem in (("2", "paid", "other inputs"), ("1", "order", "for the goal")):
            with pytest.raises(InputError, match=problem):
                await asyncio.wait_for(orc.run(goal, {"order": order}, run_id="r"), 5)
        assert (await orc.cancel("r")).status is Status.ESCALATED


async def test_an_ended_run_whose_outcome_is_no_longer_cached_gives_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "KEPT_OUTCOMES", 1)
    async with shop.orc as orc:
        for run_id in "ab":
            await orc.run("paid", {"order": run_id}, run_id=run_id)
        assert (await asyncio.wait_for(orc.run("paid", {"order": "a"}, run_id="a"), 5)).ok
        assert shop.made == ["a", "b"]


async def test_a_run_whose_task_is_cancelled_before_its_first_step_leaves_nobody_waiting(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = driver.start

    def cancelled_at_once(run: Run, phase: Phase) -> None:
        begin(run, phase)
        assert run.task is not None
        run.task.cancel()

    monkeypatch.setattr(start, "start", cancelled_at_once)
    async with shop.orc as orc:
        (found,) = await both(orc.run("paid", {"order": "1"}, run_id="r"))
        assert isinstance(found, Abandoned)
        monkeypatch.undo()
        assert (await orc.resume("r")).ok is (orc.store.embedded and shop.made == ["1"])
