"""A closed orchestrator: what would begin, continue or judge a run raises one error; plans and records can be read."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import InputError, Orchestrator, Status, tool


@tool(gives="doubled")
async def double(number: int) -> int:
    return 2 * number


async def _events(orc: Orchestrator) -> list[Any]:
    return [event async for event in orc.stream("doubled", {"number": 1})]


async def _called(call: Callable[[Orchestrator], Any], orc: Orchestrator, name: str) -> None:
    result = call(orc)
    if asyncio.iscoroutine(result):
        await result
    pytest.fail(f"{name} was accepted")


REFUSED: dict[str, Callable[[Orchestrator], Any]] = {
    "run": lambda orc: orc.run("doubled", {"number": 1}),
    "run of a known id": lambda orc: orc.run("doubled", {"number": 1}, run_id="known"),
    "resume": lambda orc: orc.resume("known"),
    "cancel": lambda orc: orc.cancel("known"),
    "submit": lambda orc: orc.submit("doubled", {"number": 1}),
    "wait": lambda orc: orc.wait("known"),
    "stream": _events,
    "async with": lambda orc: orc.__aenter__(),
    "run_sync": lambda orc: orc.run_sync("doubled", {"number": 1}),
    "with": lambda orc: orc.__enter__(),
    "worker": lambda orc: orc.worker(),
    "feedback": lambda orc: orc.feedback("known", "doubled", True),
    "learn_skills": lambda orc: orc.learn_skills(),
    "compile": lambda orc: orc.compile("doubled").ainvoke({"number": 1}),
    "as_tool": lambda orc: orc.as_tool("doubled").ainvoke({"number": 1}),
}


@pytest.fixture(params=["memory", "file"])
async def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Orchestrator:
    orc = Orchestrator([double], store=None if request.param == "memory" else tmp_path / "runs.db")
    await orc.run("doubled", {"number": 4}, run_id="known")
    await orc.aclose()
    return orc


async def test_what_begins_or_continues_work_raises_one_error(closed: Orchestrator) -> None:
    for name, call in REFUSED.items():
        with pytest.raises(InputError, match="orchestrator is closed"):
            await _called(call, closed, name)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left


async def test_plans_and_records_can_be_read(closed: Orchestrator) -> None:
    assert closed.plan("doubled", {"number": 1}).tools == ("double",)
    assert closed.outcome("known").status is Status.REACHED
    assert closed.verify("known").ok
    assert closed.replay("known").agrees
    await closed.aclose()
    closed.close()


async def test_what_was_made_before_the_end_is_refused_after_it() -> None:
    orc = Orchestrator([double])
    graph, as_tool, stream = orc.compile("doubled"), orc.as_tool("doubled"), orc.stream("doubled", {"number": 1})
    await orc.aclose()
    for call in (lambda: graph.ainvoke({"number": 1}), lambda: as_tool.ainvoke({"number": 1}), lambda: anext(stream)):
        with pytest.raises(InputError, match="orchestrator is closed"):
            await call()


@pytest.mark.parametrize("store", [None, "runs.db"])
async def test_a_closing_that_is_cancelled_closes_the_rest(store: str | None, tmp_path: Path) -> None:
    begun = asyncio.Event()

    @tool(gives="sent", effect="write", compensate=lambda output: None)
    async def send(number: int) -> int:
        begun.set()
        await asyncio.sleep(0.5)
        return number

    before, threads = asyncio.all_tasks(), set(threading.enumerate())
    orc = Orchestrator([send], store=tmp_path / store if store else None)
    run = asyncio.create_task(orc.run("sent", {"number": 1}))
    await begun.wait()
    closing = asyncio.create_task(orc.aclose())
    for _ in range(5):  # it has begun, and the write takes longer
        await asyncio.sleep(0)
    closing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await closing
    assert closing.cancelled() or store is not None  # a run of a durable store is released without waiting for it
    await asyncio.gather(run, return_exceptions=True)
    assert asyncio.all_tasks() == before
    left = [thread for thread in threading.enumerate() if thread not in threads and "heartbeat" in thread.name]
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)
