"""A write is made when its intent is durable: it waits for a store that is away, and is not made without it."""

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from orchestrator import Budget, DecisionKind, Orchestrator, Policy, Refused, RunContext, Status, tool
from orchestrator.engine.run import Run
from orchestrator.engine.steps import compensate, executor


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


async def test_effects_that_are_undone_while_the_store_is_away_wait_for_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five effects of children, one after another."""
    monkeypatch.setattr(compensate, "DURABLE_WITHIN", 0.1)
    path, undone = tmp_path / "runs.db", list[int]()
    held, back = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold, args=(path, held, back, 30))

    @tool(gives="seat", effect="write", compensate=undone.append)
    async def hold_seat(i: int) -> int:
        return i

    @tool(gives="trip", retries=0)
    async def trip(seats: int, ctx: RunContext) -> int:
        for i in range(seats):
            await ctx.reach("seat", {"i": i})
        holder.start()
        assert held.wait(30)
        raise Refused("no bus")

    async with Orchestrator([hold_seat, trip], store=path, policy=Policy(patience=1.5)) as orc:
        started = time.monotonic()
        outcome = await orc.run("trip", {"seats": 5})
        seconds = time.monotonic() - started
        back.set()
        holder.join()
        assert (undone, outcome.uncompensated) == ([], ("hold_seat",) * 5)
        assert seconds < 5


@pytest.mark.parametrize("how", ["cancelled", "left", "late", "stopped as the store is back"])
async def test_a_write_is_not_made_when_its_run_ends_while_the_store_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
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

    async def durable_after_a_cancellation(run: Run) -> None:
        back.set()
        run.scope.reason = "cancelled"

    async with Orchestrator([look, pay], store=path) as orc:
        if how == "stopped as the store is back":
            monkeypatch.setattr(executor, "intent_durable", durable_after_a_cancellation)
        budget = Budget(seconds=0.3) if how == "late" else None
        run = asyncio.create_task(orc.run("receipt", run_id="order-1", budget=budget))
        await asyncio.to_thread(held.wait, 30)
        await asyncio.sleep(0.1)
        if how == "cancelled":
            await orc.cancel("order-1")
        elif how == "left":
            run.cancel()
        await asyncio.wait({run}, timeout=10)  # the store is still away
        assert run.done()
        back.set()
        holder.join()
        outcome = await orc.run("receipt", run_id="order-1")
        assert (outcome.status, payments, outcome.uncompensated) == (Status.ESCALATED, 0, ())
        (failure,) = outcome.failures
        assert "it was not made" in failure.message
        assert [d.kind for d in outcome.decisions if failure.id in d.answers] == [DecisionKind.HALT]
        assert orc.verify("order-1").ok
        assert orc.replay("order-1").agrees
