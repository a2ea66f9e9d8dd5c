"""An async tool that blocks the event loop is reported, with how long; one that awaits is not."""

import asyncio
import time

import pytest

from orchestrator import Event, Orchestrator, ProblemReported, Tool
from orchestrator.core.calls.user_code import UserCall, call_user


class Problems:
    def __init__(self) -> None:
        self.found: list[ProblemReported] = []

    def on_event(self, event: Event) -> None:
        if isinstance(event, ProblemReported):
            self.found.append(event)


async def blocks(x: int) -> int:
    await asyncio.sleep(0)
    time.sleep(0.12)  # noqa: ASYNC251 -- the mistake that is to be noticed
    return x


async def awaits(x: int) -> int:
    await asyncio.sleep(0.12)
    return x


@pytest.mark.parametrize(("call", "reported"), [(blocks, True), (awaits, False)])
async def test_a_blocking_tool_is_named_with_its_time(
    call: object, reported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.engine.steps.invocation.BLOCKING_SECONDS", 0.1)
    problems = Problems()
    async with Orchestrator([Tool(call, name="shop", needs=["x"], gives="y")]) as orc:  # type: ignore[arg-type]
        orc.add_sink(problems)
        outcome = await orc.run("y", {"x": 1})
    assert outcome.value == 1
    assert [each.source for each in problems.found] == (["shop"] if reported else [])
    assert all("blocked the event loop for 0.1 s" in each.message for each in problems.found)


async def test_errors_and_cancellation_go_through() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await call_user(fails)
    seen: list[str] = []

    async def swallows() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "never"

    task = asyncio.ensure_future(call_user(swallows))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_the_longest_step_is_measured() -> None:
    call = UserCall(blocks, (1,))
    assert await call.result() == 1
    assert 0.1 < call.longest < 5


@pytest.mark.parametrize("name", ["in_thread", "call", "self", "kwargs"])
async def test_a_parameter_may_have_any_name(name: str) -> None:
    takes: dict[str, object] = {}
    exec(f"def f(*, {name}: int) -> int:\n    return {name}", takes)
    async with Orchestrator([Tool(takes["f"], gives="y")]) as orc:  # type: ignore[arg-type]
        assert (await orc.run("y", {name: 7})).value == 7
