"""A worker that lost its run stops at once: it undoes nothing, and gives the outcome that its new owner recorded."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from orchestrator import NOT_DONE, Orchestrator, RunContext, Status, Tool


class World:
    """What two owners of one run do."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.go = asyncio.Event()

    def tools(self, who: str, *, slow: bool, nested: bool) -> list[Tool]:
        """A hold that can be undone, a look that takes long for one of them, and a booking."""

        async def hold() -> str:
            self.log.append((who, "hold"))
            return "h"

        async def undo(output: str) -> None:
            self.log.append((who, "undo"))

        async def look(hold: str) -> str:
            if slow:
                await self.go.wait()
            return "l"

        async def book(hold: str, look: str) -> str:
            self.log.append((who, "book"))
            return "b"

        async def trip(ctx: RunContext) -> str:
            return str((await ctx.reach("book")).value)

        def held() -> object:
            return "h" if any(what == "hold" for _, what in self.log) else NOT_DONE

        made = [
            Tool(hold, gives="hold", effect="write", compensate=undo, reconcile=held),
            Tool(look, gives="look"),
            Tool(book, gives="book", effect="write", reconcile=lambda: NOT_DONE),
        ]
        return [*made, Tool(trip, gives="trip")] if nested else made


def take_over(where: Path) -> None:
    """The statement of another process: everything there is becomes somebody else's, who gives it back."""
    connection = sqlite3.connect(where)
    with connection:
        connection.execute("UPDATE orchestrator_runs SET token = token + 1, owner = ''")
    connection.close()


@pytest.mark.parametrize("nested", [False, True])
async def test_a_fenced_worker_undoes_nothing_and_gives_the_recorded_outcome(nested: bool, tmp_path: Path) -> None:
    world, where = World(), tmp_path / "runs.db"
    goal = "trip" if nested else "book"
    first = Orchestrator(world.tools("A", slow=True, nested=nested), store=where)
    second = Orchestrator(world.tools("B", slow=False, nested=nested), store=where)
    async with first, second:
        losing = asyncio.create_task(first.run(goal, run_id="r"))
        for _ in range(500):
            await asyncio.sleep(0.02)
            if world.log:
                break
        for _ in range(500):
            await asyncio.sleep(0.02)
            if any(
                record.kind == "CallEnded" for row in first.store.runs() for record in first.store.records(row.run_id)
            ):
                break
        await asyncio.to_thread(take_over, where)
        taken = await second.resume("r")
        assert (taken.status, taken.value) == (Status.REACHED, "b")
        world.go.set()
        lost = await asyncio.wait_for(losing, 60)
        assert (lost.status, lost.value, lost.compensated, lost.uncompensated) == (Status.REACHED, "b", (), ())
        assert world.log == [("A", "hold"), ("B", "book")]
        assert second.verify("r").ok
        assert second.replay("r").agrees
