"""The root run of an agent: open while the agent runs, closed however it ends; people's answers on the way."""

import asyncio
import gc
from typing import Any, cast

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRetryMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from orchestrator import AskHuman, Orchestrator, Status
from orchestrator import tool as graph_tool
from orchestrator.integrations.langchain import HealingMiddleware, HealingToolNode
from orchestrator.integrations.langchain import middleware as invocation
from orchestrator.testing import ScriptedChatModel

from .test_healing import FAST, asked, graph_of


@tool
def look(q: str) -> str:
    """Look."""
    return q


def roots(middleware: HealingMiddleware) -> list[Any]:
    return middleware.orc.store.runs(parent=None)


class Breaks(ScriptedChatModel):
    """A model that fails at once, or never answers."""

    hangs: bool = False

    def _generate(self, *args: Any, **options: Any) -> Any:
        raise ValueError("the model broke")

    async def _agenerate(self, *args: Any, **options: Any) -> Any:
        if self.hangs:
            await asyncio.Event().wait()
        raise ValueError("the model broke")


def agent_of(model: Any, middleware: HealingMiddleware, **options: Any) -> Any:
    return cast("Any", create_agent(model, [look], middleware=[middleware], **options))


def test_the_middleware_is_no_subclass_and_leaves_the_hooks_that_it_has_not_alone() -> None:
    assert not issubclass(HealingMiddleware, AgentMiddleware)
    assert HealingMiddleware.before_model is AgentMiddleware.before_model
    nodes = agent_of(ScriptedChatModel(["hi"]), HealingMiddleware()).get_graph().nodes
    assert {name for name in nodes if "Healing" in name} == {
        "HealingMiddleware.before_agent",
        "HealingMiddleware.after_agent",
    }


@pytest.mark.parametrize("sync", [True, False])
def test_the_root_run_is_open_from_the_first_hook_to_the_last(sync: bool) -> None:
    middleware = HealingMiddleware(policy=FAST)
    open_then: list[Status] = []

    class Watches(ScriptedChatModel):
        def _generate(self, *args: Any, **options: Any) -> Any:
            open_then.extend(row.status for row in roots(middleware))
            return super()._generate(*args, **options)

    agent = agent_of(Watches(responses=["hi"]), middleware)
    given = {"messages": [("user", "hi")]}
    config = {"configurable": {"thread_id": "t"}}
    _ = agent.invoke(given, config) if sync else asyncio.run(agent.ainvoke(given, config))
    assert open_then == [Status.RUNNING]
    (row,) = roots(middleware)
    assert (row.status, dict(row.labels)) == (Status.REACHED, {"thread_id": "t"})


@pytest.mark.parametrize("sync", [True, False])
async def test_the_root_run_ends_when_the_agent_raises(sync: bool) -> None:
    middleware = HealingMiddleware(policy=FAST)
    agent = agent_of(Breaks(responses=["unused"]), middleware)
    given = {"messages": [("user", "hi")]}
    with pytest.raises(ValueError, match="the model broke"):
        _ = agent.invoke(given) if sync else await agent.ainvoke(given)
    await ended(middleware)
    (row,) = roots(middleware)
    assert row.status is Status.REACHED
    assert middleware.orc.outcome(row.run_id).compensated == ()


async def test_the_root_run_ends_when_the_agent_is_cancelled() -> None:
    middleware = HealingMiddleware(policy=FAST)
    agent = agent_of(Breaks(responses=["unused"], hangs=True), middleware)
    task = asyncio.create_task(agent.ainvoke({"messages": [("user", "hi")]}))
    while not roots(middleware):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await ended(middleware)


