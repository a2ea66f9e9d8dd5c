"""The public test doubles: a fake clock, faults on purpose, scripted chat models."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from orchestrator.core.enums import FailureKind
from orchestrator.engine.threads import Threads
from orchestrator.errors import CallerError, DefinitionError, InputError, RateLimited, Refused, Unavailable
from orchestrator.graph.tool import Tool, tool
from orchestrator.testing import (
    FakeClock,
    ScriptedChatModel,
    corrupt,
    fail,
    flap,
    hang,
    lose_answer,
    parse_fault,
    rate_limit,
    refuse,
    slow,
)


def _tool() -> Tool:
    @tool(gives="b", effect="write", cost=0.5)
    async def double(a: int) -> int:
        return 2 * a

    return double


def _plain_tool() -> Tool:
    @tool(gives="b")
    def double(a: int) -> int:
        return 2 * a

    return double


def _negated(output: int) -> int:
    return -output


async def outcomes(broken: Tool, calls: int) -> list[Any]:
    """What the calls of a tool gave: an output, or the type of the error."""
    found: list[Any] = []
    for _ in range(calls):
        try:
            result = broken(a=2)
            found.append(await result if broken.is_async else result)
        except Exception as error:
            found.append(type(error))
    return found


# ------------------------------------------------------------------ the clock


async def test_sleepers_wake_in_order_without_real_time() -> None:
    clock, woken = FakeClock(), list[tuple[str, float]]()

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    await asyncio.gather(sleeper("hour", 3600), sleeper("minute", 60), sleeper("second", 1))
    assert woken == [("second", 1), ("minute", 60), ("hour", 3600)]


async def test_a_chain_of_sleeps_adds_up() -> None:
    clock = FakeClock(start=1000.0)
    for _ in range(100):
        await clock.sleep(10)
    assert clock.monotonic() == 1000
    assert clock.time() == 2000


async def test_a_deadline_alone_does_not_make_it_jump() -> None:
    clock, done = FakeClock(), asyncio.Event()
    waiter = asyncio.create_task(clock.wait_for(done.wait(), 5))
    await asyncio.sleep(0.02)
    assert not waiter.done()
    assert clock.monotonic() == 0
    done.set()
    assert await waiter is True


async def test_deadlines_fire_on_the_way_to_a_later_sleep() -> None:
    clock = FakeClock()

    async def hopeless() -> float:
        with pytest.raises(TimeoutError):
            await clock.wait_for(asyncio.Event().wait(), 5)
        return clock.monotonic()

    at, _ = await asyncio.gather(hopeless(), clock.sleep(100))
    assert at == 5
    assert clock.monotonic() == 100


async def test_a_deadline_cuts_a_sleep_short() -> None:
    clock = FakeClock()
    with pytest.raises(TimeoutError):
        await clock.wait_for(clock.sleep(60), 5)
    assert clock.monotonic() == 5


async def test_a_deadline_that_is_over_is_at_once() -> None:
    with pytest.raises(TimeoutError):
        await FakeClock().wait_for(asyncio.Event().wait(), 0)


async def test_work_within_its_deadline_leaves_nothing_behind() -> None:
    clock = FakeClock()
    assert await clock.wait_for(asyncio.sleep(0, "done"), 5) == "done"
    await clock.sleep(10)
    assert clock.monotonic() == 10


async def test_advance_fires_what_is_due_and_nothing_else() -> None:
    clock = FakeClock()
    first = asyncio.create_task(clock.wait_for(asyncio.Event().wait(), 3))
    second = asyncio.create_task(clock.wait_for(asyncio.Event().wait(), 30))
    await asyncio.sleep(0)
    clock.advance(10)
    with pytest.raises(TimeoutError):
        await first
    assert not second.done()
    assert clock.monotonic() == 10
    second.cancel()


def test_advance_goes_forward_only() -> None:
    with pytest.raises(ValueError, match="forward"):
        FakeClock().advance(-1)


async def test_a_cancelled_sleep_does_not_move_time() -> None:
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(1000))
    await asyncio.sleep(0)
    sleeper.cancel()
    await asyncio.gather(sleeper, return_exceptions=True)
    await clock.sleep(1)
    assert clock.monotonic() == 1


async def test_ready_work_goes_before_a_jump() -> None:
    clock, steps = FakeClock(), list[str]()

    async def worker() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        steps.append(f"worked until {clock.monotonic():g}")

    async def sleeper() -> None:
        await clock.sleep(1)
        steps.append("slept")

    await asyncio.gather(sleeper(), worker())
    assert steps == ["worked until 0", "slept"]


@pytest.mark.parametrize(
    "in_thread", [asyncio.to_thread, lambda work: Threads().run(work)], ids=["any thread", "threads of sync tools"]
)
async def test_a_thread_at_work_is_waited_for(in_thread: Callable[[Callable[[], float]], Awaitable[float]]) -> None:
    clock, gate = FakeClock(), threading.Event()

    def work() -> float:
        gate.wait(5)
        return clock.monotonic()

    async def open_gate() -> None:
        await asyncio.sleep(0.03)
        gate.set()

    at, _, _ = await asyncio.gather(in_thread(work), clock.sleep(1000), open_gate())
    assert at == 0
    assert clock.monotonic() == 1000


def _program(seed: int) -> list[tuple[str, float]]:
    """A little system of sleepers, deadlines and a queue; what it did, and when."""
    clock, log = FakeClock(), list[tuple[str, float]]()

    async def producer(queue: asyncio.Queue[int]) -> None:
        for number in range(20):
            await clock.sleep((number * 7 + seed) % 5 + 0.25)
            await queue.put(number)

    async def consumer(name: str, queue: asyncio.Queue[int]) -> None:
        while True:
            try:
                number = await clock.wait_for(queue.get(), 3)
            except TimeoutError:
                log.append((f"{name} gave up", clock.monotonic()))
                continue
            await clock.sleep(number % 3)
            log.append((f"{name} did {number}", clock.monotonic()))

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        workers = [asyncio.create_task(consumer(name, queue)) for name in "ab"]
        await producer(queue)
        await clock.sleep(10)
        for worker in workers:
            worker.cancel()

    asyncio.run(main())
    return log


@pytest.mark.parametrize("seed", range(5))
def test_a_pure_program_runs_the_same_way_every_time(seed: int) -> None:
    first = _program(seed)
    assert len(first) > 20
    assert all(_program(seed) == first for _ in range(5))


def test_one_clock_serves_several_loops() -> None:
    clock = FakeClock()
    for _ in range(3):
        asyncio.run(clock.sleep(10))
    assert clock.monotonic() == 30


# ------------------------------------------------------------------ faults


@pytest.mark.parametrize("make", [_tool, _plain_tool])
async def test_fail_the_first_times(make: Callable[[], Tool]) -> None:
    assert await outcomes(fail(make(), times=2), 3) == [Unavailable, Unavailable, 4]
    assert await outcomes(fail(make()), 3) == [Unavailable] * 3
    assert await outcomes(fail(make(), error=TimeoutError), 1) == [TimeoutError]
    assert await outcomes(fail(make(), error=KeyError("k")), 1) == [KeyError]
    assert await outcomes(fail(make(), error=FailureKind.CALLER_ERROR), 1) == [CallerError]


@pytest.mark.parametrize("make", [_tool, _plain_tool])
async def test_the_other_faults(make: Callable[[], Tool]) -> None:
    assert await outcomes(refuse(make()), 1) == [Refused]
    assert await outcomes(rate_limit(make(), times=1, retry_after=3), 2) == [RateLimited, 4]
    assert await outcomes(flap(make(), pattern="110"), 6) == [Unavailable, Unavailable, 4] * 2
    assert await outcomes(corrupt(make(), "junk", times=1), 2) == ["junk", 4]
    assert await outcomes(corrupt(make(), _negated), 1) == [-4]


async def test_a_lost_answer_is_an_effect_that_took_place() -> None:
    done: list[int] = []

    @tool(gives="b", effect="write")
    def pay(a: int) -> int:
        done.append(a)
        return a

    assert await outcomes(lose_answer(pay, times=1), 2) == [TimeoutError, 2]
    assert done == [2, 2]


@pytest.mark.parametrize("make", [_tool, _plain_tool])
async def test_slow_and_hang_follow_the_clock(make: Callable[[], Tool]) -> None:
    clock = FakeClock()
    assert await outcomes(slow(make(), 1.5, clock=clock), 2) == [4, 4]
    assert clock.monotonic() == 3
    with pytest.raises(TimeoutError):
        await clock.wait_for(hang(make(), clock=clock)(a=2), 20)
    assert clock.monotonic() == 23


def test_a_broken_tool_is_the_same_tool_in_all_else() -> None:
    good = _tool()
    broken = fail(good)
    assert (broken.name, broken.gives, broken.effect, broken.cost, broken.signature) == (
        good.name,
        good.gives,
        good.effect,
        good.cost,
        good.signature,
    )
    assert broken is not good
    assert good.call is not broken.call


async def test_faults_are_decorators_too() -> None:
    @fail(times=1)
    @tool(gives="b")
    def double(a: int) -> int:
        return 2 * a

    assert await outcomes(double, 2) == [Unavailable, 4]


def test_a_pattern_needs_a_turn() -> None:
    with pytest.raises(DefinitionError, match="pattern"):
        flap(_tool(), pattern="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("double=outage", [Unavailable] * 3),
        ("double=fail:2", [Unavailable, Unavailable, 4]),
        ("double=fail", [Unavailable] * 3),
        ("double=refuse:1", [Refused, 4, 4]),
        ("double=rate_limit:1", [RateLimited, 4, 4]),
        ("double=rate-limit:1", [RateLimited, 4, 4]),
        ("double=corrupt:1", [None, 4, 4]),
        ("double=flap:2/3", [Unavailable, Unavailable, 4]),
        ("double=slow:0", [4, 4, 4]),
        (" double = lose_answer:1 ", [TimeoutError, 4, 4]),
    ],
)
async def test_faults_of_the_command_line(text: str, expected: list[Any]) -> None:
    name, break_ = parse_fault(text)
    assert name == "double"
    assert await outcomes(break_(_tool()), 3) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("double", "tool=fault"),
        ("=outage", "tool=fault"),
        ("double=", "tool=fault"),
        ("double=outtage", "Did you mean 'outage'"),
        ("double=fail:x", r"fail\[:times\]"),
        ("double=fail:0", r"fail\[:times\]"),
        ("double=outage:3", "outage"),
        ("double=slow:-1", r"slow\[:seconds\]"),
        ("double=slow:nan", r"slow\[:seconds\]"),
        ("double=flap:4/3", "failing/turns"),
        ("double=flap:1", "failing/turns"),
    ],
)
def test_nonsense_faults_are_clear_errors(text: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        parse_fault(text)


# ------------------------------------------------------------------ scripted chat models


class Choice(BaseModel):
    """An answer with a schema."""

    number: int


async def test_a_script_is_followed_and_counted() -> None:
    call = AIMessage("", tool_calls=[{"name": "look", "args": {"at": "x"}, "id": "1"}])
    model = ScriptedChatModel(["hello", call, TimeoutError("slow")])
    assert model.invoke("hi").content == "hello"
    assert (await model.ainvoke("look")).tool_calls[0]["args"] == {"at": "x"}
    with pytest.raises(TimeoutError, match="slow"):
        model.invoke("again")
    with pytest.raises(AssertionError, match="call 4"):
        model.invoke("more")
    assert model.calls == 4
    assert [messages[0].content for messages in model.received] == ["hi", "look", "again", "more"]


def test_a_repeated_script_never_ends() -> None:
    model = ScriptedChatModel("yes", repeat=True)
    assert [model.invoke("?").content for _ in range(3)] == ["yes"] * 3
    message = model.invoke("?")
    assert isinstance(message, AIMessage)
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 15


def test_bound_tools_are_kept_and_share_the_script() -> None:
    model = ScriptedChatModel(["one", "two"])

    def look(at: str) -> str:
        """Look at something."""
        return at

    bound = model.bind_tools([look])
    assert bound.invoke("?").content == "one"
    assert model.calls == 1
    assert model.bound[0]["function"]["name"] == "look"


def test_structured_output_from_json_a_model_or_a_tool_call() -> None:
    call = AIMessage("", tool_calls=[{"name": "Choice", "args": {"number": 3}, "id": "1"}])
    model = ScriptedChatModel([{"number": 1}, Choice(number=2), call, '{"number": "four"}'])
    structured = model.with_structured_output(Choice)
    assert [structured.invoke("?") for _ in range(3)] == [Choice(number=n) for n in (1, 2, 3)]
    raw = ScriptedChatModel("nonsense").with_structured_output(Choice, include_raw=True).invoke("?")
    assert raw["parsed"] is None
    assert raw["parsing_error"] is not None


async def test_the_script_streams() -> None:
    chunks = [chunk.content async for chunk in ScriptedChatModel("hello").astream("hi")]
    assert "".join(str(chunk) for chunk in chunks) == "hello"


def test_what_a_fault_is_given_by_position_is_checked() -> None:
    wrong: Any = "twice"
    good = Tool(lambda: 1, name="good")
    for broken in (lambda: fail(wrong), lambda: fail(good, wrong), lambda: fail(wrong.upper)):
        with pytest.raises(DefinitionError, match="times is a whole number, not"):
            broken()
