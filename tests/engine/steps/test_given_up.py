"""A call that was given up may still be running: nothing is believed, nothing tried instead, late results are taken."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator import NOT_DONE, Budget, CircuitState, Orchestrator, Policy, RunContext, Status, Tool, tool
from orchestrator.engine.slots import THREADS

IMPATIENT = Policy(patience=0.1)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds threads until the test is over."""
    event = threading.Event()
    yield event
    event.set()
    for _ in range(200):
        if not THREADS.given_up:
            return
        time.sleep(0.01)


def nap_for(seconds: float) -> int:
    """A tool's function."""
    time.sleep(seconds)
    return 1


async def nap_async(seconds: float) -> int:
    """A tool's function."""
    await asyncio.sleep(seconds)
    return 1


def slow_pay(done: list[str], seconds: float, **options: Any) -> Tool:
    def pay(order: str) -> str:
        time.sleep(seconds)
        done.append(order)
        return f"paid {order}"

    return Tool(pay, gives="receipt", effect="write", timeout=0.05, **options)


async def test_a_sync_write_that_outlives_its_time_out_gives_its_late_result() -> None:
    done: list[str] = []
    pay = slow_pay(done, 0.2, reconcile=lambda order: done[0] if done else NOT_DONE)
    outcome = await Orchestrator([pay]).run("receipt", {"order": "42"})
    assert (outcome.status, outcome.value) == (Status.REACHED, "paid 42")
    assert done == ["42"]
    assert outcome.uncompensated == ()


async def test_a_sync_write_that_outlives_the_deadline_gives_its_late_result() -> None:
    done: list[str] = []
    orc = Orchestrator([slow_pay(done, 0.6)])
    outcome = await orc.run("receipt", {"order": "42"}, budget=Budget(seconds=0.25))
    assert done == ["42"]
    assert outcome.value == "paid 42"


@pytest.mark.parametrize("options", [{}, {"reconcile": lambda order: NOT_DONE}, {"idempotency_key": "key"}])
async def test_while_its_thread_lives_nothing_is_believed_and_nothing_repeated(
    options: dict[str, Any], gate: threading.Event
) -> None:
    calls: list[str] = []

    def pay(order: str, key: str = "") -> str:
        calls.append(order)
        gate.wait(20)
        return "paid"

    made = Tool(pay, name="pay", needs=["order"], gives="receipt", effect="write", timeout=0.05, **options)
    other = Tool(lambda order: "other", name="other", gives="receipt", effect="write", cost=5)
    outcome = await Orchestrator([made, other], policy=IMPATIENT).run("receipt", {"order": "42"})
    assert outcome.status is Status.ESCALATED
    assert calls == ["42"]
    assert outcome.uncompensated == ("pay",)
    assert outcome.failures[0].kind == "ambiguous"


async def test_what_reconcile_finds_is_taken_even_while_the_thread_lives(gate: threading.Event) -> None:
    def pay(order: str) -> str:
        gate.wait(20)
        return "paid"

    made = Tool(pay, gives="receipt", effect="write", timeout=0.05, reconcile=lambda order: "found")
    outcome = await Orchestrator([made], policy=IMPATIENT).run("receipt", {"order": "42"})
    assert outcome.value == "found"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_read_is_rerouted_at_once_and_its_circuit_opens_at_four(
    asynchronous: bool, gate: threading.Event
) -> None:
    calls: list[int] = []

    def hang(n: int) -> str:
        calls.append(n)
        gate.wait(20)
        return "late"

    async def swallow(n: int) -> str:
        calls.append(n)
        while not gate.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        return "late"

    first = Tool(swallow if asynchronous else hang, name="first", gives="x", timeout=0.02, cost=0, retries=0)
    orc = Orchestrator([first, Tool(lambda n: "spare", name="spare", gives="x", cost=1)])
    runs = [await orc.run("x", {"n": n}) for n in range(4 if asynchronous else 6)]
    assert [outcome.value for outcome in runs] == ["spare"] * len(runs)
    assert calls == [0, 1, 2, 3]
    assert orc.health.status("first").circuit is CircuitState.OPEN
    assert "given up" in str(orc.health.status("first").reason)
    gate.set()


