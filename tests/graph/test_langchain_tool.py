"""LangChain tools as tools of the graph, and the other way round."""

from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, ToolException
from langchain_core.tools import tool as langchain_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from orchestrator import DefinitionError, Orchestrator, RunContext, Status, Tool, tool


@langchain_tool
def search(query: str, limit: int = 3) -> list[str]:
    """Search the web."""
    return [query] * limit


def test_a_langchain_tool_keeps_name_description_and_schema() -> None:
    for made in (Tool(search), Tool.from_langchain(search)):
        assert (made.name, made.description) == ("search", "Search the web.")
        assert (made.needs, made.optional) == ({"query": "query"}, {"limit": "limit"})
        assert made.parameter_types == {"query": str, "limit": int}
        assert made.as_langchain() is search


async def test_it_runs_with_its_own_defaults() -> None:
    async with Orchestrator([Tool(search, gives={"hits": list[str]})]) as orc:
        assert (await orc.run("hits", {"query": "a"})).value == ["a", "a", "a"]
        assert (await orc.run("hits", {"query": "a", "limit": 1})).value == ["a"]


async def test_a_schema_given_as_json_is_read() -> None:
    schema = {
        "type": "object",
        "properties": {"from": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["from"],
    }

    async def convert(**inputs: Any) -> str:
        return str(sorted(inputs.items()))

    made = Tool(StructuredTool(name="convert", description="x", args_schema=schema, coroutine=convert), gives="out")
    assert made.needs == {"from": "from"}
    async with Orchestrator([made]) as orc:
        assert (await orc.run("out", {"from": "EUR"})).value == "[('from', 'EUR')]"


async def test_a_tool_exception_is_a_refusal() -> None:
    @langchain_tool
    def book(seat: str) -> str:
        """Book."""
        raise ToolException("no seats")

    async with Orchestrator([Tool(book, gives="ticket")]) as orc:
        outcome = await orc.run("ticket", {"seat": "4A"})
    assert [(f.kind, f.message) for f in outcome.failures] == [("refusal", "no seats")]


async def test_injected_arguments_are_provided() -> None:
    seen: dict[str, Any] = {}

    @langchain_tool
    def look(
        query: str,
        user: Annotated[str, InjectedState("user")],
        store: Annotated[BaseStore, InjectedStore()],
        call_id: Annotated[str, InjectedToolCallId],
        config: RunnableConfig,
        runtime: ToolRuntime[Any, Any],
    ) -> str:
        """Look."""
        seen.update(user=user, store=store, call_id=call_id, config=config, runtime=runtime)
        return query

    store = InMemoryStore()
    made = Tool(look, gives="seen")
    assert made.needs == {"query": "query", "user": "user"}
    async with Orchestrator([made], deps=store) as orc:
        assert (await orc.run("seen", {"query": "q", "user": "ann"})).value == "q"
    assert seen["user"] == "ann"
    assert seen["store"] is store
    assert seen["call_id"]
    assert seen["runtime"].store is store


async def test_a_command_gives_its_update() -> None:
    @langchain_tool
    def note(text: str, call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Note."""
        return Command(update={"noted": text, "messages": []}, graph=Command.PARENT)

    async with Orchestrator([Tool(note, gives="update")]) as orc:
        assert (await orc.run("update", {"text": "x"})).value == {"noted": "x", "messages": []}


def test_what_is_no_langchain_tool_is_refused() -> None:
    with pytest.raises(DefinitionError, match="LangChain tool"):
        Tool.from_langchain(lambda: 1)


# -- the other way round ---------------------------------------------------------------------------------------------


@tool(gives="total")
def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


def test_a_tool_as_a_langchain_tool() -> None:
    made = add.as_langchain()
    assert isinstance(made, BaseTool)
    assert (made.name, made.description) == ("add", "Add.")
    assert made.args["a"]["type"] == "integer"
    assert made.invoke({"a": 2}) == 3
    assert made.invoke({"a": 2, "b": 2}) == 4


def test_a_tool_with_a_context_names_the_way() -> None:
    @tool(gives="x")
    async def inner(ctx: RunContext, a: int) -> int:
        return a

    with pytest.raises(DefinitionError, match=r"orc\.as_tool\('x'\)"):
        inner.as_langchain()


@tool(gives="quote")
def dear(parcel: str) -> str:
    raise ConnectionError("reset by peer")


@tool(gives="quote", cost=0.001)
def rate_table(parcel: str) -> str:
    """A quote for a parcel."""
    return f"5 USD for {parcel}"


def test_a_goal_as_a_langchain_tool_is_healed() -> None:
    made = Orchestrator([dear, rate_table]).as_tool("quote")
    assert made.args.keys() == {"parcel"}
    assert made.invoke({"parcel": "p"}) == "5 USD for p"
    message = made.invoke({"name": "quote", "args": {"parcel": "p"}, "id": "1", "type": "tool_call"})
    assert message.artifact["failures"][0]["tool"] == "dear"


async def test_a_goal_that_is_not_reached_is_an_error_message() -> None:
    async with Orchestrator([dear]) as orc:
        made = orc.as_tool("quote", name="get_quote", description="Quotes.")
        message = await made.ainvoke({"name": "get_quote", "args": {"parcel": "p"}, "id": "1", "type": "tool_call"})
    assert message.status == "error"
    assert "quote was not reached" in message.content


async def test_a_question_of_a_goal_is_an_interrupt_of_the_graph_around_it() -> None:
    paid: list[int] = []

    @tool(gives="receipt", effect="irreversible", approval=True)
    def pay(usd: int) -> str:
        """Pay."""
        paid.append(usd)
        return "paid"

    async with Orchestrator([pay]) as orc:
        builder = StateGraph(MessagesState)
        builder.add_node("tools", ToolNode([orc.as_tool("receipt")]))
        builder.add_edge(START, "tools")
        builder.add_edge("tools", END)
        graph = builder.compile(checkpointer=InMemorySaver())
        config: RunnableConfig = {"configurable": {"thread_id": "t"}}
        asked = AIMessage("", tool_calls=[{"name": "receipt", "args": {"usd": 5}, "id": "c1"}])
        result = await graph.ainvoke({"messages": [asked]}, config)
        assert "pay" in result["__interrupt__"][0].value["question"]
        assert paid == []
        result = await graph.ainvoke(Command(resume=True), config)
    assert paid == [5]
    assert result["messages"][-1].content == "paid"
    assert result["messages"][-1].artifact["status"] == Status.REACHED
