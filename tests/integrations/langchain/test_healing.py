"""Agents whose tool calls are healed: an alternative answers under the same id, or one message says what was tried."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolCallId, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt

import orchestrator
from orchestrator import AskHuman, DefinitionError, Orchestrator, Policy, Status
from orchestrator import tool as graph_tool
from orchestrator.integrations.langchain import HealingChatModel, HealingMiddleware, HealingToolNode
from orchestrator.testing import ScriptedChatModel

FAST = Policy(retries={"attempts": 0})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ALTERNATIVES = {"search": {"brave": {"q": "query"}}}


def asked(*calls: tuple[str, dict[str, Any]]) -> AIMessage:
    return AIMessage(
        "", tool_calls=[{"name": name, "args": args, "id": f"c{n}"} for n, (name, args) in enumerate(calls)]
    )


def graph_of(node: Any, **options: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("tools", node)
    builder.add_edge(START, "tools")
    builder.add_edge("tools", END)
    return builder.compile(**options)


def run(graph: Any, *calls: tuple[str, dict[str, Any]]) -> list[ToolMessage]:
    return graph.invoke({"messages": [asked(*calls)]})["messages"][1:]


@tool
def brave(q: str) -> str:
    """Search with Brave."""
    return f"brave {q}"


def failing(error: Exception) -> Any:
    @tool
    def search(query: str) -> str:
        """Search."""
        raise error

    return search


def test_the_names_are_public() -> None:
    assert orchestrator.HealingToolNode is HealingToolNode
    assert orchestrator.HealingMiddleware is HealingMiddleware


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("how", ["node", "middleware"])
def test_an_alternative_answers_under_the_same_id(sync: bool, how: str) -> None:
    said: BaseMessage
    search = failing(ConnectionRefusedError("refused"))
    if how == "node":
        node = HealingToolNode([search, brave], alternatives=ALTERNATIVES, policy=FAST)
        graph, said = graph_of(node), asked(("search", {"query": "x"}))
        orc = node.orc  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    else:
        middleware = HealingMiddleware(alternatives=ALTERNATIVES, policy=FAST)
        model = ScriptedChatModel([asked(("search", {"query": "x"})), "done"])
        graph = cast("Any", create_agent(model, [search, brave], middleware=[middleware]))
        orc, said = middleware.orc, HumanMessage("hi")
    given = {"messages": [said]}
    messages = (graph.invoke(given) if sync else asyncio.run(graph.ainvoke(given)))["messages"]
    answer = next(m for m in messages if isinstance(m, ToolMessage))
    assert (answer.content, answer.name, answer.tool_call_id, answer.status) == ("brave x", "search", "c0", "success")
    runs = orc.store.runs(parent=...)
    root = next(row for row in runs if row.parent is None)
    assert [row.parent for row in runs if row is not root] == [root.run_id]
    assert {row.status for row in runs} == {Status.REACHED}
    assert all(orc.verify(row.run_id).ok and orc.replay(row.run_id).agrees for row in runs)


def test_a_read_that_may_have_happened_is_healed_and_a_write_is_not() -> None:
    calls = ("search", {"query": "x"})
    search = failing(TimeoutError("timed out"))
    (read,) = run(
        graph_of(HealingToolNode([search, brave], alternatives=ALTERNATIVES, effects={"search": "read"}, policy=FAST)),
        calls,
    )
    (write,) = run(graph_of(HealingToolNode([search, brave], alternatives=ALTERNATIVES, policy=FAST)), calls)
    assert read.content == "brave x"
    assert write.status == "error"
    assert "may have taken effect" in write.text
    assert "effects={'search': 'read'}" in write.text


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError("no"), ToolException("429 too many requests"), orchestrator.Unavailable("down")]
)
def test_a_failure_that_proves_that_nothing_happened_is_healed_whatever_the_effect(error: Exception) -> None:
    node = HealingToolNode([failing(error), brave], alternatives=ALTERNATIVES, policy=FAST)
    assert run(graph_of(node), ("search", {"query": "x"}))[0].content == "brave x"


def test_when_nothing_answers_one_message_says_what_was_tried() -> None:
    @tool
    def cache(key: str) -> str:
        """Cached results."""
        raise ConnectionRefusedError("cache is down")

    search = failing(ConnectionRefusedError("search is down"))
    node = HealingToolNode([search, cache], alternatives={"search": [("cache", {"key": "query"})]}, policy=FAST)
    (said,) = run(graph_of(node), ("search", {"query": "x"}))
    assert said.status == "error"
    assert "search is down" in said.text
    assert "cache is down" in said.text


def test_tools_of_an_orchestrator_that_give_the_same_key_stand_in() -> None:
    @graph_tool(gives={"hits": list[str]}, needs={"query": "query"})
    def search(query: str) -> list[str]:
        raise AssertionError("the agent's own tool is called")

    @graph_tool(gives={"hits": list[str]}, needs={"query": "query"}, cost=0.01)
    def index(query: str) -> list[str]:
        return [f"index {query}"]

    broken = failing(ConnectionRefusedError("no"))
    orc = Orchestrator([search, index], policy=FAST)
    (said,) = run(graph_of(HealingToolNode([broken], orc=orc)), ("search", {"query": "x"}))
    assert "index x" in said.text
    assert orc.health.status("search").success < 1


def test_circuits_are_shared_by_the_nodes_of_one_orchestrator() -> None:
    orc = Orchestrator(policy=FAST)
    node = HealingToolNode([failing(ConnectionRefusedError("no")), brave], orc=orc, alternatives=ALTERNATIVES)
    orc.health.trip("search", "maintenance")
    (said,) = run(graph_of(node), ("search", {"query": "x"}))
    assert said.content == "brave x"
    root = next(row for row in orc.store.runs(parent=...) if row.parent is not None)
    assert orc.outcome(root.run_id).failures == ()


# -- behaves as the original -----------------------------------------------------------------------------------------


def both(tools: list[Any], *calls: tuple[str, dict[str, Any]], **options: Any) -> tuple[Any, Any]:
    """What the original and the healed node answer."""
    found: list[Any] = []
    for node in (ToolNode(tools), HealingToolNode(tools, policy=FAST)):
        messages = graph_of(node, **options).invoke({"messages": [asked(*calls)]})["messages"]
        found.append([m.model_dump(exclude={"id"}) for m in messages[1:]])
    return found[0], found[1]


@tool(response_format="content_and_artifact")
def chart(n: int) -> tuple[str, dict[str, int]]:
    """A chart."""
    return f"chart {n}", {"n": n}


@tool
def blocks(n: int) -> list[dict[str, Any]]:
    """Blocks of content."""
    return [{"type": "text", "text": str(n)}]


@tool
def injected(
    q: str,
    state: Annotated[dict[str, Any], InjectedState],
    store: Annotated[BaseStore, InjectedStore()],
    call_id: Annotated[str, InjectedToolCallId],
    config: RunnableConfig,
    runtime: ToolRuntime,  # pyright: ignore[reportUnknownParameterType]
) -> str:
    """What is injected."""
    return f"{q} {len(state['messages'])} {type(store).__name__} {call_id} {runtime.tool_call_id}"


def refusing(q: str) -> str:
    """Refuses."""
    raise ToolException("no such order")


def test_messages_are_those_of_the_original() -> None:
    from langchain_core.tools import StructuredTool

    handled = StructuredTool.from_function(refusing, name="handled", handle_tool_error=True)
    cases: list[tuple[list[Any], list[tuple[str, dict[str, Any]]], dict[str, Any]]] = [
        ([chart], [("chart", {"n": 1})], {}),
        ([blocks], [("blocks", {"n": 1})], {}),
        ([brave], [("brave", {"q": "a"}), ("brave", {"q": "b"})], {}),
        ([brave], [("brave", {"wrong": "a"})], {}),
        ([brave], [("unknown", {})], {}),
        ([handled], [("handled", {"q": "a"})], {}),
        ([injected], [("injected", {"q": "a"})], {"store": InMemoryStore()}),
    ]
    for tools, calls, options in cases:
        original, healed = both(tools, *calls, **options)
        assert healed == original


@pytest.mark.parametrize("kind", [ToolNode, HealingToolNode])
def test_a_tool_that_is_async_alone_is_an_error_of_a_sync_program(kind: Any) -> None:
    @tool
    async def later(q: str) -> str:
        """Later."""
        return q

    with pytest.raises(NotImplementedError, match="does not support sync"):
        run(graph_of(kind([later])), ("later", {"q": "x"}))


def test_a_command_is_passed_on() -> None:
    @tool
    def note(call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Note."""
        return Command(update={"messages": [ToolMessage("noted", tool_call_id=call_id)]})

    original, healed = both([note], ("note", {}))
    assert healed == original
    assert healed[0]["content"] == "noted"


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), GeneratorExit()])
async def test_a_tool_that_exits_is_a_failure_of_the_tool(sync: bool, error: BaseException) -> None:
    @tool
    def leave(q: str) -> str:
        """Leave."""
        raise error

    graph = graph_of(HealingToolNode([leave, brave], alternatives={"leave": ["brave"]}, effects={"leave": "read"}))
    given: Any = {"messages": [asked(("leave", {"q": "a"}))]}
    result = await (asyncio.to_thread(graph.invoke, given) if sync else graph.ainvoke(given))
    assert (result["messages"][-1].content, result["messages"][-1].name) == ("brave a", "leave")