async def test_threads_have_a_limit_and_queueing_for_one_is_no_time_out() -> None:
    running, peak = [0], [0]

    def work(n: int) -> int:
        running[0] += 1
        peak[0] = max(peak[0], running[0])
        time.sleep(0.03)
        running[0] -= 1
        return n

    made = Tool(work, gives="y", timeout=0.2)
    orc = Orchestrator([made], policy=Policy(max_threads=4))
    try:
        outcomes = await asyncio.gather(*(orc.run("y", {"n": n}) for n in range(60)))
    finally:
        THREADS.most = 64
    assert [outcome.value for outcome in outcomes] == list(range(60))
    assert peak[0] <= 4


async def test_given_up_threads_never_take_more_than_half_of_the_pool(gate: threading.Event) -> None:
    def hang(n: int) -> str:
        gate.wait(20)
        return "late"

    stuck = [Tool(hang, name=f"stuck{i}", gives=f"x{i}", timeout=0.02, retries=0) for i in range(6)]
    orc = Orchestrator([*stuck, Tool(lambda n: n, name="fine", gives="y")], policy=Policy(max_threads=4))
    try:
        await asyncio.gather(*(orc.run(f"x{i}", {"n": 1}) for i in range(6)))
        assert sum(THREADS.given_up.values()) == 6
        outcomes = await asyncio.gather(*(orc.run("y", {"n": n}) for n in range(10)))
    finally:
        THREADS.most = 64
    assert [outcome.value for outcome in outcomes] == list(range(10))


async def test_a_limit_counts_calls_that_were_given_up(gate: threading.Event) -> None:
    def hang(n: int) -> str:
        gate.wait(20)
        return "late"

    first = Tool(hang, name="first", gives="x", timeout=0.02, retries=0, max_concurrency=1)
    orc = Orchestrator([first])
    await orc.run("x", {"n": 1})
    assert (await orc.run("x", {"n": 2}, budget=Budget(seconds=0.1))).status is Status.ESCALATED
    gate.set()


async def test_a_deadline_holds_while_a_call_waits_for_its_slot() -> None:
    @tool(gives="x", max_concurrency=1)
    async def only(n: int) -> int:
        await asyncio.sleep(0.5)
        return n

    orc = Orchestrator([only])
    first = asyncio.create_task(orc.run("x", {"n": 1}))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    outcome = await orc.run("x", {"n": 2}, budget=Budget(seconds=0.1))
    assert time.monotonic() - began < 0.4
    assert outcome.status is Status.ESCALATED
    await first


async def test_a_limit_follows_the_newest_declaration() -> None:
    running, peak = [0], [0]

    def limited(limit: int) -> Tool:
        async def work(n: int) -> int:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
            await asyncio.sleep(0.01)
            running[0] -= 1
            return n

        return Tool(work, name="work", gives="x", max_concurrency=limit)

    orc = Orchestrator([limited(1)])
    await asyncio.gather(*(orc.run("x", {"n": n}) for n in range(3)))
    assert peak[0] == 1
    with orc.override(limited(8)):
        await asyncio.gather(*(orc.run("x", {"n": n}) for n in range(8)))
    assert peak[0] > 4


async def test_a_call_that_reaches_a_child_or_blocks_in_run_sync_holds_no_slot() -> None:
    @tool(gives="leaf")
    def leaf(n: int) -> int:
        return n

    @tool(gives="tree", max_concurrency=1)
    async def tree(n: int, ctx: RunContext) -> int:
        return n if n == 0 else (await ctx.reach("tree", {"n": n - 1})).value

    def blocking(n: int) -> int:
        return int(orc.run_sync("leaf", {"n": n}).value)

    orc = Orchestrator([leaf, tree, Tool(blocking, gives="blocked")], policy=Policy(max_threads=1))
    try:
        assert (await asyncio.wait_for(orc.run("tree", {"n": 3}), 10)).value == 0
        assert (await asyncio.wait_for(orc.run("blocked", {"n": 7}), 10)).value == 7
    finally:
        THREADS.most = 64


# -- compensations ---------------------------------------------------------------------------------------------------


