"""Interrupts of several calls of one turn, commands for a parent graph, and a resume while the loop is blocked."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import ParentCommand
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from orchestrator import Status
from orchestrator.integrations.langchain import HealingMiddleware, HealingToolNode
from orchestrator.testing import ScriptedChatModel

from .test_healing import FAST, asked, graph_of

CONFIG: Any = {"configurable": {"thread_id": "t"}}


def asking(made: Counter[str], *names: str, questions: int = 1, is_async: bool = False) -> list[StructuredTool]:
    """Tools that each ask so many questions."""

    def tool_named(name: str) -> StructuredTool:
        def work() -> str:
            """Ask."""
            made[name] += 1
            return " ".join(interrupt(f"{name}{number}") for number in range(questions))

        async def awork() -> str:
            """Ask."""
            return work()

        options: Any = {"coroutine": awork} if is_async else {"func": work}
        return StructuredTool.from_function(**options, name=name, description="Ask.")

    return [tool_named(name) for name in names]


def answers(state: Any) -> dict[str, Any]:
    return {str(m.name): m.content for m in state["messages"] if isinstance(m, ToolMessage)}


@pytest.mark.parametrize("how", ["sync", "async", "async tools"])
@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize("anew", [True, False])
def test_each_answer_is_for_the_tool_whose_question_was_shown(how: str, by_id: bool, anew: bool) -> None:
    made: Counter[str] = Counter()
    saver = InMemorySaver()
    names = ("refund", "delete", "send")

    def graph() -> Any:
        tools = asking(made, *names, questions=2, is_async=how == "async tools")
        return graph_of(HealingToolNode(tools, policy=FAST), checkpointer=saver)

    async def drive() -> Any:
        kept = graph()
        given: Any = {"messages": [asked(*((name, {}) for name in names))]}
        for _ in range(8):
            current = graph() if anew else kept
            state = current.invoke(given, CONFIG) if how == "sync" else await current.ainvoke(given, CONFIG)
            if "__interrupt__" not in state:
                return state
            (shown,) = state["__interrupt__"]
            answer = f"re:{shown.value}"
            given = Command(resume={shown.id: answer} if by_id else answer)
        raise AssertionError("it asks for ever")

    state = asyncio.run(drive())
    assert answers(state) == {name: f"re:{name}0 re:{name}1" for name in names}
    if not anew:
        assert sum(made.values()) < 3 * 7  # seven executions; a call that has ended is not made again


async def test_an_invalid_answer_is_asked_for_again_and_is_not_given_to_another_tool() -> None:
    @tool
    def count() -> str:
        """Count."""
        return str(interrupt("how many?", response_schema=int) + 1)

    made: Counter[str] = Counter()
    graph = graph_of(HealingToolNode([count, *asking(made, "name")], policy=FAST), checkpointer=InMemorySaver())
    state = await graph.ainvoke({"messages": [asked(("count", {}), ("name", {}))]}, CONFIG)
    tried = False
    while "__interrupt__" in state:
        (shown,) = state["__interrupt__"]
        if shown.value == "how many?" and not tried:
            tried = True
            with pytest.raises(ValueError, match="valid"):
                await graph.ainvoke(Command(resume="many"), CONFIG)
            state = await graph.ainvoke(Command(resume=4), CONFIG)
            continue
        state = await graph.ainvoke(Command(resume="Ada"), CONFIG)
    assert answers(state) == {"count": "5", "name": "Ada"}


async def test_a_graph_inside_a_tool_interrupts_beside_another_tool() -> None:
    def inner_of() -> Any:
        builder: Any = StateGraph(MessagesState)
        builder.add_node("ask", lambda _: {"messages": [("ai", interrupt("inner?"))]})
        builder.add_edge(START, "ask")
        builder.add_edge("ask", END)
        return builder.compile(checkpointer=True)

    inner = inner_of()

    @tool
    async def sub() -> str:
        """Run a graph."""
        state: Any = await inner.ainvoke({"messages": [("user", "hi")]})
        return str(state["messages"][-1].content)

    made: Counter[str] = Counter()
    graph = graph_of(HealingToolNode([sub, *asking(made, "plain")], policy=FAST), checkpointer=InMemorySaver())
    state = await graph.ainvoke({"messages": [asked(("sub", {}), ("plain", {}))]}, CONFIG)
    for _ in range(4):
        if "__interrupt__" not in state:
            break
        state = await graph.ainvoke(Command(resume=f"re:{state['__interrupt__'][0].value}"), CONFIG)
    assert answers(state) == {"sub": "re:inner?", "plain": "re:plain0"}


@pytest.mark.parametrize("raises", [True, False])
async def test_a_command_for_a_parent_graph_ends_the_root_run(raises: bool) -> None:
    @tool
    def jump() -> Any:
        """Jump."""
        command: Any = Command(graph=Command.PARENT, goto="other")
        if raises:
            raise ParentCommand(Command(graph="unknown", goto="other"))
        return command

    middleware = HealingMiddleware(policy=FAST)
    inner: Any = create_agent(ScriptedChatModel([asked(("jump", {})), "never"]), [jump], middleware=[middleware])
    builder: Any = StateGraph(MessagesState)
    builder.add_node("agent", inner)
    builder.add_node("other", lambda _: {"messages": [("ai", "other")]})
    builder.add_edge(START, "agent")
    graph = builder.compile()
    if raises:
        with pytest.raises(ParentCommand):
            await graph.ainvoke({"messages": [("user", "hi")]})
    else:
        state = await graph.ainvoke({"messages": [("user", "hi")]})
        assert state["messages"][-1].content == "other"
    async with asyncio.timeout(5):
        while [row.status for row in middleware.orc.store.runs(parent=None)] != [Status.REACHED]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_sync_resume_inside_of_the_loop_that_was_interrupted_does_not_wait_for_it() -> None:
    made: Counter[str] = Counter()
    node = HealingToolNode(asking(made, "ask"), policy=FAST)
    graph = graph_of(node, checkpointer=InMemorySaver())

    async def drive() -> Any:
        await graph.ainvoke({"messages": [asked(("ask", {}))]}, CONFIG)
        return graph.invoke(Command(resume="yes"), CONFIG)

    assert answers(asyncio.run(asyncio.wait_for(drive(), 20))) == {"ask": "yes"}


def test_an_async_only_alternative_of_a_sync_agent_is_unavailable_and_not_ambiguous() -> None:
    @tool
    def search(query: str) -> str:
        """Search."""
        raise ConnectionRefusedError("down")

    async def work(query: str) -> str:
        """Search."""
        return query

    later = StructuredTool.from_function(coroutine=work, name="later", description="Search.")
    graph = graph_of(HealingToolNode([search, later], policy=FAST, alternatives={"search": ["later"]}))
    (reply,) = graph.invoke({"messages": [asked(("search", {"query": "a"}))]})["messages"][1:]
    assert "later is async-only" in reply.content
    assert "may have taken effect" not in reply.content


def test_the_original_gives_the_same_answers_where_it_asks_in_order() -> None:
    made: Counter[str] = Counter()
    found: list[Any] = []
    for node in (ToolNode(asking(made, "a", "b")), HealingToolNode(asking(made, "a", "b"), policy=FAST)):
        graph = graph_of(node, checkpointer=InMemorySaver())
        state = graph.invoke({"messages": [asked(("a", {}), ("b", {}))]}, CONFIG)
        while "__interrupt__" in state:
            state = graph.invoke(Command(resume=f"re:{state['__interrupt__'][0].value}"), CONFIG)
        found.append(answers(state))
    assert found[0] == found[1] == {"a": "re:a0", "b": "re:b0"}


async def test_the_calls_of_an_agent_interrupt_each_for_itself_and_are_answered_together() -> None:
    made: Counter[str] = Counter()
    middleware = HealingMiddleware(policy=FAST)
    model = ScriptedChatModel([asked(("a", {}), ("b", {})), "done"])
    agent: Any = create_agent(model, asking(made, "a", "b"), middleware=[middleware], checkpointer=InMemorySaver())
    state = await agent.ainvoke({"messages": [("user", "hi")]}, CONFIG)
    shown = {each.value: each.id for each in state["__interrupt__"]}
    assert set(shown) == {"a0", "b0"}
    state = await agent.ainvoke(Command(resume={id_: f"re:{value}" for value, id_ in shown.items()}), CONFIG)
    assert answers(state) == {"a": "re:a0", "b": "re:b0"}
