"""A waiting run whose program is not at hand keeps its answer; a stranger's tools never go on with it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import AskHuman, InputError, Orchestrator, Status, tool
from orchestrator.observability.answering import keep_answer, missing_tools
from orchestrator.store import open_store


@tool(gives="label", effect="write", approval=True)
def buy(order: str) -> str:
    return f"bought {order}"


@tool(gives="weather")
def forecast(city: str) -> str:
    return city


def program(store: Path, *tools: Any) -> Orchestrator:
    return Orchestrator(tools, monitors=(), escalation=[AskHuman()], store=store)


async def waiting(store: Path) -> None:
    async with program(store, buy) as orc:
        assert (await orc.run("label", {"order": "1"}, run_id="w")).status is Status.WAITING


async def drive(orc: Orchestrator, until: Status) -> None:
    worker = orc.worker()
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(20):
        while (row := await asyncio.to_thread(orc.store.run, "w")) is None or row.status is not until:
            await asyncio.sleep(0.05)
            if until is Status.QUEUED and row is not None and row.summary.get("left"):
                break
    worker.stop()
    await task


async def test_the_answer_is_kept_for_the_runs_own_program(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    await waiting(store)
    opened = open_store(store)
    with pytest.raises(InputError, match="That is no answer to the question"):
        keep_answer(opened, "w", "maybe", "ann")
    keep_answer(opened, "w", "yes", "ann")
    with pytest.raises(InputError, match="does not wait for an answer"):
        keep_answer(opened, "w", "yes", "bob")
    opened.close()
    async with program(store, buy) as orc:
        assert missing_tools(orc.store, "w", orc.graph) == []
        await drive(orc, Status.REACHED)
        outcome = await orc.wait("w")
        assert outcome.value == "bought 1"
        assert "ann" in str([decision.reason for decision in outcome.decisions] + [orc.store.records("w")])


async def test_a_worker_of_another_program_leaves_the_run_alone(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    await waiting(store)
    opened = open_store(store)
    keep_answer(opened, "w", "yes", "ann")
    opened.close()
    async with program(store, forecast) as stranger:
        assert missing_tools(stranger.store, "w", stranger.graph) == ["buy"]
        await drive(stranger, Status.QUEUED)
        await asyncio.to_thread(stranger.store.flush)
        row = stranger.store.run("w")
        assert row is not None
        assert row.status is Status.QUEUED
    async with program(store, buy) as orc:
        await drive(orc, Status.REACHED)