def booking(undo: Callable[..., Any], **options: Any) -> list[Tool]:
    async def pay(order: str) -> str:
        return f"receipt {order}"

    async def label(receipt: str) -> str:
        from orchestrator import Unavailable

        raise Unavailable("the carrier is down")

    return [Tool(pay, gives="receipt", effect="write", compensate=undo, **options), Tool(label, gives="label")]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_compensation_whose_answer_was_lost_is_not_repeated_and_listed(asynchronous: bool) -> None:
    refunds: list[str] = []

    def refund(receipt: str) -> None:
        refunds.append(receipt)
        raise ConnectionResetError("the answer was lost")

    async def refund_async(receipt: str) -> None:
        refund(receipt)

    orc = Orchestrator(booking(refund_async if asynchronous else refund))
    outcome = await orc.run("label", {"order": "42"})
    assert refunds == ["receipt 42"]
    assert outcome.uncompensated == ("pay",)
    assert outcome.compensated == ()


async def test_a_lost_compensation_is_repeated_where_reconcile_says_that_the_effect_stands() -> None:
    refunds: list[str] = []

    def refund(receipt: str) -> None:
        refunds.append(receipt)
        if len(refunds) == 1:
            raise ConnectionResetError("lost before it arrived")

    orc = Orchestrator(booking(refund, reconcile=lambda order: f"receipt {order}"))
    outcome = await orc.run("label", {"order": "42"})
    assert len(refunds) == 2
    assert outcome.compensated == ("pay",)


async def test_a_lost_compensation_is_done_where_reconcile_says_that_the_effect_is_gone() -> None:
    standing = ["receipt 42"]

    def refund(receipt: str) -> None:
        standing.clear()
        raise ConnectionResetError("the answer was lost")

    orc = Orchestrator(booking(refund, reconcile=lambda order: standing[0] if standing else NOT_DONE))
    outcome = await orc.run("label", {"order": "42"})
    assert outcome.compensated == ("pay",)


async def test_a_lost_compensation_is_repeated_with_its_idempotency_key() -> None:
    keys: list[str] = []

    async def pay(order: str, key: str) -> str:
        return f"receipt {order}"

    def refund(receipt: str, key: str) -> None:
        keys.append(key)
        if len(keys) == 1:
            raise ConnectionResetError("the answer was lost")

    first = Tool(pay, gives="receipt", effect="write", idempotency_key="key", compensate=refund)
    outcome = await Orchestrator([first, booking(lambda receipt: None)[1]]).run("label", {"order": "42"})
    assert outcome.compensated == ("pay",)
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_sync_compensation_past_its_time_out_is_waited_for_and_not_begun_again() -> None:
    log: list[str] = []

    def undo(receipt: str) -> None:
        log.append("begin")
        time.sleep(0.15)
        log.append("end")

    outcome = await Orchestrator(booking(undo, timeout=0.05)).run("label", {"order": "42"})
    assert log == ["begin", "end"]
    assert outcome.compensated == ("pay",)


async def test_a_compensation_that_outlasts_patience_is_listed(gate: threading.Event) -> None:
    log: list[str] = []

    def undo(receipt: str) -> None:
        log.append("begin")
        gate.wait(20)

    tools = booking(undo, timeout=0.05, reconcile=lambda order: f"receipt {order}")
    outcome = await Orchestrator(tools, policy=IMPATIENT).run("label", {"order": "42"})
    assert log == ["begin"]
    assert outcome.uncompensated == ("pay",)


async def test_a_compensation_that_is_left_leaves_no_task() -> None:
    began = asyncio.Event()

    async def undo(output: int) -> None:
        began.set()
        await asyncio.sleep(30)

    async with Orchestrator(booking(undo)) as orc:
        task = asyncio.create_task(orc.run("label", {"order": "42"}, run_id="r"))
        await began.wait()
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait({task})
        assert orc.outcome("r").uncompensated == ("pay",)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(("call", "isolation"), [(nap_for, None), (nap_for, "process"), (nap_async, None)])
async def test_a_time_out_says_how_long_was_waited(call: Callable[..., Any], isolation: str | None) -> None:
    async with Orchestrator([Tool(call, gives="rest", timeout=0.3, retries=0, isolation=isolation)]) as orc:
        outcome = await orc.run("rest", {"seconds": 0.6})
    assert [failure.message for failure in outcome.failures] == ["no answer within 0.3 s"]
