"""Compiled goals: a run for each invocation, sync and async; interrupts, other answers, checkpointers."""

import asyncio
import gc
import time
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph._internal import _serde
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde import _msgpack
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from orchestrator import (
    FailureKind,
    InputError,
    Orchestrator,
    Outcome,
    Refused,
    RunContext,
    Status,
    Tool,
    tool,
)


class State(TypedDict, total=False):
    """A chat's state."""

    order_id: str
    status: str
    outcome: Any


def crm(seen: list[str]) -> Tool:
    """A lookup that counts its calls."""

    @tool(gives="status")
    def look_up(order_id: str) -> str:
        seen.append(order_id)
        return f"{order_id} shipped"

    return look_up


def config(thread: str = "1") -> Any:
    """A thread."""
    return {"configurable": {"thread_id": thread}}


@pytest.mark.parametrize("inside", [False, True])
async def test_each_turn_on_a_thread_is_a_run_with_its_own_inputs(inside: bool) -> None:
    seen: list[str] = []
    async with Orchestrator([crm(seen)]) as orc:
        app: Any = orc.compile("status", checkpointer=None if inside else InMemorySaver())
        if inside:
            graph: Any = StateGraph(State)
            graph.add_node("lookup", app)
            graph.add_edge(START, "lookup")
            graph.add_edge("lookup", END)
            app = graph.compile(checkpointer=InMemorySaver())
        told = [(await app.ainvoke({"order_id": order}, config()))["status"] for order in ("A1", "A2", "A1")]
    assert told == ["A1 shipped", "A2 shipped", "A1 shipped"]
    assert seen == ["A1", "A2", "A1"]


async def test_a_goal_key_is_never_taken_in() -> None:
    seen: list[str] = []
    async with Orchestrator([crm(seen)]) as orc:
        told = await orc.compile("status").ainvoke({"order_id": "A1", "status": "stale"})
    assert told["status"] == "A1 shipped"


def test_a_compiled_goal_runs_without_async() -> None:
    seen: list[str] = []
    with_saver = Orchestrator([crm(seen)]).compile("status", checkpointer=InMemorySaver())
    assert with_saver.invoke({"order_id": "A1"}, config())["status"] == "A1 shipped"
    assert with_saver.invoke({"order_id": "A2"}, config())["outcome"].status is Status.REACHED


async def test_the_outcome_survives_a_checkpointer() -> None:
    async with Orchestrator([crm([])]) as orc:
        app = orc.compile("status", checkpointer=InMemorySaver())
        await app.ainvoke({"order_id": "A1"}, config())
        kept = (await app.aget_state(config())).values["outcome"]
    assert isinstance(kept, Outcome)
    assert kept.value == "A1 shipped"


def refund(done: list[str]) -> Tool:
    """A write that a person approves."""

    @tool(gives="receipt", effect="write", approval=True)
    def pay_back(order_id: str) -> str:
        done.append(order_id)
        return f"{order_id} refunded"

    return pay_back


async def test_a_wrong_answer_may_be_followed_by_a_right_one() -> None:
    done: list[str] = []
    async with Orchestrator([refund(done)]) as orc:
        app = orc.compile("receipt", checkpointer=InMemorySaver())
        await app.ainvoke({"order_id": "A1"}, config())
        asked = (await app.ainvoke(Command(resume="banana"), config()))["__interrupt__"][0].value
        assert "no answer" in asked["problem"]
        assert done == []
        told = await app.ainvoke(Command(resume="yes"), config())
    assert told["receipt"] == "A1 refunded"
    assert done == ["A1"]


async def test_a_run_of_a_compiled_goal_may_be_answered_from_outside() -> None:
    done: list[str] = []
    async with Orchestrator([refund(done)]) as orc:
        app = orc.compile("receipt", checkpointer=InMemorySaver())
        first = await app.ainvoke({"order_id": "A1"}, config())
        run_id = first["__interrupt__"][0].value["run_id"]
        assert (await orc.resume(run_id, "yes", by="ann")).status is Status.REACHED
        told = await app.ainvoke(Command(resume="yes"), config())
    assert told["receipt"] == "A1 refunded"
    assert done == ["A1"]


async def test_a_run_of_a_compiled_goal_may_be_answered_by_another_process(tmp_path: Path) -> None:
    done: list[str] = []
    async with (
        Orchestrator([refund(done)], store=tmp_path / "runs.db") as orc,
        Orchestrator([refund(done)], store=tmp_path / "runs.db") as other,
    ):
        app = orc.compile("receipt", checkpointer=InMemorySaver())
        first = await app.ainvoke({"order_id": "A1"}, config())
        answered = await other.resume(first["__interrupt__"][0].value["run_id"], "yes", by="ann")
        assert answered.status is Status.REACHED
        told = await app.ainvoke(Command(resume="yes"), config())
    assert told["outcome"].status is Status.REACHED
    assert done == ["A1"]