@pytest.mark.parametrize("sync", [True, False])
async def test_an_orchestrator_that_heals_is_closed(sync: bool, tmp_path: Path) -> None:
    orc = Orchestrator(store=tmp_path / "runs.db")
    agent = create_agent(
        ScriptedChatModel(responses=[asked(("brave", {"q": "a"})), "done"]),
        [brave],
        middleware=[HealingMiddleware(orc)],
    )
    given: Any = {"messages": [HumanMessage("hi")]}
    await (asyncio.to_thread(agent.invoke, given) if sync else agent.ainvoke(given))
    await (asyncio.to_thread(orc.close) if sync else orc.aclose())
    assert [*asyncio.all_tasks()] == [asyncio.current_task()]


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("kind", [ToolNode, HealingToolNode])
async def test_middleware_around_the_healing_may_make_a_call_again(kind: Any, sync: bool) -> None:
    made: list[str] = []

    @tool
    def count(q: str) -> str:
        """Count."""
        made.append(q)
        return f"{q}{len(made)}"

    def twice(request: Any, execute: Any) -> ToolMessage:
        first, second = execute(request), execute(request)
        return ToolMessage(first.content + second.content, tool_call_id=request.tool_call["id"])

    async def atwice(request: Any, execute: Any) -> ToolMessage:
        first, second = await execute(request), await execute(request)
        return ToolMessage(first.content + second.content, tool_call_id=request.tool_call["id"])

    graph = graph_of(kind([count], wrap_tool_call=twice, awrap_tool_call=atwice))
    given: Any = {"messages": [asked(("count", {"q": "a"}))]}
    result = await asyncio.to_thread(graph.invoke, given) if sync else await graph.ainvoke(given)
    assert result["messages"][-1].content == "a1a2"