async def test_without_an_exit_stack_the_root_run_ends_with_the_objects_of_the_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> Any:
        raise AttributeError

    monkeypatch.setattr(invocation, "_exit_stack", none)
    middleware = HealingMiddleware(policy=FAST)
    agent = agent_of(Breaks(responses=["unused"]), middleware, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    kept: list[BaseException] = []
    for _ in range(2):
        try:
            await agent.ainvoke({"messages": [("user", "hi")]}, config)
        except ValueError as error:
            kept.append(error)  # keeps the frames of the invocation
    await asyncio.sleep(0.05)
    assert sum(row.status is Status.RUNNING for row in roots(middleware)) <= 1  # a thread has one agent at a time
    kept.clear()
    gc.collect()
    await ended(middleware)


async def test_an_interrupt_keeps_the_root_run_open() -> None:
    middleware = HealingMiddleware(policy=FAST)
    model = ScriptedChatModel([asked(("look", {"q": "a"})), "done"])
    agent = agent_of(model, middleware, checkpointer=InMemorySaver(), interrupt_before=["tools"])
    config = {"configurable": {"thread_id": "t"}}
    await agent.ainvoke({"messages": [("user", "hi")]}, config)
    assert [row.status for row in roots(middleware)] == [Status.RUNNING]
    state = await agent.ainvoke(None, config)
    assert state["messages"][-1].content == "done"
    assert [row.status for row in roots(middleware)] == [Status.REACHED]


async def test_an_error_that_other_middleware_handles_ends_nothing() -> None:
    middleware = HealingMiddleware(policy=FAST)

    class Flaky(ScriptedChatModel):
        failed: bool = False

        async def _agenerate(self, *args: Any, **options: Any) -> Any:
            if not self.failed:
                self.failed = True
                raise ConnectionError("once")
            return self._generate(*args, **options)

    model = Flaky(responses=[asked(("look", {"q": "a"})), "done"])
    retry = ModelRetryMiddleware(initial_delay=0.0, jitter=False)
    chain: list[Any] = [retry, middleware]
    agent: Any = create_agent(model, [look], middleware=chain)
    state = await agent.ainvoke({"messages": [("user", "hi")]})
    assert state["messages"][-1].content == "done"
    assert [row.status for row in roots(middleware)] == [Status.REACHED]


async def ended(middleware: HealingMiddleware) -> None:
    async with asyncio.timeout(5):
        while any(not row.status.ended for row in roots(middleware)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# -- people's answers ------------------------------------------------------------------------------------------------


def paying(paid: list[int]) -> tuple[Any, Orchestrator]:
    @tool
    def pay(usd: int) -> str:
        """Pay."""
        paid.append(usd)
        return f"paid {usd}"

    declared = graph_tool(gives="receipt", effect="irreversible", approval=True, name="pay")(lambda usd: "unused")
    return pay, Orchestrator([declared], policy=FAST, escalation=[AskHuman()])


@pytest.mark.parametrize("sync", [True, False])
def test_a_wrong_answer_to_an_approval_is_reported_and_asked_again(sync: bool) -> None:
    paid: list[int] = []
    pay, orc = paying(paid)
    graph = graph_of(HealingToolNode([pay], orc=orc), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}

    async def drive() -> list[Any]:
        found: list[Any] = []
        given: Any
        for given in ({"messages": [asked(("pay", {"usd": 5}))]}, Command(resume="perhaps"), Command(resume=True)):
            found.append(graph.invoke(given, config) if sync else await graph.ainvoke(given, config))
        return found

    first, second, last = asyncio.run(drive())
    assert "problem" not in first["__interrupt__"][0].value
    assert "yes or no" in second["__interrupt__"][0].value["problem"]
    assert (paid, last["messages"][-1].content) == ([5], "paid 5")


@pytest.mark.parametrize("sync", [True, False])
def test_two_approvals_of_one_turn_are_two_questions(sync: bool) -> None:
    paid: list[int] = []
    pay, orc = paying(paid)
    graph = graph_of(HealingToolNode([pay], orc=orc), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}

    async def drive() -> Any:
        given: Any = {"messages": [asked(("pay", {"usd": 5}), ("pay", {"usd": 6}))]}
        state: Any = None
        for _ in range(4):
            state = graph.invoke(given, config) if sync else await graph.ainvoke(given, config)
            if "__interrupt__" not in state:
                break
            given = Command(resume={each.id: True for each in state["__interrupt__"]})
        return state

    state = asyncio.run(drive())
    assert sorted(paid) == [5, 6]
    assert [m.content for m in state["messages"] if isinstance(m, ToolMessage)] == ["paid 5", "paid 6"]


@pytest.mark.parametrize("sync", [True, False])
def test_an_answer_is_for_the_call_whose_question_was_shown(sync: bool) -> None:
    made: list[str] = []

    def tool_named(name: str) -> Any:
        def work() -> str:
            """Work."""
            made.append(name)
            return name

        work.__name__ = name
        return tool(work)

    names = ["refund", "delete", "send"]
    declared = [
        graph_tool(gives=f"{name}.done", effect="irreversible", approval=True, name=name)(lambda: "unused")
        for name in names
    ]
    orc = Orchestrator(declared, policy=FAST, escalation=[AskHuman()])
    node = HealingToolNode([tool_named(name) for name in names], orc=orc)
    graph = graph_of(node, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}

    async def drive() -> Any:
        given: Any = {"messages": [asked(*((name, {}) for name in names))]}
        for _ in range(8):
            state = graph.invoke(given, config) if sync else await graph.ainvoke(given, config)
            if "__interrupt__" not in state:
                return state
            (shown,) = state["__interrupt__"]
            choices = shown.value["choices"]
            stop = [n for n, choice in enumerate(choices, 1) if "stop" in choice]
            given = Command(resume=stop[0] if stop else "delete" not in shown.value["question"])

    state = asyncio.run(drive())
    assert sorted(made) == ["refund", "send"]
    said = {m.name: m.status for m in state["messages"] if isinstance(m, ToolMessage)}
    assert said == {"refund": "success", "delete": "error", "send": "success"}
    roots = orc.store.runs(parent=None)
    assert all(root.status is Status.REACHED and orc.verify(root.run_id).ok for root in roots)
    assert len(roots) == 1


@pytest.mark.parametrize("sync", [True, False])
def test_the_calls_of_an_execution_share_a_root_run_though_one_begins_when_another_has_ended(sync: bool) -> None:
    orc = Orchestrator(policy=FAST)
    node = HealingToolNode([look], orc=orc, effects={"look": "read"})
    graph: Any = graph_of(node)
    given = {"messages": [asked(*(("look", {"q": q}) for q in "abc"))]}
    one_by_one: Any = {"max_concurrency": 1}
    state = graph.invoke(given, one_by_one) if sync else asyncio.run(graph.ainvoke(given, one_by_one))
    assert [m.content for m in state["messages"] if isinstance(m, ToolMessage)] == ["a", "b", "c"]
    (root,) = orc.store.runs(parent=None)
    assert root.status is Status.REACHED
    assert len(orc.store.runs(parent=root.run_id)) == 3


def test_an_approval_survives_the_event_loop_that_asked() -> None:
    paid: list[int] = []
    pay, orc = paying(paid)
    graph = graph_of(HealingToolNode([pay], orc=orc), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    asyncio.run(graph.ainvoke({"messages": [asked(("pay", {"usd": 5}))]}, config))
    assert paid == []
    state = asyncio.run(graph.ainvoke(Command(resume=True), config))
    assert (paid, state["messages"][-1].content) == ([5], "paid 5")


def test_ids_with_signs_in_them_find_their_call() -> None:
    paid: list[int] = []
    pay, orc = paying(paid)
    graph = graph_of(HealingToolNode([pay], orc=orc), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    call: Any = {"name": "pay", "args": {"usd": 7}, "id": "call:7/~ü%"}
    graph.invoke({"messages": [AIMessage("", tool_calls=[call])]}, config)
    state = graph.invoke(Command(resume=True), config)
    assert (paid, state["messages"][-1].tool_call_id) == ([7], "call:7/~ü%")