async def test_inputs_are_values_of_every_invocation_or_names_of_the_keys_it_takes() -> None:
    seen: list[str] = []
    async with Orchestrator([crm(seen)]) as orc:
        fixed = orc.compile("status", {"order_id": "A1"})
        assert (await fixed.ainvoke({}))["status"] == "A1 shipped"
        assert (await fixed.ainvoke({"order_id": "A2"}))["status"] == "A2 shipped"
        named = orc.compile("status", ["order_id"])
        assert set(named.get_input_jsonschema()["properties"]) == {"order_id"}
        assert (await named.ainvoke({"order_id": "A3"}))["status"] == "A3 shipped"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"order_ids": "A1"}, "Did you mean 'order_id'"),
        (["order_ids"], "Did you mean 'order_id'"),
        ({"status": "stale"}, "a key of the goal"),
        ("order_id", "a mapping or a list"),
        ({"order_id": 3}, "order_id"),
    ],
)
def test_wrong_inputs_of_a_compiled_goal_are_an_error(inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Orchestrator([crm([])]).compile("status", inputs)


async def test_the_outcome_comes_back_where_checkpoints_restore_only_listed_types(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (_serde, _msgpack):
        monkeypatch.setattr(module, "STRICT_MSGPACK_ENABLED", True)

    class Kept(TypedDict, total=False):
        n: int
        out: int
        outcome: Outcome

    @tool(gives="out")
    async def parent(n: int, ctx: RunContext) -> int:
        return int((await ctx.reach("low", {"n": n})).value) + 1

    def refuses(n: int) -> int:
        raise Refused("no")

    orc = Orchestrator([parent, Tool(refuses, gives="low"), Tool(lambda n: n, name="spare", gives="low", cost=1.0)])
    outer: Any = StateGraph(Kept)
    outer.add_node("work", orc.compile("out"))
    outer.add_edge(START, "work")
    outer.add_edge("work", END)
    thread: Any = {"configurable": {"thread_id": "1"}}
    for graph in (orc.compile("out", checkpointer=InMemorySaver()), outer.compile(checkpointer=InMemorySaver())):
        await graph.ainvoke({"n": 1}, thread)
        restored = (await graph.aget_state(thread)).values["outcome"]
        assert isinstance(restored, Outcome)
        assert (restored.value, restored.route.tools) == (2, ("parent",))  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
        assert [child.value for child in restored.children] == [1]
        assert [failure.kind for child in restored.children for failure in child.failures] == [FailureKind.REFUSAL]


async def test_a_turn_that_reaches_nothing_does_not_show_the_value_of_the_last_one() -> None:
    @tool(gives="status")
    def look_up(order_id: str) -> str:
        if order_id != "A1":
            raise Refused("not found")
        return "shipped"

    async with Orchestrator([look_up]) as orc:
        app = orc.compile("status", checkpointer=InMemorySaver())
        assert (await app.ainvoke({"order_id": "A1"}, config()))["status"] == "shipped"
        told = await app.ainvoke({"order_id": "A2"}, config())
    assert told["outcome"].status is Status.ESCALATED
    assert "status" not in told


async def test_none_is_a_value_of_a_key_that_takes_it() -> None:
    @tool(gives="text")
    def note(remark: str | None) -> str:
        return remark or "nothing"

    async with Orchestrator([note]) as orc:
        assert (await orc.compile("text").ainvoke({"remark": None}))["text"] == "nothing"


async def test_answers_at_one_moment_pay_once() -> None:
    done: list[str] = []
    async with Orchestrator([refund(done)]) as orc:
        app = orc.compile("receipt", checkpointer=InMemorySaver())
        await app.ainvoke({"order_id": "A1"}, config())
        told = await asyncio.gather(*(app.ainvoke(Command(resume=True), config()) for _ in range(3)))
    assert [each["receipt"] for each in told] == ["A1 refunded"] * 3
    assert done == ["A1"]


async def test_a_stored_run_waits_in_its_row_and_takes_a_right_answer_after_a_wrong_one(tmp_path: Path) -> None:
    done: list[str] = []
    saver = InMemorySaver()
    async with Orchestrator([refund(done)], store=tmp_path / "runs.db") as orc:
        asked = await orc.compile("receipt", checkpointer=saver).ainvoke({"order_id": "A1"}, config())
        row = orc.store.run(asked["__interrupt__"][0].value["run_id"])
        assert row is not None
        assert row.status is Status.WAITING
    async with Orchestrator([refund(done)], store=tmp_path / "runs.db") as later:
        app = later.compile("receipt", checkpointer=saver)
        assert (
            "no answer" in (await app.ainvoke(Command(resume="banana"), config()))["__interrupt__"][0].value["problem"]
        )
        assert (await app.ainvoke(Command(resume=True), config()))["receipt"] == "A1 refunded"
    assert done == ["A1"]


def asks_twice() -> Tool:
    """A call with two questions."""

    @tool(gives="both")
    async def ask(order_id: str, ctx: RunContext) -> list[str]:
        return [order_id, await ctx.wait("the first?", str), await ctx.wait("the second?", str)]

    return ask


async def test_an_answer_on_a_forked_thread_is_not_taken_for_another_question() -> None:
    async with Orchestrator([asks_twice()]) as orc:
        app = orc.compile("both", checkpointer=InMemorySaver())
        await app.ainvoke({"order_id": "A1"}, config())
        first = await app.aget_state(config())
        await app.ainvoke(Command(resume="one"), config())
        asked = (await app.ainvoke(Command(resume="one again"), first.config))["__interrupt__"][0].value
        assert "the second?" in asked["question"]
        assert "another question" in asked["problem"]
        assert (await app.ainvoke(Command(resume="two"), config()))["both"] == ["A1", "one", "two"]


@pytest.mark.parametrize("stored", [False, True])
def test_without_async_a_call_that_asks_stays_suspended(stored: bool, tmp_path: Path) -> None:
    orc = Orchestrator([asks_twice()], store=tmp_path / "runs.db" if stored else None)
    app = orc.compile("both", checkpointer=InMemorySaver())
    assert "the first?" in app.invoke({"order_id": "A1"}, config())["__interrupt__"][0].value["question"]
    app.invoke(Command(resume="one"), config())
    told = app.invoke(Command(resume="two"), config())
    orc.close()
    assert told["both"] == ["A1", "one", "two"]
    assert len(told["outcome"].calls) == 1


def test_a_call_whose_event_loop_is_gone_is_made_again_for_an_answer() -> None:
    orc = Orchestrator([asks_twice()])
    app = orc.compile("both", checkpointer=InMemorySaver())
    asyncio.run(app.ainvoke({"order_id": "A1"}, config()))
    asyncio.run(app.ainvoke(Command(resume="one"), config()))
    assert asyncio.run(app.ainvoke(Command(resume="two"), config()))["both"] == ["A1", "one", "two"]
    orc.close()


async def test_events_after_an_answer_go_to_the_stream_of_that_invocation() -> None:
    async with Orchestrator([refund([])]) as orc:
        app = orc.compile("receipt", checkpointer=InMemorySaver())
        await app.ainvoke({"order_id": "A1"}, config())
        events = [event async for event in app.astream(Command(resume=True), config(), stream_mode="custom")]
    assert {"CallEnded", "RunEnded"} <= {type(event).__name__ for event in events}


async def test_the_value_is_had_again_where_a_thread_goes_on_from_an_earlier_checkpoint() -> None:
    async with Orchestrator([crm([])]) as orc:
        app = orc.compile("status", checkpointer=InMemorySaver())
        await app.ainvoke({"order_id": "A1"}, config())
        async for state in app.aget_state_history(config()):
            if state.next:
                assert (await app.ainvoke(None, state.config))["status"] == "A1 shipped"


async def test_a_run_whose_stream_was_closed_between_two_steps_is_cancelled() -> None:
    async with Orchestrator([crm([])]) as orc:
        stream = orc.compile("status").astream({"order_id": "A1"}, stream_mode="custom")
        run_id = (await anext(stream)).run_id
        await stream.aclose()
        for _ in range(2000):
            if orc.outcome(run_id).status is not Status.RUNNING:
                break
            await asyncio.sleep(0.01)
        assert orc.outcome(run_id).status is Status.ESCALATED


async def test_a_run_whose_graph_fails_between_two_steps_is_cancelled() -> None:
    async with Orchestrator([crm([])]) as orc:
        app = orc.compile("status")
        stream = app.astream({"order_id": "A1"}, stream_mode=["custom", "updates"])
        kind, event = await anext(stream)
        while kind != "custom":
            kind, event = await anext(stream)
        with pytest.raises(ValueError, match="of the caller"):
            await stream.athrow(ValueError("of the caller"))
        for _ in range(2000):
            if orc.outcome(event.run_id).status is not Status.RUNNING:
                break
            await asyncio.sleep(0.01)
        assert orc.outcome(event.run_id).status is Status.ESCALATED


def test_a_run_whose_plain_stream_was_closed_between_two_steps_is_cancelled() -> None:
    with Orchestrator([crm([])]) as orc:
        stream = orc.compile("status").stream({"order_id": "A1"}, stream_mode="custom")
        run_id = next(iter(stream)).run_id
        stream.close()  # pyright: ignore[reportAttributeAccessIssue]
        for _ in range(2000):
            if orc.outcome(run_id).status is not Status.RUNNING:
                break
            time.sleep(0.01)
        assert orc.outcome(run_id).status is Status.ESCALATED


async def test_a_reader_of_a_stream_may_be_slow() -> None:
    async with Orchestrator([crm([])]) as orc:
        app = orc.compile("status")
        seen: list[Any] = []
        async for part in app.astream({"order_id": "A1"}, stream_mode="values"):
            seen.append(part)
            gc.collect()
            await asyncio.sleep(0.05)
        assert seen[-1]["status"] == "A1 shipped"
        configured = app.with_config(tags=["again"])
        assert (await configured.ainvoke({"order_id": "A2"}))["status"] == "A2 shipped"
