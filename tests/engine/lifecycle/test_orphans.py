"""Children that a dead process left behind: they end with the run above, and what they did is undone or listed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, RunContext, Status, Tool, tool


class Shop:
    """Writes below a parent, of which one child never ends by itself."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.goals = ["q", "s"]
        self.slow = True

    def tools(self) -> list[Tool]:
        @tool(gives="w", effect="write", compensate=lambda output: self.log.append(f"undo {output}"))
        async def write() -> str:
            self.log.append("w")
            return "w"

        @tool(gives="q")
        async def ask(w: str, ctx: RunContext) -> Any:
            return await ctx.wait("q?")

        @tool(gives="s")
        async def sleep(w: str) -> str:
            await asyncio.sleep(60 if self.slow else 0)
            return "s"

        @tool(gives="t")
        async def top(ctx: RunContext) -> Any:
            return [out.value for out in await asyncio.gather(*(ctx.reach(goal) for goal in self.goals))]

        return [write, ask, sleep, top]

    async def run_and_leave(self, store: Path) -> None:
        """A process whose children wait and work when it goes."""
        orc = Orchestrator(self.tools(), store=store)
        running = asyncio.create_task(orc.run("t", run_id="r"))
        for _ in range(500):
            await asyncio.sleep(0.02)
            if len(self.log) == 2 and any(row.status is Status.WAITING for row in orc.store.runs(parent="r")):
                break
        await orc.aclose()
        await asyncio.wait({running})


async def test_cancelling_the_run_above_undoes_what_they_did(tmp_path: Path) -> None:
    shop = Shop()
    await shop.run_and_leave(tmp_path / "runs.db")
    async with Orchestrator(shop.tools(), store=tmp_path / "runs.db") as orc:
        out = await orc.cancel("r")
        assert (out.status, out.compensated, out.uncompensated) == (Status.ESCALATED, ("write", "write"), ())
        assert shop.log == ["w", "w", "undo w", "undo w"]
        orc.store.flush(timeout=30)  # a read waits half a second for what is enqueued, a busy disk takes longer
        rows = orc.store.runs(limit=10)
        assert all(row.status is Status.ESCALATED and orc.verify(row.run_id).ok for row in rows)
        assert orc.replay("r").agrees


@pytest.mark.parametrize("again", [["s"], []])
async def test_those_that_are_not_reached_for_again_are_undone(again: list[str], tmp_path: Path) -> None:
    shop = Shop()
    await shop.run_and_leave(tmp_path / "runs.db")
    shop.goals, shop.slow = again, False
    async with Orchestrator(shop.tools(), store=tmp_path / "runs.db") as orc:
        out = await orc.resume("r")
        assert (out.status, out.value) == (Status.REACHED, again)
        assert shop.log.count("undo w") == 2 - len(again)
        assert out.uncompensated == ()
        orc.store.flush(timeout=30)
        rows = orc.store.runs(limit=10)
        assert len(rows) == 3
        assert all(row.status.ended and orc.verify(row.run_id).ok for row in rows)
        assert orc.replay("r").agrees
