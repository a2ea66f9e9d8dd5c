"""What a process remembers of ended runs: outcomes without values, but for runs that may be asked for again."""

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from orchestrator import AskHuman, Orchestrator, Refused, RunContext, Tool, tool
from orchestrator.errors import OrchestratorError


class Big:
    """A value that can be watched."""


class Watched:
    """Tools that make values, and how many of these are still in memory."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[Big]] = []

    @property
    def alive(self) -> int:
        gc.collect()
        return sum(each() is not None for each in self.made)

    def big(self) -> Big:
        made = Big()
        self.made.append(weakref.ref(made))
        return made

    def tools(self) -> list[Tool]:
        async def small(big: Big) -> int:
            return 1

        async def fails(big: Big) -> int:
            raise Refused("no")

        async def parent(ctx: RunContext) -> int:
            return int((await ctx.reach("small")).value)

        made = [Tool(self.big, gives="big"), Tool(small, gives="small"), Tool(fails, gives="never")]
        return [*made, Tool(parent, gives="top")]


@pytest.mark.parametrize("store", ["memory", "disk"])
@pytest.mark.parametrize("goal", ["small", "top", "never"])
async def test_values_of_ended_runs_do_not_stay_in_memory(goal: str, store: str, tmp_path: Path) -> None:
    watched = Watched()
    async with Orchestrator(watched.tools(), store=tmp_path / "runs.db" if store == "disk" else None) as orc:
        for n in range(3):
            await orc.run(goal, run_id=f"r{n}" if n else None)
        for _ in range(100):  # the thread of a call may hold its value until it is scheduled again
            if not watched.alive:
                break
            await asyncio.sleep(0.01)
        assert (len(watched.made), watched.alive) == (3, 0)


async def test_a_run_whose_id_was_chosen_keeps_the_values_of_its_goal_alone() -> None:
    watched = Watched()
    async with Orchestrator(watched.tools()) as orc:
        await orc.run("small", run_id="r")
        again = await orc.run("small", run_id="r")
        assert (dict(again.values), again.value) == ({"small": 1}, 1)


async def test_a_run_that_waited_for_a_person_keeps_the_values_of_its_goal() -> None:
    @tool(gives="x")
    async def ask(ctx: RunContext) -> Any:
        return await ctx.wait("x?")

    async with Orchestrator([ask], escalation=[AskHuman(deadline=3600)]) as orc:
        out = await orc.run("x")
        both = await asyncio.gather(orc.resume(out.run_id, "a"), orc.resume(out.run_id, "b"))
        assert [each.value for each in both] == ["a", "a"]
        assert (await orc.resume(out.run_id)).value == "a"


async def test_a_value_that_was_not_kept_is_one_clear_error() -> None:
    async with Orchestrator([Tool(lambda: 1, name="x", gives="x")]) as orc:
        out = await orc.run("x")
        again = await orc.resume(out.run_id)
        assert again.ok
        with pytest.raises(OrchestratorError, match="not kept after its end"):
            assert again.value
