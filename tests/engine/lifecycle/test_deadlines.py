"""A run's deadline reaches every call; what may have happened is still settled, and what was done is still undone."""

import asyncio
from typing import Any

from orchestrator import NOT_DONE, Budget, DecisionKind, Goal, Orchestrator, Policy, RunContext, Status, Tool
from orchestrator.testing import FakeClock


async def test_it_cuts_off_a_read_and_the_waiting_for_a_retry() -> None:
    clock = FakeClock()

    async def slow() -> int:
        await clock.sleep(100)
        return 1

    outcome = await Orchestrator([Tool(slow, gives="x", timeout=60)], clock=clock).run("x", budget=Budget(seconds=5))
    assert outcome.status is Status.ESCALATED
    assert 5 <= outcome.seconds < 6


async def test_it_reaches_the_calls_of_a_child() -> None:
    clock = FakeClock()

    async def slow() -> int:
        await clock.sleep(100)
        return 1

    async def parent(ctx: RunContext) -> int:
        return int((await ctx.reach("x")).value)

    orc = Orchestrator([Tool(slow, gives="x", timeout=60), Tool(parent, gives="y", timeout=60)], clock=clock)
    outcome = await orc.run("y", budget=Budget(seconds=5))
    assert outcome.status is Status.ESCALATED
    assert outcome.seconds < 7


async def test_a_write_in_flight_at_the_deadline_finishes_within_the_patience() -> None:
    clock, undone = FakeClock(), list[str]()

    async def book() -> str:
        await clock.sleep(8)
        return "booked"

    tool = Tool(book, gives="x", effect="write", compensate=undone.append)
    outcome = await Orchestrator([tool], clock=clock).run("x", budget=Budget(seconds=5))
    assert (outcome.status, outcome.failures, outcome.compensated) == (Status.ESCALATED, (), ("book",))
    assert undone == ["booked"]


async def test_a_write_that_outlasts_the_patience_after_it_is_still_settled() -> None:
    clock, booked = FakeClock(), list[str]()

    async def book() -> str:
        booked.append("booked")
        await clock.sleep(100)
        return "never heard"

    async def find() -> Any:
        await clock.sleep(1)
        return "found" if booked else NOT_DONE

    tool = Tool(book, gives="x", effect="write", timeout=60, reconcile=find)
    orc = Orchestrator([tool], clock=clock, policy=Policy(patience=10))
    outcome = await orc.run("x", budget=Budget(seconds=5))
    assert (outcome.values["x"], outcome.seconds) == ("found", 16)
    assert [d.kind for d in outcome.decisions][:2] == [DecisionKind.ROUTE, DecisionKind.RECONCILE]
    assert outcome.uncompensated == ("book",)


async def test_what_was_done_is_undone_after_it() -> None:
    clock, log = FakeClock(), list[str]()

    async def undo(output: str) -> None:
        await clock.sleep(1)
        log.append(f"undone: {output}")

    async def slow(booked: str) -> int:
        await clock.sleep(100)
        return 1

    book = Tool(lambda: "a seat", name="book", gives="booked", effect="write", compensate=undo)
    outcome = await Orchestrator([book, Tool(slow, gives="x")], clock=clock).run("x", budget=Budget(seconds=5))
    assert (outcome.status, outcome.compensated, log) == (Status.ESCALATED, ("book",), ["undone: a seat"])


async def test_a_cancelled_run_lets_a_write_finish_and_undoes_it() -> None:
    log, begun, free = list[str](), asyncio.Event(), asyncio.Event()

    async def book() -> str:
        begun.set()
        await free.wait()
        log.append("the write finishes")
        return "a seat"

    tools = [
        Tool(book, gives="booked", effect="write", compensate=lambda output: log.append(f"undone: {output}")),
        Tool(lambda booked: 1, name="end", gives="x"),
    ]
    orc = Orchestrator(tools)
    running = asyncio.create_task(orc.run(Goal("x"), run_id="r"))
    await begun.wait()
    stopping = asyncio.create_task(orc.cancel("r", "changed my mind"))
    await asyncio.sleep(0)
    free.set()
    outcome = await stopping
    assert await running == outcome
    assert (outcome.status, outcome.compensated) == (Status.ESCALATED, ("book",))
    assert log == ["the write finishes", "undone: a seat"]
    assert [call.tool for call in outcome.calls] == ["book"]