@pytest.mark.parametrize("sync", [True, False])
def test_after_an_interrupt_calls_that_were_answered_are_not_made_again(sync: bool) -> None:
    made: list[str] = []

    @tool
    def write(text: str) -> str:
        """Write."""
        made.append(text)
        return "written"

    @tool
    def confirm(text: str) -> str:
        """Ask."""
        return f"{text}: {interrupt('sure?')}"

    graph = graph_of(HealingToolNode([write, confirm], policy=FAST), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t1"}}

    def invoke(given: Any) -> Any:
        return graph.invoke(given, config) if sync else asyncio.run(graph.ainvoke(given, config))

    state = invoke({"messages": [asked(("write", {"text": "a"}), ("confirm", {"text": "b"}))]})
    assert state["__interrupt__"][0].value == "sure?"
    state = invoke(Command(resume="yes"))
    assert [m.content for m in state["messages"][1:]] == ["written", "b: yes"]
    assert made == ["a"]


async def test_a_call_that_ended_before_the_interrupted_one_began_is_not_made_again() -> None:
    made: list[str] = []

    @tool
    async def write(text: str) -> str:
        """Write."""
        made.append(text)
        return "written"

    @tool
    async def confirm(text: str) -> str:
        """Ask."""
        return f"{text}: {interrupt('sure?')}"

    async def late(request: Any, execute: Any) -> Any:
        if request.tool_call["name"] == "confirm":
            await asyncio.sleep(0.3)
        return await healed(request, execute)

    node: Any = HealingToolNode([write, confirm], policy=FAST)
    healed = node._awrap_tool_call
    node._awrap_tool_call = late
    graph = graph_of(node, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t-late"}}
    state: Any = await graph.ainvoke(
        {"messages": [asked(("write", {"text": "a"}), ("confirm", {"text": "b"}))]}, config
    )
    assert state["__interrupt__"][0].value == "sure?"
    state = await graph.ainvoke(Command(resume="yes"), config)
    assert [m.content for m in state["messages"][1:]] == ["written", "b: yes"]
    assert made == ["a"]


@pytest.mark.parametrize("sync", [True, False])
def test_an_approval_is_an_interrupt_of_the_graph(sync: bool) -> None:
    paid: list[int] = []

    @tool
    def pay(usd: int) -> str:
        """Pay."""
        paid.append(usd)
        return "paid"

    declared = graph_tool(gives="receipt", effect="irreversible", approval=True, name="pay")(lambda usd: "unused")
    orc = Orchestrator([declared], policy=FAST, escalation=[AskHuman()])
    graph = graph_of(HealingToolNode([pay], orc=orc), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t2"}}

    def invoke(given: Any) -> Any:
        return graph.invoke(given, config) if sync else asyncio.run(graph.ainvoke(given, config))

    state = invoke({"messages": [asked(("pay", {"usd": 5}))]})
    assert "pay" in state["__interrupt__"][0].value["question"]
    assert paid == []
    state = invoke(Command(resume=True))
    assert (paid, state["messages"][-1].content) == ([5], "paid")


async def test_parallel_calls_run_side_by_side() -> None:
    together = asyncio.Barrier(3)

    @tool
    async def look(q: str) -> str:
        """Look."""
        async with asyncio.timeout(5):
            await together.wait()
        return q

    graph = graph_of(HealingToolNode([look], policy=FAST))
    state = await graph.ainvoke({"messages": [asked(*(("look", {"q": str(n)}) for n in range(3)))]})
    assert [m.content for m in state["messages"][1:]] == ["0", "1", "2"]


async def test_what_a_tool_streams_reaches_the_graph() -> None:
    @tool
    async def slow(q: str, runtime: ToolRuntime) -> str:  # pyright: ignore[reportUnknownParameterType]
        """Slow."""
        runtime.stream_writer({"half": q})
        return q

    graph = graph_of(HealingToolNode([slow], policy=FAST))
    streamed = [part async for part in graph.astream({"messages": [asked(("slow", {"q": "a"}))]}, stream_mode="custom")]
    assert streamed == [{"half": "a"}]


def wrong(**options: Any) -> Any:
    """Options that a type checker would refuse."""
    return options


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: HealingToolNode([s], alternatives={"search": ["bravo"]}), "'bravo', which is no tool"),
        (lambda s: HealingToolNode([s, brave], alternatives={"serch": ["brave"]}), "'search'"),
        (lambda s: HealingToolNode([s, brave], alternatives={"search": ["brave"]}), "argument 'q'"),
        (lambda s: HealingToolNode([s], effects={"search": "reads"}), "read, write, irreversible"),
        (lambda s: HealingToolNode([s], orc=Orchestrator(), policy="balanced"), "either orc="),
        (lambda s: HealingToolNode([s], effect={"search": "read"}), "'effects'"),
        (lambda s: HealingToolNode([s], handle_errors=True), "handle_tool_errors"),
        (lambda s: HealingToolNode([s], **wrong(policy=3)), "policy"),
        (lambda s: HealingMiddleware(**wrong(alternative={})), "'alternatives'"),
        (lambda s: HealingChatModel(["openai:gpt-5-mini"], price={}), "'prices'"),
        (lambda s: HealingChatModel(["openai:gpt-5-mini"], **wrong(prices=3)), "prices"),
        (lambda s: HealingMiddleware(alternatives=["brave"]), "mapping"),
        (lambda s: HealingMiddleware(effects=["read"]), "mapping"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
)
def test_wrong_options_are_errors_that_name_them(make: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        make(failing(ValueError()))
