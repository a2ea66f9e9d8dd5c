"""A process dies while a child's effect is being undone: `reconcile` is asked, as for an effect of the run itself."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from orchestrator import NOT_DONE, Orchestrator, Refused, RunContext, Status, Tool
from tests.support.forked import processes


def tools(folder: Path, dies: str, knows: bool) -> list[Tool]:
    """A parent that fails after its child wrote; undoing that dies `before` or `after` it took place."""
    world = folder / "world"

    def book() -> str:
        world.write_text("booked")
        return "booking"

    def cancel(output: str) -> None:
        if dies == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        with (folder / "undoings").open("a") as log:
            log.write(f"{output}\n")
        world.unlink()
        if dies == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    def look() -> object:
        return "booking" if world.exists() else NOT_DONE

    async def trip(ctx: RunContext) -> str:
        await ctx.reach("middle")
        raise Refused("no trip")

    async def middle(ctx: RunContext) -> str:
        return str((await ctx.reach("booking")).value)

    write = Tool(book, gives="booking", effect="write", compensate=cancel, reconcile=look if knows else None)
    return [write, Tool(middle, gives="middle"), Tool(trip, gives="trip")]


def run_and_die(folder: str, dies: str, knows: bool) -> None:
    """The first life."""
    orc = Orchestrator(tools(Path(folder), dies, knows), store=Path(folder) / "runs.db")
    asyncio.run(orc.run("trip", run_id="r"))


@pytest.mark.parametrize("dies", ["before", "after"])
@pytest.mark.parametrize("knows", [True, False])
async def test_reconcile_tells_whether_the_effect_of_a_child_still_stands(
    dies: str, knows: bool, tmp_path: Path
) -> None:
    process = processes().Process(target=run_and_die, args=(str(tmp_path), dies, knows))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    async with Orchestrator(tools(tmp_path, "", knows), store=tmp_path / "runs.db") as orc:
        out = await orc.resume("r")
        assert out.status is Status.ESCALATED
        stands = (tmp_path / "world").exists()
        undoings = len((tmp_path / "undoings").read_text().split()) if (tmp_path / "undoings").exists() else 0
        if knows:
            assert (stands, undoings) == (False, 1)
            assert (out.compensated, out.uncompensated) == (("book",), ())
        else:  # its answer was lost and nobody can tell: it is not repeated blindly, and listed
            assert undoings == (dies == "after")
            assert (out.compensated, out.uncompensated) == ((), ("book",))
        assert orc.verify("r").ok
        assert orc.replay("r").agrees
