"""A limit counts exactly the calls that run: also those that lent their slots and are to hold them again."""

import asyncio
from collections.abc import Callable

from orchestrator import Orchestrator, RunContext, tool
from orchestrator.engine.slots import CallSlots, Slots


async def until(holds: Callable[[], bool]) -> None:
    """Returns when it holds."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def test_a_call_that_is_cancelled_while_it_queues_again_gives_back_only_what_it_holds() -> None:
    """It waited for a person without a slot; meanwhile another call took it."""
    gate, running, most = asyncio.Event(), 0, 0

    @tool(gives="out", max_concurrency=1)
    async def work(name: str, ctx: RunContext) -> str:
        nonlocal running, most
        if name == "asks":
            await ctx.wait("Now?", str)
            return name
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        return name

    async with Orchestrator([work]) as orc:
        await orc.run("out", {"name": "asks"}, run_id="asks")
        second = asyncio.create_task(orc.run("out", {"name": "second"}))
        await until(lambda: running == 1)
        answered = asyncio.create_task(orc.resume("asks", "yes"))
        third = asyncio.create_task(orc.run("out", {"name": "third"}))
        limit = orc._runtime.limits["work"]  # pyright: ignore[reportPrivateUsage]
        await until(lambda: limit.waiting == 2)
        await orc.cancel("asks")
        assert (await answered).status == "escalated"
        await asyncio.sleep(0.05)
        assert (most, limit.held) == (1, 1)
        gate.set()
        await asyncio.gather(second, third)
        assert (most, limit.held) == (1, 0)


async def test_slots_that_are_lent_again_while_they_are_queued_for_are_given_back_once() -> None:
    """Two parts of one call wait for children: the second begins to while the first queues for the slot."""
    limit, thread = Slots(lambda: 1), Slots(lambda: 5)
    slots, other, third = (CallSlots(limit, thread) for _ in range(3))
    await slots.acquire()

    queued: asyncio.Task[None] | None = None

    async def part() -> None:
        nonlocal queued
        async with slots.lent_async():
            await other.acquire()
            queued = asyncio.create_task(third.acquire())
            await asyncio.sleep(0)

    queues = asyncio.create_task(part())
    await until(lambda: limit.waiting == 2)
    over = asyncio.Event()

    async def waits() -> None:
        async with slots.lent_async():
            await over.wait()

    waiting = asyncio.create_task(waits())
    await asyncio.sleep(0.01)
    assert queued is not None and not queued.done(), "the other call still holds the only slot"
    assert (limit.held, thread.held) == (1, 1)
    other.release()
    await queued
    third.release()
    await queues
    assert (limit.held, thread.held) == (0, 0), "a call that still waits holds no slot"
    over.set()
    await waiting
    assert (limit.held, thread.held) == (1, 1)
    slots.release()
    slots.release()
    assert (limit.held, thread.held) == (0, 0)


async def test_a_wait_that_outlives_its_call_takes_no_slot() -> None:
    limit = Slots(lambda: 1)
    slots = CallSlots(limit)
    await slots.acquire()
    async with slots.lent_async():
        slots.release()
    with slots.lent():
        pass
    assert limit.held == 0
