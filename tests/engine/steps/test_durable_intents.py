"""A write is made when its intent is durable: it waits for a store that is away, and is not made without it."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Policy, Status, tool
from orchestrator.engine.steps import compensate


def hold(path: Path, held: threading.Event, back: threading.Event, seconds: float) -> None:
    """Hold the write lock of a store for a while, as another process would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    held.set()
    back.wait(seconds)
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.parametrize(("patience", "status", "paid"), [(60.0, Status.REACHED, 1), (0.0, Status.ESCALATED, 0)])
async def test_a_write_waits_for_a_store_that_is_away_for_the_patience_of_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float, status: Status, paid: int
) -> None:
    monkeypatch.setattr(compensate, "DURABLE_WITHIN", 0.05)
    path, payments, back = tmp_path / "runs.db", 0, threading.Event()

    held = threading.Event()
    holder = threading.Thread(target=hold, args=(path, held, back, 0.5))

    @tool(gives="price")
    def look() -> int:
        holder.start()
        assert held.wait(30)
        return 3

    @tool(gives="receipt", effect="write")
    async def pay(price: int) -> str:
        nonlocal payments
        payments += 1
        return f"paid {price}"

    async with Orchestrator([look, pay], store=path, policy=Policy(patience=patience)) as orc:
        outcome = await orc.run("receipt", run_id="order-1")
        back.set()
        holder.join()
        assert (outcome.status, payments) == (status, paid)
        if not paid:
            assert "its intent could not be made durable" in outcome.failures[0].message


async def test_a_write_is_not_made_when_its_run_was_cancelled_while_the_store_was_away(tmp_path: Path) -> None:
    path, payments, held, back = tmp_path / "runs.db", 0, threading.Event(), threading.Event()
    holder = threading.Thread(target=hold, args=(path, held, back, 30))

    @tool(gives="price")
    def look() -> int:
        holder.start()
        assert held.wait(30)
        return 3

    @tool(gives="receipt", effect="write")
    async def pay(price: int) -> str:
        nonlocal payments
        payments += 1
        return f"paid {price}"

    async with Orchestrator([look, pay], store=path) as orc:
        run = asyncio.create_task(orc.run("receipt", run_id="order-1"))
        while not held.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        cancelling = asyncio.create_task(orc.cancel("order-1"))
        await asyncio.sleep(0.1)
        back.set()
        await cancelling
        outcome = await run
        holder.join()
        assert (outcome.status, payments, outcome.uncompensated) == (Status.ESCALATED, 0, ())
        assert orc.verify("order-1").ok
