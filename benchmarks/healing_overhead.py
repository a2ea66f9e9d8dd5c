"""What healing costs when nothing fails: the tool node, the middleware and the gateway against the originals.

`python -m benchmarks.healing_overhead` prints medians of the same calls with and without, taken in turns in one run,
for a tool that answers at once and for one that takes 20 ms, as a call over a network does.
`python -m benchmarks.healing_overhead --calls` counts Python calls instead, which no other load on the machine changes,
and beside them those of the runs that a healed call is.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import mcp_types as types
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from mcp import Client, StdioServerParameters
from mcp.server import Server
from typing_extensions import override

from orchestrator import Goal, HealingMiddleware, HealingToolNode, Orchestrator, RunContext, Tool
from orchestrator.integrations.gateway import Gateway, GatewayConfig
from orchestrator.testing import ScriptedChatModel

ROUNDS = 60
COUNTS = "--calls" in sys.argv
SERVER = """
import asyncio, sys
from mcp.server.mcpserver import MCPServer
server = MCPServer("bench")
@server.tool()
async def look(q: str) -> str:
    await asyncio.sleep(float(sys.argv[1]))
    return q
server.run("stdio")
"""
Call = Callable[[], Awaitable[Any]]


def graph_of(node: Any) -> Any:
    """A graph of one node."""
    builder = StateGraph(MessagesState)
    builder.add_node("tools", node)
    builder.add_edge(START, "tools")
    builder.add_edge("tools", END)
    return builder.compile()


def looking(seconds: float) -> StructuredTool:
    """A tool that takes so long."""

    async def look(q: str) -> str:
        """Look."""
        await asyncio.sleep(seconds)
        return q

    return StructuredTool.from_function(coroutine=look)


async def counted(call: Call, rounds: int = 10) -> float:
    """Python calls in one call."""
    found = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal found
        found += event == "call"

    for _ in range(rounds):
        await call()
    sys.setprofile(note)
    try:
        for _ in range(rounds):
            await call()
    finally:
        sys.setprofile(None)
    return found / rounds


async def compare(name: str, plain: Call, healed: Call) -> None:
    """Time both in turns, and print the medians; or the numbers of Python calls."""
    if COUNTS:
        before, after = await counted(plain), await counted(healed)
        print(f"{name:46} {before:8.0f}    {after:8.0f}    {after / before:6.2f}x")
        return
    taken: dict[str, list[float]] = {"plain": [], "healed": []}
    for number in range(ROUNDS + 5):
        for which, call in (("plain", plain), ("healed", healed)):
            began = time.perf_counter()
            await call()
            if number >= 5:
                taken[which].append(time.perf_counter() - began)
    before, after = (statistics.median(taken[which]) * 1000 for which in ("plain", "healed"))
    print(f"{name:46} {before:8.2f} ms {after:8.2f} ms {after / before:6.2f}x")


async def nodes(seconds: float) -> None:
    """`HealingToolNode` against `ToolNode`."""
    asked = AIMessage("", tool_calls=[{"name": "look", "args": {"q": "a"}, "id": "1"}])
    plain, healed = graph_of(ToolNode([looking(seconds)])), graph_of(HealingToolNode([looking(seconds)]))
    given = {"messages": [asked]}
    await compare(
        f"tool node, tool of {seconds * 1000:g} ms", lambda: plain.ainvoke(given), lambda: healed.ainvoke(given)
    )


async def turns(seconds: float, model_seconds: float) -> None:
    """An agent's turn (model, tool, model) with the middleware and without."""

    class Slow(ScriptedChatModel):
        @override
        async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            await asyncio.sleep(model_seconds)
            return self._generate(messages, stop, None, **kwargs)

    asking = AIMessage("", tool_calls=[{"name": "look", "args": {"q": "a"}, "id": "1"}])
    script: list[Any] = [asking, "done"] * (ROUNDS + 5)
    plain = create_agent(Slow(responses=script), [looking(seconds)])
    healed = create_agent(Slow(responses=script), [looking(seconds)], middleware=[HealingMiddleware()])
    given: Any = {"messages": [HumanMessage("hi")]}
    if COUNTS:
        idle = create_agent(Slow(responses=script), [looking(seconds)], middleware=[Idle()])
        nothing = await counted(lambda: idle.ainvoke(given))
        print(f"a turn with a middleware that has the same hooks and does nothing: {nothing:.0f}")
    name = f"agent's turn, model of {model_seconds * 1000:g} ms, tool of {seconds * 1000:g} ms"
    await compare(name, lambda: plain.ainvoke(given), lambda: healed.ainvoke(given))


async def gateways(seconds: float) -> None:
    """A call through the gateway against the same call straight to the server."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "server.py")
        file.write_text(SERVER)  # noqa: ASYNC240
        arguments = [str(file), str(seconds)]
        entry = {"command": sys.executable, "args": tuple(arguments)}
        config = GatewayConfig.model_validate({"servers": {"bench": entry}, "rules": {"effects": {"look": "read"}}})
        orc = Orchestrator()
        gateway = Gateway(config, orc)
        straight = Client(StdioServerParameters(command=sys.executable, args=arguments))
        async with orc, gateway, Client(gateway.server) as through, straight:
            await compare(
                f"MCP call, tool of {seconds * 1000:g} ms",
                lambda: straight.call_tool("look", {"q": "a"}),
                lambda: through.call_tool("look", {"q": "a"}),
            )
            if COUNTS:
                async with Client(passing_to(straight)) as passed:
                    bare = await counted(lambda: passed.call_tool("look", {"q": "a"}))
                print(f"the same through a server that only passes it on: {bare:.0f}")


class Idle(AgentMiddleware):
    """Has the hooks of `HealingMiddleware`, and does nothing."""

    @override
    async def abefore_agent(self, state: Any, runtime: Any) -> None:
        pass

    @override
    async def aafter_agent(self, state: Any, runtime: Any) -> None:
        pass

    @override
    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await handler(request)


def passing_to(client: Client) -> Server[Any]:
    """A server that passes calls on to another one and does nothing else."""

    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        return await client.list_tools()

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        return await client.call_tool(params.name, params.arguments)

    return Server("passing", on_list_tools=list_tools, on_call_tool=call_tool)


async def runs() -> None:
    """What the engine does for one run, and for one with a child, which a healed call is."""

    async def look(q: str) -> str:
        return q

    async def agent(ctx: RunContext[Any], session: str) -> str:
        await ctx.reach(Goal[Any]("answer"), {"q": "a"}, key="1")
        return session

    tools = [Tool(look, gives="answer", effect="write", share=True), Tool(agent, gives="agent_run", share=True)]
    async with Orchestrator(tools) as orc:
        alone = await counted(lambda: orc.run("answer", {"q": "a"}))
        with_child = await counted(lambda: orc.run("agent_run", {"session": "a"}))
    print(f"a run alone: {alone:.0f}; a run with a child: {with_child:.0f}")


async def main() -> None:
    """Measure everything."""
    measured = "Python calls" if COUNTS else f"medians of {ROUNDS}"
    print(f"{measured:46} {'plain':>11} {'healed':>11} {'ratio':>7}")
    if COUNTS:
        for part in (nodes(0.0), turns(0.0, 0.0), gateways(0.0), runs()):
            await part
        return
    for seconds in (0.0, 0.02):
        await nodes(seconds)
        await turns(seconds, 0.0 if not seconds else 0.2)
        await gateways(seconds)


if __name__ == "__main__":
    asyncio.run(main())
