"""Questions that nobody waits for any more: they vanish, and the run goes on without an answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import InputError, Orchestrator, Outcome, Refused, RunContext, Status, Tool, tool

WITHIN = 30.0


async def goes_on(orc: Orchestrator, run_id: str, texts: tuple[str, ...] = ()) -> Outcome[Any]:
    """The outcome of a run once it has ended, or asks just these questions."""
    async with asyncio.timeout(WITHIN):
        while True:
            out = await orc.resume(run_id)
            if out.status is not Status.WAITING or tuple(q.text for q in out.questions) == texts:
                return out
            await asyncio.sleep(0.01)


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "runs.db" if request.param == "disk" else None


async def test_a_question_that_timed_out_in_its_call_is_withdrawn(store: Path | None) -> None:
    @tool(gives="x")
    async def ask(ctx: RunContext) -> str:
        try:
            return await asyncio.wait_for(ctx.wait("First?", str), 0.05)
        except TimeoutError:
            return "nobody"

    async with Orchestrator([ask], store=store) as orc:
        out = await orc.run("x", run_id="r")
        assert [q.text for q in out.questions] == ["First?"]
        out = await goes_on(orc, "r")
        assert (out.status, out.value, out.questions) == (Status.REACHED, "nobody", ())
        assert len(out.calls) == 1
        assert (await orc.resume("r", "late")).value == "nobody"
        assert orc.verify("r").ok
        assert orc.replay("r").agrees


async def test_a_cancelled_gather_withdraws_its_questions_and_another_is_asked() -> None:
    @tool(gives="x")
    async def ask(ctx: RunContext) -> str:
        both = asyncio.gather(ctx.wait("A?"), ctx.wait("B?"))
        asyncio.get_running_loop().call_later(0.05, both.cancel)
        try:
            await both
        except asyncio.CancelledError:
            return str(await ctx.wait("C?"))
        return "answered"

    async with Orchestrator([ask]) as orc:
        out = await orc.run("x", run_id="r")
        (first, second) = out.questions
        assert (first.text, second.text) == ("A?", "B?")
        out = await goes_on(orc, "r", ("C?",))
        with pytest.raises(InputError, match="no open question"):
            await orc.resume("r", "a", question=first.id)
        assert (await orc.resume("r", "c")).value == "c"
        assert orc.replay("r").agrees


async def test_a_child_that_waits_ends_with_the_call_that_reached_for_it(store: Path | None) -> None:
    @tool(gives="a")
    async def asks(ctx: RunContext) -> str:
        return str(await ctx.wait("A?"))

    @tool(gives="b")
    async def fails() -> str:
        await asyncio.sleep(0.02)
        raise Refused("no b")

    @tool(gives="top")
    async def top(ctx: RunContext) -> str:
        await asyncio.gather(ctx.reach("a"), ctx.reach("b"))
        return "both"

    async with Orchestrator([asks, fails, top], store=store) as orc:
        async with asyncio.timeout(WITHIN):
            out = await orc.run("top", run_id="r")
        assert (out.status, out.questions) == (Status.ESCALATED, ())
        assert sorted((child.goal.name, child.status) for child in out.children) == [
            ("a", Status.ESCALATED),
            ("b", Status.ESCALATED),
        ]
        assert all(row.status.ended for row in orc.store.runs(limit=10))


async def test_in_a_task_group_a_failure_withdraws_the_questions_of_its_siblings() -> None:
    @tool(gives="b")
    async def fails() -> str:
        await asyncio.sleep(0.02)
        raise Refused("no b")

    @tool(gives="top")
    async def top(ctx: RunContext) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(ctx.wait("A?"))
                group.create_task(ctx.reach("b"))
        except ExceptionGroup:
            return "without"
        return str(asked.result())

    orc = Orchestrator([fails, top])
    async with asyncio.timeout(WITHIN):
        out = await orc.run("top")
    assert (out.status, out.value, out.questions) == (Status.REACHED, "without", ())


async def test_a_question_that_a_call_left_open_when_it_returned_is_withdrawn() -> None:
    left: list[asyncio.Task[Any]] = []

    @tool(gives="x")
    async def ask(ctx: RunContext) -> str:
        left.append(asyncio.create_task(ctx.wait("A?", str)))
        await asyncio.sleep(0.05)
        return "without"

    @tool(gives="y")
    async def after(x: str, ctx: RunContext) -> str:
        return f"{x} {await ctx.wait('B?')}"

    async with Orchestrator([ask, after]) as orc:
        await orc.run("y", run_id="r")
        out = await goes_on(orc, "r", ("B?",))
        assert [q.text for q in out.questions] == ["B?"]
        assert left[0].cancelled()
        assert (await orc.resume("r", "b")).value == "without b"


async def test_a_question_that_comes_up_while_the_run_waits_is_shown_too(store: Path | None) -> None:
    @tool(gives="y")
    async def other(ctx: RunContext) -> str:
        return str(await ctx.wait("Y?"))

    @tool(gives="x")
    async def ask(ctx: RunContext) -> str:
        async def later() -> str:
            await asyncio.sleep(0.05)
            return str((await ctx.reach("y")).value)

        first, second = await asyncio.gather(ctx.wait("A?"), later())
        return f"{first}{second}"

    async with Orchestrator([ask, other], store=store) as orc:
        out = await orc.run("x", run_id="r")
        assert [q.text for q in out.questions] == ["A?"]
        async with asyncio.timeout(WITHIN):
            while len(out.questions) < 2:
                await asyncio.sleep(0.01)
                out = await orc.resume("r")
        assert sorted(q.text for q in out.questions) == ["A?", "Y?"]
        for question in out.questions:
            out = await orc.resume("r", question.text[0], question=question.id)
        assert out.value == "AY"
        assert orc.verify("r").ok
        assert orc.replay("r").agrees


async def test_a_child_withdraws_its_question_and_the_root_shows_it_no_longer(store: Path | None) -> None:
    @tool(gives="y")
    async def other(ctx: RunContext) -> str:
        try:
            return await asyncio.wait_for(ctx.wait("Y?", str), 0.05)
        except TimeoutError:
            return "late"

    @tool(gives="m")
    async def middle(ctx: RunContext) -> str:
        return str((await ctx.reach("y")).value)

    @tool(gives="x")
    async def top(ctx: RunContext) -> str:
        return str((await ctx.reach("m")).value)

    async with Orchestrator([top, middle, other], store=store) as orc:
        out = await orc.run("x", run_id="r")
        assert [q.text for q in out.questions] == ["Y?"]
        out = await goes_on(orc, "r")
        assert (out.status, out.value) == (Status.REACHED, "late")
        assert all(orc.verify(row.run_id).ok for row in orc.store.runs(limit=10))


async def test_an_ended_call_asks_nobody_any_more() -> None:
    kept: list[RunContext] = []

    @tool(gives="x")
    async def ask(ctx: RunContext) -> str:
        kept.append(ctx)
        return "x"

    async with Orchestrator([ask]) as orc:
        await orc.run("x")
        with pytest.raises(Refused, match="has ended"):
            await kept[0].wait("Too late?")


async def test_a_read_beside_a_withdrawn_question_is_made_once() -> None:
    reads: list[int] = []

    def read() -> int:
        reads.append(1)
        return len(reads)

    @tool(gives="x")
    async def ask(n: int, ctx: RunContext) -> int:
        try:
            return await asyncio.wait_for(ctx.wait("First?", int), 0.05)
        except TimeoutError:
            return n

    async with Orchestrator([Tool(read, gives="n"), ask]) as orc:
        await orc.run("x", run_id="r")
        assert (await goes_on(orc, "r")).value == 1
        assert len(reads) == 1
