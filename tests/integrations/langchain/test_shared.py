"""Several agents and nodes of one orchestrator, and several agent objects over one thread."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from orchestrator import DefinitionError, Orchestrator, Tool, Unavailable
from orchestrator.integrations.langchain import HealingMiddleware, HealingToolNode
from orchestrator.testing import ScriptedChatModel

from .test_healing import ALTERNATIVES, FAST, asked, brave, failing, graph_of, run

GIVEN: Any = {"messages": [HumanMessage("hi")]}


def named(name: str, answer: str) -> StructuredTool:
    def work(q: str) -> str:
        """Work."""
        return answer + q

    return StructuredTool.from_function(work, name=name)


def test_nodes_of_one_orchestrator_work_side_by_side_each_with_its_own_tools() -> None:
    orc = Orchestrator()
    first, second = (graph_of(HealingToolNode([named("look", answer)], orc=orc)) for answer in ("one ", "two "))
    third = graph_of(HealingToolNode([named("other", "three ")], orc=orc))
    said = [
        run(graph, (name, {"q": "a"}))[0].content
        for graph, name in ((first, "look"), (second, "look"), (first, "look"), (third, "other"))
    ]
    assert said == ["one a", "two a", "one a", "three a"]
    assert len(orc.store.runs(parent=None)) == 4


async def test_an_agent_in_a_tool_of_another_shares_its_orchestrator() -> None:
    async with Orchestrator() as orc:
        script: list[Any] = [asked(("look", {"q": "z"})), "inner"]
        inner = create_agent(ScriptedChatModel(script), [named("look", "in ")], middleware=[HealingMiddleware(orc)])

        @tool
        async def delegate(q: str) -> str:
            """Delegate."""
            result: Any = await inner.ainvoke(GIVEN)
            return str(result["messages"][-2].content)

        script = [asked(("delegate", {"q": "a"})), "outer"]
        outer = create_agent(ScriptedChatModel(script), [delegate], middleware=[HealingMiddleware(orc)])
        result: Any = await asyncio.wait_for(outer.ainvoke(GIVEN), 10)
    assert result["messages"][-2].content == "in z"


async def test_tools_that_an_orchestrator_declares_serve_several_agents() -> None:
    def down(item: str) -> str:
        raise Unavailable("down")

    def spare(item: str, count: int = 1) -> str:
        return f"{item} {count}"

    async with Orchestrator([Tool(down, gives="price"), Tool(spare, gives="price", cost=1.0)], policy=FAST) as orc:
        for _ in range(2):
            node = HealingToolNode([orc.graph["down"], orc.graph["spare"]], orc=orc)
            given: Any = {"messages": [asked(("down", {"item": "pen"}), ("spare", {"item": "cup", "count": "many"}))]}
            messages = (await graph_of(node).ainvoke(given))["messages"][1:]
            assert messages[0].content == "pen 1"
            assert messages[1].status == "error"
            assert "count" in messages[1].content


def test_what_one_agent_declares_holds_for_the_tools_of_that_name() -> None:
    orc = Orchestrator(policy=FAST)
    search = failing(ConnectionRefusedError("no"))
    plain = graph_of(HealingToolNode([search], orc=orc))
    assert run(plain, ("search", {"query": "x"}))[0].status == "error"
    healed = graph_of(HealingToolNode([search, brave], orc=orc, alternatives=ALTERNATIVES, effects={"search": "read"}))
    assert [run(graph, ("search", {"query": "x"}))[0].content for graph in (healed, plain)] == ["brave x"] * 2
    with pytest.raises(DefinitionError, match="another agent or node"):
        HealingToolNode([search], orc=orc, effects={"search": "write"})


@pytest.mark.parametrize("name", ["a/b c~%", "new\nline", "‮", "\ud800", "x" * 500])
def test_a_model_may_give_any_text_as_the_id_of_a_call(name: str) -> None:
    graph = graph_of(HealingToolNode([brave]))
    call = AIMessage("", tool_calls=[{"name": "brave", "args": {"q": "a"}, "id": name}])
    message = graph.invoke({"messages": [call]})["messages"][-1]
    assert (message.content, message.tool_call_id) == ("brave a", name)


def test_a_tool_cannot_be_called_as_the_run_of_the_agent_is() -> None:
    with pytest.raises(DefinitionError, match="agent run"):
        HealingToolNode([named("agent run", "")])


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("sync", [True, False])
async def test_another_agent_object_goes_on_where_one_was_interrupted(
    sync: bool, durable: bool, tmp_path: Path
) -> None:
    """A program may make its agent anew for each request, over one checkpointer."""
    paid: list[str] = []
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "t"}}

    @tool
    def pay(q: str) -> str:
        """Pay."""
        paid.append(q)
        return f"paid {q}"

    @tool
    def ask(q: str) -> str:
        """Ask."""
        return str(interrupt(q))

    async def request(given: Any, *script: Any) -> Any:
        middleware = HealingMiddleware(store=tmp_path / "runs.db" if durable else None)
        agent: Any = create_agent(ScriptedChatModel([*script]), [pay, ask], middleware=[middleware], checkpointer=saver)
        return await (asyncio.to_thread(agent.invoke, given, config) if sync else agent.ainvoke(given, config))

    first = await request(GIVEN, asked(("pay", {"q": "a"}), ("ask", {"q": "name?"})))
    assert [each.value for each in first["__interrupt__"]] == ["name?"]
    last = await asyncio.wait_for(request(Command(resume="Ann"), "done"), 10)
    assert [m.content for m in last["messages"] if isinstance(m, ToolMessage)] == ["paid a", "Ann"]
    assert paid == ["a"]
