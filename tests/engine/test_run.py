"""A run that has ended is freed at once: nothing of it refers back to it, so the garbage collector has no work."""

import asyncio
import gc
import weakref
from collections.abc import Generator

import pytest

from orchestrator import Orchestrator, RunContext, Tool


@pytest.fixture(autouse=True)
def no_collector() -> Generator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_an_ended_run_is_freed_without_the_garbage_collector() -> None:
    driven = list[weakref.ref[object]]()

    async def first(x: int, ctx: RunContext) -> int:
        driven.append(weakref.ref(orc._runtime.runs.live(ctx.run_id)))  # pyright: ignore[reportPrivateUsage]
        return x

    async def second(first: int) -> int:
        return first

    async with Orchestrator([Tool(first), Tool(second)]) as orc:
        for _ in range(3):
            assert (await orc.run("second", {"x": 1})).value == 1
        await asyncio.sleep(0)  # the event loop still holds the callback that it has just called
        assert len(driven) == 3
        assert [run() for run in driven] == [None, None, None]


async def test_so_is_a_child_run_when_its_root_has_ended() -> None:
    driven = list[weakref.ref[object]]()

    async def inner(x: int, ctx: RunContext) -> int:
        driven.append(weakref.ref(orc._runtime.runs.live(ctx.run_id)))  # pyright: ignore[reportPrivateUsage]
        return x

    async def outer(x: int, ctx: RunContext) -> int:
        return (await ctx.reach("inner", {"x": x})).value

    async with Orchestrator([Tool(inner), Tool(outer)]) as orc:
        assert (await orc.run("outer", {"x": 1})).value == 1
        await asyncio.sleep(0)
        assert [run() for run in driven] == [None]
