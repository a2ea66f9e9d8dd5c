"""How parts of a tree end: a child cancelled by its id, closing from blocked code, a reach that is left twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, Outcome, RunContext, Status, Tool, tool


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "runs.db" if request.param == "disk" else None


async def settled(orc: Orchestrator, run_id: str) -> Outcome[Any]:
    for _ in range(3000):
        out = await orc.resume(run_id)
        if out.status is not Status.WAITING:
            return out
        await asyncio.sleep(0.01)
    raise AssertionError("it still waits")


async def test_a_child_that_waits_is_cancelled_by_its_own_id(store: Path | None) -> None:
    @tool(gives="q")
    async def ask(ctx: RunContext) -> Any:
        return await ctx.wait("q?")

    @tool(gives="t")
    async def top(ctx: RunContext) -> str:
        return str((await ctx.reach("q", check=False)).status)

    async with Orchestrator([ask, top], store=store) as orc:
        (question,) = (await orc.run("t", run_id="r")).questions
        assert (await orc.cancel(question.run)).status is Status.ESCALATED
        out = await settled(orc, "r")
        assert (out.value, out.questions) == ("escalated", ())


async def test_a_child_is_answered_by_its_own_id(store: Path | None) -> None:
    @tool(gives="q")
    async def ask(ctx: RunContext) -> Any:
        return await ctx.wait("q?")

    @tool(gives="m")
    async def middle(ctx: RunContext) -> Any:
        return (await ctx.reach("q")).value

    @tool(gives="t")
    async def top(ctx: RunContext) -> Any:
        return (await ctx.reach("m")).value

    async with Orchestrator([ask, middle, top], store=store) as orc:
        (question,) = (await orc.run("t", run_id="r")).questions
        assert (await orc.resume(question.run, "yes")).value == "yes"
        assert (await settled(orc, "r")).value == "yes"


@pytest.mark.parametrize("how", ["close", "aclose"])
async def test_closing_ends_running_and_waiting_children(how: str, store: Path | None) -> None:
    undone: list[str] = []

    @tool(gives="w", effect="write", compensate=undone.append)
    async def write() -> str:
        return "w"

    @tool(gives="q")
    async def ask(w: str, ctx: RunContext) -> Any:
        return await ctx.wait("q?")

    @tool(gives="s")
    async def sleep(w: str) -> None:
        await asyncio.sleep(60)

    @tool(gives="t")
    async def top(ctx: RunContext) -> Any:
        return await asyncio.gather(ctx.reach("q"), ctx.reach("s"))

    before = asyncio.all_tasks()
    orc = Orchestrator([write, ask, sleep, top], store=store)
    running = asyncio.create_task(orc.run("t", run_id="r"))
    async with asyncio.timeout(30):
        for _ in range(500):
            await asyncio.sleep(0.05)
            if len(orc._runtime.runs.all_live()) == 3:  # pyright: ignore[reportPrivateUsage]
                break
        await asyncio.sleep(0.3)
        if how == "close":
            orc.close()
        else:
            await orc.aclose()
        await asyncio.wait({running})
    await asyncio.sleep(0.1)
    assert [task.get_name() for task in asyncio.all_tasks() - before if not task.done()] == []
    if store is not None:
        async with Orchestrator([write, ask, sleep, top], store=store) as later:
            row = later.store.run("r")
            assert row is not None
            assert row.status is Status.RUNNING
    elif how == "aclose":
        assert undone == ["w", "w"]


async def test_a_write_below_finishes_though_its_reach_is_cancelled_twice() -> None:
    done: list[str] = []

    @tool(gives="w", effect="write", compensate=lambda output: done.append(f"undo {output}"))
    async def write() -> str:
        await asyncio.sleep(0.1)
        done.append("w")
        return "w"

    @tool(gives="t")
    async def top(ctx: RunContext) -> str:
        reaching = asyncio.create_task(ctx.reach("w"))
        await asyncio.sleep(0.03)
        reaching.cancel()
        await asyncio.sleep(0.01)
        reaching.cancel()
        await asyncio.wait({reaching})
        return "t"

    out = await Orchestrator([write, top]).run("t")
    assert (out.value, done, out.uncompensated) == ("t", ["w", "undo w"], ())


async def test_one_of_two_who_reach_for_a_key_leaves_alone() -> None:
    async def slow() -> str:
        await asyncio.sleep(0.1)
        return "x"

    @tool(gives="t")
    async def top(ctx: RunContext) -> Any:
        first, second = (asyncio.create_task(ctx.reach("x", key="k")) for _ in range(2))
        await asyncio.sleep(0.03)
        first.cancel()
        return (await second).value

    assert (await Orchestrator([Tool(slow, gives="x"), top]).run("t")).value == "x"


async def test_a_cancellation_binds_while_something_else_has_the_turn_of_the_run() -> None:
    begun: list[str] = []
    started, gate = asyncio.Event(), asyncio.Event()

    @tool(gives="first")
    async def first() -> int:
        started.set()
        await gate.wait()
        return 1

    @tool(gives="second")
    async def second(first: int) -> int:
        begun.append("second")
        return first

    async with Orchestrator([first, second]) as orc:
        running = asyncio.create_task(orc.run("second", run_id="r"))
        await started.wait()
        async with orc._runtime.runs.turn("r"):  # pyright: ignore[reportPrivateUsage]
            cancelling = asyncio.create_task(orc.cancel("r"))
            await asyncio.sleep(0)
            gate.set()
            for _ in range(30):
                await asyncio.sleep(0)
            assert begun == []
        assert (await cancelling).status is Status.ESCALATED
        assert (await running).status is Status.ESCALATED
    assert begun == []
