"""`run_sync`: one event loop for all calls, in notebooks and threads, after a fork, under Ctrl-C."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path

import pytest

from orchestrator import Orchestrator, RunContext, Status, tool
from orchestrator.core.process.loops import LoopThread


def loop_threads() -> int:
    """Threads of `run_sync` that are alive."""
    return sum(thread.name == "orchestrator-run-sync" for thread in threading.enumerate())


@tool(gives="loop")
async def loop() -> int:
    """The event loop that it runs in."""
    return id(asyncio.get_running_loop())


def test_all_calls_share_one_event_loop_and_closing_ends_it() -> None:
    before = loop_threads()
    orc = Orchestrator([loop])
    assert orc.run_sync("loop").value == orc.run_sync("loop").value
    assert loop_threads() == before + 1
    orc.close()
    assert loop_threads() == before


async def test_it_works_in_a_running_event_loop_and_closing_from_there_ends_the_thread() -> None:
    before = loop_threads()
    async with Orchestrator([loop]) as orc:
        assert orc.run_sync("loop").value != id(asyncio.get_running_loop())
        assert (await orc.run("loop")).value == id(asyncio.get_running_loop())
    assert loop_threads() == before


def test_an_async_tool_may_call_it_in_its_own_event_loop() -> None:
    @tool(gives="outer")
    async def outer() -> int:
        return int(orc.run_sync("loop").value)

    orc = Orchestrator([loop, outer])
    assert orc.run_sync("outer").status is Status.REACHED
    orc.close()


def test_a_tool_that_raises_keyboard_interrupt_does_not_end_the_event_loop() -> None:
    @tool(gives="broken", retries=0)
    async def broken() -> int:
        raise KeyboardInterrupt

    orc = Orchestrator([loop, broken])
    assert orc.run_sync("broken").status is Status.ESCALATED
    assert orc.run_sync("loop").status is Status.REACHED
    orc.close()


def test_many_threads_may_call_at_once() -> None:
    orc = Orchestrator([loop])
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(orc.run_sync("loop").value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    orc.close()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_question_stays_with_its_suspended_call() -> None:
    calls: list[str] = []

    @tool(gives="answer")
    async def ask(ctx: RunContext) -> str:
        calls.append("begun")
        return str(await ctx.wait("Which?", str))

    orc = Orchestrator([ask])
    waiting = orc.run_sync("answer")
    assert waiting.status is Status.WAITING
    outcome = asyncio.run(orc.resume(waiting.run_id, "this one"))
    assert outcome.value == "this one"
    assert calls == ["begun"]
    orc.close()


def test_an_idle_loop_ends_and_an_orchestrator_that_nobody_closed_is_collected() -> None:
    before = loop_threads()
    orc = Orchestrator([loop])
    orc._sync_calls = LoopThread(lambda: False, idle_seconds=0.05)  # pyright: ignore[reportPrivateUsage]
    orc.run_sync("loop")
    gone = weakref.ref(orc)
    del orc
    until = time.monotonic() + 10
    while loop_threads() > before and time.monotonic() < until:
        time.sleep(0.01)
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_begins_its_own_loop() -> None:
    program = """
        import os
        from orchestrator import Orchestrator, tool

        @tool(gives="pid")
        async def pid() -> int:
            return os.getpid()

        orc = Orchestrator([pid])
        assert orc.run_sync("pid").value == os.getpid()
        child = os.fork()
        if child == 0:
            assert orc.run_sync("pid").value == os.getpid()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert orc.run_sync("pid").value == os.getpid()
        orc.close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


INTERRUPTED = """
    import asyncio, sys, time
    from orchestrator import Orchestrator, Policy, tool

    @tool(gives="answer", effect="write", timeout=60)
    def slow() -> int:
        print("begun", flush=True)
        time.sleep(float(sys.argv[2]))
        print("ended", flush=True)
        return 1

    @tool(gives="read", timeout=60)
    async def slow_read() -> int:
        print("begun", flush=True)
        await asyncio.sleep(60)
        return 1

    orc = Orchestrator([slow, slow_read], policy=Policy(patience=30))

    async def inside():
        orc.run_sync(sys.argv[1])

    began = time.monotonic()
    try:
        if sys.argv[3] == "inside":
            asyncio.run(inside())
        else:
            orc.run_sync(sys.argv[1])
    except KeyboardInterrupt:
        print("interrupted", [row.status.value for row in orc.store.runs()], flush=True)
"""


def interrupted(tmp_path: Path, *arguments: str, times: int = 1) -> str:
    """What a program printed that was interrupted so often while its call was going on."""
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(INTERRUPTED))
    process = subprocess.Popen([sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    said, _ = process.communicate(timeout=30)
    return said


@pytest.mark.parametrize("where", ["plain", "inside"])
def test_ctrl_c_cancels_a_read_at_once(tmp_path: Path, where: str) -> None:
    assert interrupted(tmp_path, "read", "60", where) == "interrupted ['escalated']\n"


@pytest.mark.parametrize("where", ["plain", "inside"])
def test_ctrl_c_lets_a_write_in_flight_finish(tmp_path: Path, where: str) -> None:
    assert interrupted(tmp_path, "answer", "0.6", where) == "ended\ninterrupted ['escalated']\n"


@pytest.mark.parametrize("where", ["plain", "inside"])
def test_a_second_ctrl_c_does_not_wait_for_a_write(tmp_path: Path, where: str) -> None:
    began = time.monotonic()
    said = interrupted(tmp_path, "answer", "20", where, times=2)
    assert said == "interrupted ['escalated']\n"
    assert time.monotonic() - began < 15
