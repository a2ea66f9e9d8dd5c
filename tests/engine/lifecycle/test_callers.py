"""Callers: one id takes turns, who leaves cancels, ended runs stay as they are, closing leaves nothing behind."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator import Agent, CallStarted, InputError, Orchestrator, Policy, Status, Tool, tool
from orchestrator.errors import DefinitionError
from orchestrator.store.shutdown import OPEN


def stores(tmp_path: Path) -> list[Path | None]:
    """Memory, and a file."""
    return [None, tmp_path / "runs.db"]


# -- one id takes turns ----------------------------------------------------------------------------------------------


async def test_the_same_id_at_one_moment_is_one_run(tmp_path: Path) -> None:
    for store in stores(tmp_path):
        paid: list[int] = []

        async def pay(n: int, paid: list[int] = paid) -> str:
            await asyncio.sleep(0.005)
            paid.append(n)
            return f"paid {n}"

        async with Orchestrator([Tool(pay, gives="receipt", needs=["n"], effect="write")], store=store) as orc:
            outcomes = await asyncio.gather(*(orc.run("receipt", {"n": 42}, run_id="order") for _ in range(4)))
        assert paid == [42]
        assert {outcome.value for outcome in outcomes} == {"paid 42"}


async def test_the_same_id_from_threads_is_one_run() -> None:
    paid: list[int] = []

    @tool(gives="receipt", effect="write")
    async def pay(n: int) -> str:
        await asyncio.sleep(0.005)
        paid.append(n)
        return "paid"

    orc = Orchestrator([pay])
    await asyncio.gather(*(asyncio.to_thread(orc.run_sync, "receipt", {"n": 1}, run_id="order") for _ in range(4)))
    await orc.aclose()
    assert paid == [1]


async def test_an_id_means_one_goal_and_one_set_of_inputs(tmp_path: Path) -> None:
    facts = Tool(lambda topic: topic, name="research", gives="facts")
    article = Tool(lambda topic: topic, name="write", gives="article")
    for store in stores(tmp_path):
        async with Orchestrator([facts, article], store=store) as orc:
            await orc.run("facts", {"topic": "tides"}, run_id="job")
            with pytest.raises(InputError, match="begun for the goal 'facts'"):
                await orc.run("article", {"topic": "tides"}, run_id="job")
            with pytest.raises(InputError, match="other inputs"):
                await orc.run("facts", {"topic": "moon"}, run_id="job")
        if store is not None:
            async with Orchestrator([facts, article], store=store) as orc:
                with pytest.raises(InputError, match="begun for the goal 'facts'"):
                    await orc.run("article", {"topic": "tides"}, run_id="job")


async def test_an_approval_given_twice_pays_once(tmp_path: Path) -> None:
    for store in stores(tmp_path):
        paid: list[int] = []

        async def pay(n: int, paid: list[int] = paid) -> str:
            paid.append(n)
            await asyncio.sleep(0.005)
            return "paid"

        made = Tool(pay, gives="paid", needs=["n"], effect="irreversible", approval=True)
        async with Orchestrator([made], store=store) as orc:
            await orc.run("paid", {"n": 1}, run_id="r")
            outcomes = await asyncio.gather(*(orc.resume("r", True, by="x") for _ in range(3)))
            assert [outcome.status for outcome in outcomes] == [Status.REACHED] * 3
            assert orc.verify("r").ok
            assert orc.replay("r").agrees
        assert paid == [1]


# -- who leaves, cancels ---------------------------------------------------------------------------------------------


Begun = asyncio.Future[None]
"""Ends when the slow call has begun."""


def booking(log: list[str], begun: Begun | None = None) -> list[Tool]:
    """A write that can be undone, and a slow read after it."""

    @tool(gives="hold", effect="write", compensate=lambda hold: log.append("undone"))
    async def reserve(parcel: str) -> str:
        log.append("reserved")
        return parcel

    @tool(gives="label")
    async def slow(hold: str) -> str:
        if begun is not None:
            begun.set_result(None)
        await asyncio.sleep(30)
        return hold

    return [reserve, slow]


async def _time_out(orc: Orchestrator, begun: Begun) -> None:
    async def work() -> None:
        async with asyncio.timeout(None) as limit:
            begun.add_done_callback(lambda _: limit.reschedule(0))
            await orc.run("label", {"parcel": "p"}, run_id="r")

    with pytest.raises(TimeoutError):
        await work()


async def _wait_for(orc: Orchestrator, begun: Begun) -> None:
    waiting = asyncio.create_task(asyncio.wait_for(orc.run("label", {"parcel": "p"}, run_id="r"), 60))
    begun.add_done_callback(lambda _: waiting.cancel())
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def _task_group(orc: Orchestrator, begun: Begun) -> None:
    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(orc.run("label", {"parcel": "p"}, run_id="r"))
            await begun
            raise ValueError

    with pytest.raises(ExceptionGroup):
        await work()


async def _left_stream(orc: Orchestrator, begun: Begun) -> None:
    del begun
    stream = orc.stream("label", {"parcel": "p"}, run_id="r")
    async for event in stream:
        if isinstance(event, CallStarted) and event.tool == "slow":
            break
    closing: Any = stream
    await closing.aclose()


async def _anyio_scope(orc: Orchestrator, begun: Begun) -> None:
    """As an MCP or HTTP server does it: the scope cancels the caller in every turn of the event loop."""
    with anyio.CancelScope() as scope:
        begun.add_done_callback(lambda _: scope.cancel())
        await orc.run("label", {"parcel": "p"}, run_id="r")


async def _stream_in_a_scope(orc: Orchestrator, begun: Begun) -> None:
    with anyio.CancelScope() as scope:
        begun.add_done_callback(lambda _: scope.cancel())
        async for _ in orc.stream("label", {"parcel": "p"}, run_id="r"):
            pass


@pytest.mark.parametrize("leave", [_time_out, _wait_for, _task_group, _left_stream, _anyio_scope, _stream_in_a_scope])
async def test_a_caller_that_leaves_cancels_the_run(leave: Any, tmp_path: Path) -> None:
    for store in stores(tmp_path):
        log: list[str] = []
        begun: Begun = asyncio.get_running_loop().create_future()
        async with Orchestrator(booking(log, begun), store=store) as orc:
            await leave(orc, begun)
            outcome = orc.outcome("r")
            assert outcome.status is Status.ESCALATED
            assert outcome.compensated == ("reserve",)
            assert log == ["reserved", "undone"]
            assert (await orc.resume("r")).status is Status.ESCALATED
            assert orc.verify("r").ok


async def test_a_joiner_that_leaves_leaves_alone() -> None:
    @tool(gives="y")
    async def work(x: int) -> int:
        await asyncio.sleep(0.2)
        return x * 10

    async with Orchestrator([work]) as orc:
        first = asyncio.create_task(orc.run("y", {"x": 1}, run_id="r"))
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(orc.run("y", {"x": 1}, run_id="r"), 0.02)
        assert (await first).value == 10


async def test_a_write_in_flight_finishes_when_the_caller_leaves() -> None:
    log: list[str] = []

    @tool(gives="r", effect="write", compensate=lambda r: log.append("undone"))
    async def pay(x: int) -> int:
        await asyncio.sleep(0.1)
        log.append("paid")
        return x

    async with Orchestrator([pay]) as orc:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(orc.run("r", {"x": 1}, run_id="r"), 0.05)
        assert orc.outcome("r").status in (Status.REACHED, Status.ESCALATED)
    assert log[0] == "paid"


async def test_a_second_cancellation_gives_the_run_up_as_it_stands(tmp_path: Path) -> None:
    for store in stores(tmp_path):
        done: list[str] = []
        begun = asyncio.Event()

        async def pay(done: list[str] = done, begun: asyncio.Event = begun) -> str:
            begun.set()
            await asyncio.sleep(5)
            done.append("paid")
            return "p"

        async with Orchestrator([Tool(pay, gives="r", needs=[], effect="write")], store=store) as orc:
            task = asyncio.create_task(orc.run("r", run_id="x"))
            await begun.wait()
            task.cancel()
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            row = orc.store.run("x")
            assert row is not None
            if store is None:
                outcome = orc.outcome("x")
                assert outcome.status is Status.ESCALATED
                assert outcome.uncompensated == ("pay",)
            else:
                assert row.status is Status.RUNNING  # left to `recover`
        assert done == []


async def test_a_cancelled_run_that_is_left_while_it_is_undone_stays_cancelled(tmp_path: Path) -> None:
    log: list[str] = []
    undoing, begun = asyncio.Event(), asyncio.Event()

    async def undo(output: str) -> None:
        log.append(f"{output} undone")
        undoing.set()
        await asyncio.sleep(0.05)

    async def pay() -> str:
        log.append("paid")
        return "paid"

    async def slow(p: str) -> str:
        log.append("slow")
        begun.set()
        await asyncio.sleep(5)
        return p

    tools = [Tool(pay, gives="p", effect="write", compensate=undo), Tool(slow, gives="r")]
    async with Orchestrator(tools, store=tmp_path / "runs.db") as orc:
        task = asyncio.create_task(orc.run("r", run_id="x"))
        await begun.wait()
        task.cancel()
        await undoing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        outcome = await orc.resume("x")
        assert (outcome.status, outcome.uncompensated) == (Status.ESCALATED, ("pay",))
        assert log == ["paid", "slow", "paid undone"]  # the answer of the compensation was lost: it is not repeated
        assert orc.verify("x").ok
        assert orc.replay("x").agrees


async def test_cancelling_or_resuming_an_ended_run_changes_nothing(tmp_path: Path) -> None:
    log: list[str] = []
    buy = Tool(
        lambda: "order-1", name="buy", gives="order", effect="write", compensate=lambda order: log.append("undone")
    )
    store = tmp_path / "runs.db"
    async with Orchestrator([buy], store=store, policy=Policy(keep_values=True)) as orc:
        await orc.run("order", run_id="r")
        assert (await orc.cancel("r")).status is Status.REACHED
    async with Orchestrator([buy], store=store, policy=Policy(keep_values=True)) as orc:
        assert (await orc.cancel("r")).status is Status.REACHED
        assert (await orc.resume("r")).status is Status.REACHED
        assert orc.verify("r").ok
    assert log == []


# -- closing ---------------------------------------------------------------------------------------------------------


async def test_closing_cancels_in_memory_and_releases_on_disk(tmp_path: Path) -> None:
    for store in stores(tmp_path):
        log: list[str] = []
        begun: Begun = asyncio.get_running_loop().create_future()
        orc = Orchestrator(booking(log, begun), store=store)
        task = asyncio.create_task(orc.run("label", {"parcel": "p"}, run_id="r"))
        await begun
        await orc.aclose()
        if store is None:
            assert (await task).status is Status.ESCALATED
            assert log == ["reserved", "undone"]
        else:
            with pytest.raises(Exception, match="given up"):
                await task
            async with Orchestrator(booking(log), store=store) as later:
                assert (await later.cancel("r")).compensated == ("reserve",)


async def test_close_in_async_code_leaves_no_task_and_judges_what_waits() -> None:
    told: list[str] = []

    async def judge(inputs: Any, output: Any) -> bool:
        await asyncio.sleep(0.02)
        told.append(output)
        return True

    orc = Orchestrator(agents=[Agent(lambda text: text, name="a", gives="y", skills={"s": 0.5})], judge=judge)
    orc.require_skills("y", {"s": 1})
    await orc.run("y", {"text": "x"})
    orc.close()
    assert told == ["x"]
    await asyncio.sleep(0.05)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_other_event_loops_leave_no_watchers_behind() -> None:
    orc = Orchestrator([Tool(lambda n: n, name="f", gives="v")])
    await orc.run("v", {"n": 0})
    before = len(asyncio.all_tasks())
    for n in range(5):
        await asyncio.to_thread(orc.run_sync, "v", {"n": n})
        await orc.run("v", {"n": n})
    assert len(asyncio.all_tasks()) <= before
    await orc.aclose()


def test_a_constructor_that_fails_closes_the_store_that_it_opened(tmp_path: Path) -> None:
    twice = Tool(lambda x: x, name="double", gives="y")
    errors: list[DefinitionError] = []  # each holds the frames, and so the stores, that it came through
    before = len(OPEN)
    for _ in range(2):
        with pytest.raises(DefinitionError) as raised:
            Orchestrator([twice, twice], store=tmp_path / "runs.db")
        errors.append(raised.value)
    assert len(OPEN) == before
