"""What closing leaves of calls whose threads cannot be ended: no task, no idle thread, and limits that still count."""

import asyncio
import threading
import time

import pytest

from orchestrator import Orchestrator, Policy, Status, tool
from orchestrator.engine.slots import THREADS


def tool_threads() -> int:
    """Threads of sync tools that are alive."""
    return sum(thread.name == "orchestrator-tool" for thread in threading.enumerate())


async def until(wanted: int) -> None:
    """Wait until so many threads of tools are alive."""
    for _ in range(200):
        if tool_threads() <= wanted:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{tool_threads()} threads of tools are alive")


async def test_closing_leaves_no_task_of_a_thread_that_still_runs(caplog: pytest.LogCaptureFixture) -> None:
    before, started, hold = tool_threads(), threading.Event(), threading.Event()

    @tool(gives="answer")
    def slow() -> int:
        started.set()
        hold.wait(10)
        return 1

    orc = Orchestrator([slow])
    caller = asyncio.create_task(orc.run("answer"))
    await asyncio.to_thread(started.wait, 10)
    await orc.aclose()
    outcome = await caller
    assert outcome.status is Status.ESCALATED
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert "call:slow was given up and still runs" in caplog.text
    assert THREADS.given_up["slow"] == 1
    hold.set()
    await until(before)
    assert THREADS.given_up["slow"] == 0


async def test_closing_ends_idle_threads_at_once() -> None:
    ran_in: list[threading.Thread] = []

    @tool(gives="answer")
    def answer() -> int:
        ran_in.append(threading.current_thread())
        return 1

    async with Orchestrator([answer]) as orc:
        assert (await orc.run("answer")).value == 1
    await asyncio.to_thread(ran_in[0].join, 3)
    assert not ran_in[0].is_alive()


def test_a_limit_counts_a_thread_that_outlives_its_event_loop() -> None:
    running: list[int] = []
    most: list[int] = []

    @tool(gives="answer", max_concurrency=1, timeout=0.05, retries=0)
    def slow(wait: float) -> int:
        running.append(1)
        most.append(len(running))
        time.sleep(wait)
        running.pop()
        return 1

    orc = Orchestrator([slow], policy=Policy(patience=0))
    assert asyncio.run(orc.run("answer", {"wait": 0.6})).status is Status.ESCALATED  # its loop ends before its thread
    asyncio.run(orc.run("answer", {"wait": 0.0}))
    orc.close()
    assert max(most) == 1
