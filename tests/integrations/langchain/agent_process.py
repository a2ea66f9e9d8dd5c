"""An agent, or a graph with a node of tools, in a process that is killed as soon as it waits or has ended."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from orchestrator import AskHuman, Orchestrator
from orchestrator import Tool as GraphTool
from orchestrator.integrations.langchain import HealingMiddleware, HealingToolNode
from orchestrator.testing import ScriptedChatModel


def go(folder: Path, kind: str, calls: tuple[str, ...], answer: str | None, reads: tuple[str, ...]) -> None:
    """Begin, or go on with an answer; write what it waits on and the answers of tools to the file `said`."""

    def log(line: str) -> None:
        with (folder / "log").open("a") as file:
            file.write(f"{line}\n")

    @tool
    def pay(n: int) -> str:
        """Pay."""
        log(f"pay {n}")
        return f"paid {n}"

    @tool
    def ask(n: int) -> str:
        """Ask."""
        said = interrupt({"question": n})
        log(f"ask {n} {said}")
        return f"answered {said}"

    @tool
    def crash(n: int) -> str:
        """Kill the process, the first time."""
        log(f"crash {n}")
        if answer is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"survived {n}"

    def refund(n: int) -> str:
        log(f"refund {n}")
        return f"refunded {n}"

    declared = GraphTool(refund, gives="refund", effect="write", approval=True)
    orc = Orchestrator([declared], store=folder / "runs.db", escalation=[AskHuman()])
    asked = AIMessage("", tool_calls=[{"name": name, "args": {"n": n}, "id": f"c{n}"} for n, name in enumerate(calls)])
    tools: list[Any] = [pay, ask, crash, declared.as_langchain()]
    effects = dict.fromkeys(reads, "read")
    given: Any = {"messages": [("user", "go")]}
    if answer is not None:
        given = Command(resume=answer) if answer else None
    with SqliteSaver.from_conn_string(f"{folder}/checkpoints.db") as saver:
        if kind == "agent":
            graph = agent_of(orc, tools, effects, asked)
        else:
            graph = nodes_of(orc, tools, effects, asked, killed=kind == "killed node" and answer is None)
        state = graph(saver).invoke(given, {"configurable": {"thread_id": "t"}})
    waits = [entry.value for entry in state.get("__interrupt__", ())]
    contents = [message.content for message in state["messages"] if message.type == "tool"]
    (folder / "said").write_text(json.dumps({"waits": waits, "answers": contents}))
    os.kill(os.getpid(), signal.SIGKILL)


def agent_of(orc: Orchestrator, tools: list[Any], effects: Any, asked: AIMessage) -> Any:
    class Model(ScriptedChatModel):
        def _generate(self, messages: Any, *args: Any, **options: Any) -> Any:
            self.responses = [asked if messages[-1].type == "human" else "done"]
            return super()._generate(messages, *args, **options)

    middleware: Any = HealingMiddleware(orc, effects=effects)
    return lambda saver: create_agent(Model(responses=["done"]), tools, middleware=[middleware], checkpointer=saver)


def nodes_of(orc: Orchestrator, tools: list[Any], effects: Any, asked: AIMessage, *, killed: bool) -> Any:
    node = HealingToolNode(tools, orc=orc, effects=effects)

    def and_is_killed(state: Any, config: RunnableConfig) -> Any:
        _ = node.invoke(state, config)
        assert {row.status for row in orc.store.runs(parent=None)} == {"reached"}
        os.kill(os.getpid(), signal.SIGKILL)

    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [asked]})
    builder.add_node("tools", and_is_killed if killed else node)
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("tools", END)
    return lambda saver: builder.compile(checkpointer=saver)
