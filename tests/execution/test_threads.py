"""The threads of sync tools: reused, never in the way, and holding nothing of a call that is over."""

import asyncio
import contextlib
import gc
import threading
import time
import weakref

import pytest

from orchestrator.execution.threads import Threads


class Large:
    """Something that a call holds."""


async def test_a_failed_call_keeps_nothing_alive() -> None:
    held: list[weakref.ref[Large]] = []

    def call() -> None:
        large = Large()
        held.append(weakref.ref(large))
        raise ValueError("no")

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            await Threads().run(call)
        for _ in range(200):
            if held[0]() is None:
                break
            await asyncio.sleep(0.01)  # the thread is just leaving the call
        assert held[0]() is None, "only the collector of cycles would free it"
    finally:
        gc.enable()


async def test_an_idle_thread_is_used_again_and_a_busy_one_is_not_waited_for() -> None:
    threads, free = Threads(), threading.Event()

    async def name() -> str:
        return await threads.run(lambda: f"{threading.get_ident()}")

    first = await name()
    await asyncio.sleep(0.05)
    assert await name() == first
    stuck = asyncio.create_task(threads.run(lambda: (free.wait(20), threading.get_ident())[1]))
    await asyncio.sleep(0.05)
    assert await name() != first
    free.set()
    assert f"{await stuck}" == first


async def test_a_call_that_nobody_waits_for_any_more_is_left_to_finish() -> None:
    threads, done = Threads(), threading.Event()
    task = asyncio.create_task(threads.run(lambda: (time.sleep(0.1), done.set())))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(done.wait, 20)


async def test_stop_iteration_is_an_error_like_any_other() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await Threads().run(lambda: next(iter(())))
