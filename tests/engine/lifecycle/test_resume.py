"""Waiting and going on: questions, run ids, children, cancellation, other processes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from orchestrator import (
    AskHuman,
    DecisionKind,
    Demote,
    Escalated,
    Goal,
    InputError,
    Orchestrator,
    RunContext,
    Status,
    Tool,
    Unavailable,
    tool,
)
from orchestrator.api import call_again


@tool(gives="greeting")
async def greet(ctx: RunContext) -> str:
    name = await ctx.wait("What is your name?")
    return f"Hello {name}"


async def test_a_call_asks_a_person_and_is_called_again_with_the_answer() -> None:
    orc = Orchestrator([greet])
    waiting = await orc.run("greeting")
    assert waiting.status is Status.WAITING
    assert waiting.questions[0].text == "What is your name?"
    done = await orc.resume(waiting.run_id, "Ann", by="ann")
    assert done.value == "Hello Ann"


async def test_a_child_that_waits_makes_its_parent_wait() -> None:
    @tool(gives="letter")
    async def write(ctx: RunContext) -> str:
        return (await ctx.reach("greeting")).value + "!"

    orc = Orchestrator([greet, write])
    waiting = await orc.run("letter")
    assert waiting.status is Status.WAITING
    done = await orc.resume(waiting.run_id, "Ann")
    assert done.value == "Hello Ann!"


async def test_a_waiting_run_is_answered_by_another_process(tmp_path: Path) -> None:
    def make() -> Orchestrator:
        return Orchestrator([greet], store=tmp_path / "runs.db")

    async with make() as first:
        waiting = await first.run("greeting", run_id="r")
    async with make() as second:
        with pytest.raises(InputError, match="no run 'nope'"):
            await second.resume("nope")
        assert (await second.resume("r")).status is Status.WAITING
        done = await second.resume(waiting.run_id, "Bob")
        assert done.value == "Hello Bob"
        assert second.verify("r").ok
    async with make() as third:
        assert (await third.run("greeting", run_id="r")).value == "Hello Bob"
        assert (await third.resume("r")).status is Status.REACHED


async def test_calls_of_a_waiting_run_that_are_made_again_ask_again(tmp_path: Path) -> None:
    called: list[str] = []

    @tool(gives="greeting")
    async def greet_again(ctx: RunContext) -> str:
        called.append("greet")
        return f"Hello {await ctx.wait('What is your name?')}"

    def make() -> Orchestrator:
        return Orchestrator([greet_again], store=tmp_path / "runs.db")

    async with make() as first:
        await first.run("greeting", run_id="r")
    async with make() as second:
        assert (await second.resume("r")).status is Status.WAITING
        assert called == ["greet"]
        waiting = await call_again(second, "r")
        assert (waiting.status, [q.text for q in waiting.questions]) == (Status.WAITING, ["What is your name?"])
        assert called == ["greet", "greet"]
        assert (await second.resume("r", "Bob")).value == "Hello Bob"
        assert called == ["greet", "greet"]
        assert second.verify("r").ok
        assert second.replay("r").agrees


async def test_an_impasse_waits_for_a_person_and_goes_on_from_where_it_stands() -> None:
    calls: list[str] = []

    @tool(gives="text")
    def read() -> str:
        calls.append("read")
        return "text"

    @tool(gives="label")
    def buy(text: str, size: int) -> str:
        return f"{text} {size}"

    @tool(gives="size")
    def measure() -> int:
        raise Unavailable("down")

    orc = Orchestrator([read, buy, measure], escalation=[Demote(), AskHuman()])
    waiting = await orc.run("label")
    assert waiting.status is Status.WAITING
    assert waiting.impasse is not None
    assert waiting.impasse.tools == ("measure",)
    with pytest.raises(InputError):
        await orc.resume(waiting.run_id, "who knows")
    from orchestrator import Resolution

    done = await orc.resume(waiting.run_id, Resolution.provide("size", 4), by="ann")
    assert done.value == "text 4"
    assert calls == ["read"]
    assert DecisionKind.RESUME in [d.kind for d in done.decisions]


async def test_a_run_id_means_one_run() -> None:
    calls: list[int] = []

    @tool(gives="y")
    async def work(n: int) -> int:
        calls.append(n)
        await asyncio.sleep(0.01)
        return n + 1

    orc = Orchestrator([work])
    both = await asyncio.gather(orc.run("y", {"n": 1}, run_id="a"), orc.run("y", {"n": 1}, run_id="a"))
    assert [outcome.value for outcome in both] == [2, 2]
    assert (await orc.run("y", {"n": 1}, run_id="a")).value == 2
    assert calls == [1]
    with pytest.raises(InputError, match="other inputs"):
        await orc.run("y", {"n": 2}, run_id="a")


async def test_cancel_stops_reads_at_once_and_lets_a_write_finish() -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    async def read() -> str:
        await asyncio.sleep(30)
        return "read"

    async def write() -> str:
        begun.set()
        await asyncio.sleep(0.05)
        ended.append("write")
        return "written"

    tools = [
        Tool(read, gives="a"),
        Tool(write, gives="b", effect="write", compensate=lambda out: ended.append(f"undo {out}")),
        Tool(lambda a, b: 1, name="c"),
    ]
    orc = Orchestrator(tools)
    orc.connect("write", "read")  # the write comes first, so that it is in flight
    running = asyncio.create_task(orc.run("c", run_id="r"))
    await begun.wait()
    cancelled = await orc.cancel("r", "changed my mind")
    assert cancelled.status is Status.ESCALATED
    assert cancelled.impasse is not None
    assert "changed my mind" in cancelled.impasse.message
    assert ended == ["write", "undo written"]
    assert (await running).status is Status.ESCALATED
    assert [d.kind for d in cancelled.decisions if d.kind is DecisionKind.HALT]


async def test_cancelling_a_waiting_run_ends_it() -> None:
    orc = Orchestrator([greet])
    waiting = await orc.run("greeting")
    cancelled = await orc.cancel(waiting.run_id)
    assert cancelled.status is Status.ESCALATED


async def test_reach_maps_and_loops_and_refuses_itself() -> None:
    @tool(gives="square")
    async def square(n: int) -> int:
        return n * n

    @tool(gives="total")
    async def total(ctx: RunContext, numbers: list[int]) -> int:
        squares = await asyncio.gather(*(ctx.reach("square", {"n": n}) for n in numbers))
        return sum(outcome.value for outcome in squares)

    @tool(gives="endless")
    async def endless(ctx: RunContext) -> int:
        return (await ctx.reach("endless")).value

    orc = Orchestrator([square, total, endless])
    assert (await orc.run("total", {"numbers": [1, 2, 3]})).value == 14
    outcome = await orc.run("endless")
    assert outcome.status is Status.ESCALATED
    assert "already being worked on" in outcome.failures[0].message


async def test_a_child_that_is_not_reached_raises_escalated_in_its_parent() -> None:
    seen: list[str] = []

    @tool(gives="part")
    def part() -> int:
        raise Unavailable("down")

    @tool(gives="whole")
    async def whole(ctx: RunContext) -> int:
        try:
            return (await ctx.reach("part")).value
        except Escalated as error:
            seen.append(str(error))
            return -1

    assert (await Orchestrator([part, whole]).run("whole")).value == -1
    assert "part" in seen[0]


async def test_compile_gives_a_langgraph_to_run_alone_or_inside_another() -> None:
    @tool(gives="y")
    async def work(x: int) -> int:
        return x + 1

    orc = Orchestrator([work])
    graph = orc.compile("y")
    result = await graph.ainvoke({"x": 1})
    assert result["y"] == 2
    assert result["outcome"].status is Status.REACHED
    assert "execute" in graph.get_graph().draw_mermaid()

    from typing import TypedDict

    from langgraph.graph import END, START, StateGraph

    class Mine(TypedDict, total=False):
        x: int
        y: int

    outer: Any = StateGraph(Mine)
    outer.add_node("inner", graph)
    outer.add_edge(START, "inner")
    outer.add_edge("inner", END)
    assert (await outer.compile().ainvoke({"x": 4}))["y"] == 5


async def test_compile_interrupts_for_a_person_through_the_users_checkpointer() -> None:
    orc = Orchestrator([Tool(lambda x: "ok", name="paid", effect="write", approval=True)])
    graph = orc.compile("paid", checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    asked = await graph.ainvoke({"x": 1}, config)
    assert asked["__interrupt__"][0].value["choices"]
    assert (await graph.ainvoke(Command(resume=True), config))["paid"] == "ok"


async def test_compile_streams_events() -> None:
    orc = Orchestrator([Tool(lambda: 1, name="x")])
    events = [type(event).__name__ async for event in orc.compile("x").astream({}, stream_mode="custom")]
    assert "CallEnded" in events


async def test_a_typed_goal_and_a_demoted_one() -> None:
    orc = Orchestrator([Tool(lambda: 1, name="x")])
    outcome = await orc.run(Goal("x", type=int))
    value: int = outcome.value
    assert value == 1


async def test_a_question_that_nobody_answers_takes_its_default_at_its_deadline() -> None:
    from orchestrator import Resolution
    from orchestrator.testing import FakeClock

    @tool(gives="label")
    def buy() -> str:
        raise Unavailable("down")

    clock = FakeClock()
    tools = [buy, Tool(lambda: "note", name="note")]
    ladder = [AskHuman(deadline=60, default=Resolution.demote("note"))]
    orc = Orchestrator(tools, escalation=ladder, clock=clock)
    waiting = await orc.run(Goal("label", demotions=["note"]))
    assert waiting.status is Status.WAITING
    clock.advance(61)
    for _ in range(200):
        await asyncio.sleep(0.005)
        if orc.outcome(waiting.run_id).status.ended:
            break
    assert orc.outcome(waiting.run_id).value == "note"


async def test_interpret_turns_words_into_a_goal_and_runs_nothing() -> None:
    @tool(gives="brief")
    def summarise(document: str) -> str:
        """Summarise a document in three sentences."""
        raise AssertionError

    @tool(gives="invoice_total")
    def add_up(invoice: str) -> float:
        """Add up the amounts of an invoice."""
        raise AssertionError

    orc = Orchestrator([summarise, add_up])
    request = await orc.interpret("please summarise this document for me")
    assert request.goal is not None
    assert request.goal.keys == ("brief",)
    assert request.missing == ("document",)


async def test_a_read_that_grew_old_while_the_run_waited_is_read_again() -> None:
    from orchestrator.testing import FakeClock

    reads: list[str] = []

    def read(name: str, ttl: float | None) -> Tool:
        options: Any = {} if ttl is None else {"ttl": ttl}
        return Tool(lambda: reads.append(name) or len(reads), name=name, gives={name: int}, **options)

    pay = Tool(lambda price, name: price, name="pay", effect="write", approval=True)
    clock = FakeClock()
    orc = Orchestrator([read("price", 60), read("name", None), pay], clock=clock)
    waiting = await orc.run("pay")
    clock.advance(3600)
    done = await orc.resume(waiting.run_id, True)
    assert done.ok
    assert sorted(reads) == ["name", "price", "price"]
