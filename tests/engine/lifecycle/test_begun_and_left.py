"""A caller that leaves while its run is being created: the run is on record, ended, and nothing of it was done."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, RunContext, Status, tool


def slow_begin(orc: Orchestrator, patch: pytest.MonkeyPatch, let: threading.Event) -> threading.Event:
    """Make the store's `begin` wait for `let`; the returned event says that it has been entered."""
    entered, begin = threading.Event(), orc.store.begin

    def slow(*args: Any, **options: Any) -> Any:
        entered.set()
        assert let.wait(10)
        return begin(*args, **options)

    patch.setattr(orc.store, "begin", slow)
    return entered


async def until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


@pytest.mark.parametrize("named", [True, False])
async def test_it_leaves_no_run_without_records(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    @tool(gives="x", effect="write")
    def write() -> str:
        made.append("x")
        return "x"

    let = threading.Event()
    async with Orchestrator([write], store=tmp_path / "runs.db") as orc:
        entered = slow_begin(orc, monkeypatch, let)
        run = asyncio.create_task(orc.run("x", run_id="r" if named else None))
        await until(entered)
        run.cancel()
        await asyncio.sleep(0.02)
        let.set()
        with pytest.raises(asyncio.CancelledError):
            await run
        (row,) = orc.store.runs(limit=10)
        orc.store.flush()
        row = orc.store.run(row.run_id) or row
        assert (row.status, row.count > 0, made) == (Status.ESCALATED, True, [])
        assert orc.verify(row.run_id).ok
        outcome = await orc.resume(row.run_id)
        assert (outcome.status, outcome.calls) == (Status.ESCALATED, ())


async def test_a_child_whose_call_is_cancelled_while_it_is_created_ends_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    @tool(gives="x", effect="write")
    def write() -> str:
        made.append("x")
        return "x"

    @tool(gives="top")
    async def top(ctx: RunContext) -> str:
        entered = slow_begin(orc, monkeypatch, let)
        reaching = asyncio.create_task(ctx.reach("x"))
        await until(entered)
        reaching.cancel()
        await asyncio.sleep(0.02)
        let.set()
        await asyncio.wait({reaching})
        assert reaching.cancelled()
        return "without"

    let = threading.Event()
    async with Orchestrator([write, top], store=tmp_path / "runs.db") as orc:
        assert (await orc.run("top", run_id="r")).value == "without"
        rows = orc.store.runs(limit=10)
        assert (len(rows), made) == (2, [])
        assert all(row.status.ended and orc.verify(row.run_id).ok for row in rows)
