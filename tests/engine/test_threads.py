"""The threads of sync tools: reused, never in the way, and holding nothing of a call that is over."""

import asyncio
import contextlib
import gc
import threading
import time
import weakref

import pytest

from orchestrator.engine.threads import Threads


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


async def test_a_busy_thread_is_not_waited_for() -> None:
    threads, begun, free = Threads(), threading.Event(), threading.Event()
    stuck = asyncio.create_task(threads.run(lambda: (begun.set(), free.wait(60))))
    assert await asyncio.to_thread(begun.wait, 60)
    assert await threads.run(lambda: 1) == 1
    free.set()
    await stuck


async def test_idle_threads_are_used_again() -> None:
    threads = Threads()
    used: set[str] = set()
    for _ in range(50):
        used.add(await threads.run(lambda: threading.current_thread().name + str(threading.get_ident())))
        await asyncio.sleep(0.002)
    assert len(used) < 50


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
