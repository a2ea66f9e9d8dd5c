"""What the control plane costs: calls, tokens and seconds of ours against a ReAct loop on the same model server.

    python benchmarks/escalation.py

Both talk to one local server by OpenAI's wire protocol over the 19 published scenarios. The server never errs: for the
ReAct loop it calls the next tool of the cheapest way round what is known to be dead, for us it answers stop. Each
answer takes a fixed time, as a model's would. Tokens are counted at four characters each, of what a model reads (the
messages and tools of each request) and of what it writes.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.published_graphs import CASES, Case
from benchmarks.self_healing import SCENARIOS, World, langchain_tools, reason, stop
from orchestrator import AskModel, Demote, Goal, Orchestrator, Policy, Tool
from orchestrator.core.policy import Retries
from tests.escalation.openai_server import OpenAIServer, Says, serving

SECONDS_PER_ANSWER = 0.2
CHARACTERS_PER_TOKEN = 4


def answers(server: OpenAIServer, case: Case) -> list[Says]:
    """Have the server answer from the conversation it is shown; the list keeps what it says."""
    kept = list[Says]()

    def reply() -> Says:
        kept.append(choose())
        return kept[-1]

    def choose() -> Says:
        messages: list[Any] = server.requests[-1]["messages"]
        if not any(message["role"] == "user" and "Reach" in str(message["content"]) for message in messages):
            said = json.loads(str(stop([HumanMessage(messages[-1]["content"])]).content))
            return Says(calls=(said,), after=SECONDS_PER_ANSWER)
        seen, name = list[ToolMessage](), ""
        for message in messages:  # each answer of a tool follows the call that it answers
            for call in message.get("tool_calls") or ():
                name = call["function"]["name"]
            if message["role"] == "tool":
                seen.append(ToolMessage(str(message["content"]), tool_call_id="", name=name))
        chosen = reason(case, list(seen))
        if chosen.tool_calls:
            return Says(calls=({},), tool=chosen.tool_calls[0]["name"], after=SECONDS_PER_ANSWER)
        return Says(text=str(chosen.content), after=SECONDS_PER_ANSWER)

    server.next = reply  # type: ignore[method-assign]
    return kept


async def ours(world: World, server: OpenAIServer) -> None:
    """This framework, with the model as the last rung."""

    def tool(name: str) -> Tool:
        async def call() -> str:
            return world.call(name)

        return Tool(call, name=name)

    orc = Orchestrator(
        [tool(name) for name in (*world.case.tools, world.case.goal)],
        policy=Policy(retries=Retries(base_seconds=0)),
        monitors=(),
        escalation=[Demote(), AskModel(server.model())],
    )
    for source, target, cost in world.case.edges:
        orc.connect(source, target, cost=cost)
    await orc.run(Goal(world.case.goal))


async def react(world: World, server: OpenAIServer) -> None:
    """LangChain's agent over the same model."""

    agent: Any = create_agent(server.model(), langchain_tools(world))
    await agent.ainvoke({"messages": [HumanMessage(f"Reach {world.case.goal}.")]}, {"recursion_limit": 200})


async def main() -> None:
    """Print the table."""
    systems: dict[str, Callable[[World, OpenAIServer], Awaitable[None]]] = {"ours": ours, "ReAct loop": react}
    print("| system | goals reached | model calls | tokens read | tokens written | seconds, sum | seconds, median |")
    print("|---|---|---|---|---|---|---|")
    for name, system in systems.items():
        reached = calls = 0
        read = written = 0.0
        seconds = list[float]()
        for case in CASES:
            for down in SCENARIOS[case.name]:
                world = World(case, frozenset(down.split()))
                with serving(Says(text="")) as server:
                    said = answers(server, case)
                    began = time.perf_counter()
                    await system(world, server)
                    seconds.append(time.perf_counter() - began)
                    reached += world.reached
                    calls += len(server.requests)
                    read += sum(map(tokens_read, server.requests))
                    written += sum(map(tokens_written, said))
        print(
            f"| {name} | {reached} | {calls} | {read:,.0f} | {written:,.0f} "
            f"| {sum(seconds):.1f} | {statistics.median(seconds):.2f} |"
        )


def tokens_read(request: dict[str, Any]) -> float:
    """What a request makes a model read."""
    shown = {"messages": request["messages"], "tools": request.get("tools", [])}
    return len(json.dumps(shown, ensure_ascii=False)) / CHARACTERS_PER_TOKEN


def tokens_written(says: Says) -> float:
    """What an answer makes a model write."""
    calls = "".join(f"{says.tool}{json.dumps(made)}" for made in says.calls)
    return len((says.text or "") + calls) / CHARACTERS_PER_TOKEN


if __name__ == "__main__":
    asyncio.run(main())
