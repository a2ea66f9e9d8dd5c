"""Whoever waits for a run that another process takes over gets the outcome that the new owner records."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from orchestrator import Orchestrator, RunContext, Status, tool
from orchestrator.api import call_again


def take_over(where: Path) -> None:
    """The statement of another process: every run gets a new owner, who gives it back."""
    connection = sqlite3.connect(where)
    with connection:
        connection.execute("UPDATE orchestrator_runs SET token = token + 1, owner = ''")
    connection.close()


def asking(where: Path, began: asyncio.Event, *, hangs: bool) -> Orchestrator:
    """A call that asks a person after a while, or never comes to it."""

    @tool(gives="price")
    async def price(n: int) -> int:
        return n

    @tool(gives="paid")
    async def pay(price: int, ctx: RunContext) -> int:
        if hangs:
            began.set()
            await asyncio.sleep(60)
        return int(await ctx.wait("How much?", int))

    return Orchestrator([price, pay], store=where)


async def lost_and_answered(losing: Awaitable[Any], first: Orchestrator, second: Orchestrator, where: Path) -> Any:
    """What the first owner gives after the second one has taken the run over and answered its question."""
    run_id = next(row.run_id for row in first.store.runs())
    await asyncio.to_thread(take_over, where)
    waiting = await second.resume(run_id)
    assert waiting.status is Status.WAITING
    assert (await second.resume(run_id, 7)).value == 7
    async with asyncio.timeout(30):
        result = await losing
    assert second.verify(run_id).ok
    await asyncio.gather(first.aclose(), second.aclose())
    return result


async def test_a_compiled_graph(tmp_path: Path) -> None:
    """Nothing but the heartbeat tells the first owner, whose call hangs."""
    where, began = tmp_path / "runs.db", asyncio.Event()
    first, second = (asking(where, began, hangs=hangs) for hangs in (True, False))
    losing = asyncio.ensure_future(first.compile("paid").ainvoke({"n": 3}))
    await began.wait()
    assert (await lost_and_answered(losing, first, second, where))["paid"] == 7


async def test_calls_that_are_made_again(tmp_path: Path) -> None:
    where, began = tmp_path / "runs.db", asyncio.Event()
    async with asking(where, began, hangs=False) as orc:
        await orc.run("paid", {"n": 3}, run_id="r")
    first, second = (asking(where, began, hangs=hangs) for hangs in (True, False))
    losing = asyncio.ensure_future(call_again(first, "r"))
    await began.wait()
    assert (await lost_and_answered(losing, first, second, where)).value == 7
    async with asking(where, began, hangs=False) as orc:
        assert (await call_again(orc, "r")).value == 7, "a run that has ended"


async def test_a_process_that_only_cancels_keeps_the_run_while_it_undoes(tmp_path: Path) -> None:
    where, undone = tmp_path / "runs.db", list[bool]()

    def opened() -> Orchestrator:
        @tool(gives="held", effect="write", compensate=undo)
        async def hold(n: int) -> int:
            return n

        @tool(gives="paid")
        async def pay(held: int, ctx: RunContext) -> int:
            return int(await ctx.wait("How much?", int))

        return Orchestrator([hold, pay], store=where)

    async def undo(held: int) -> None:
        thread = second._runtime.heartbeat._thread  # pyright: ignore[reportPrivateUsage]
        undone.append(thread is not None and thread.is_alive())

    async with opened() as first:
        await first.run("paid", {"n": 3}, run_id="r")
    second = opened()
    assert (await second.cancel("r")).compensated == ("hold",)
    await second.aclose()
    assert undone == [True]
