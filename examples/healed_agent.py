"""An agent that exists already, healed in one line: `middleware=[HealingMiddleware(...)]`.

Its search tool is down; another one answers under the same tool-call id, and the model never sees the failure. Run it:
`python examples/healed_agent.py`. The model is scripted, so no key is needed.
"""

from langchain.agents import create_agent  # pyright: ignore[reportUnknownVariableType]
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

from orchestrator import HealingMiddleware
from orchestrator.testing import ScriptedChatModel


@tool
def search(query: str) -> str:
    """Search the web."""
    raise ConnectionRefusedError("the search service is down")


@tool
def wiki(title: str) -> str:
    """Look up an article."""
    return f"{title}: a city in Italy."


def main() -> None:
    """Ask the agent one question, and show why its answer came from another tool."""
    call = AIMessage("", tool_calls=[{"name": "search", "args": {"query": "Rome"}, "id": "1"}])
    model = ScriptedChatModel([call, "Rome is a city in Italy."])
    healing = HealingMiddleware(alternatives={"search": {"wiki": {"title": "query"}}}, effects={"search": "read"})
    agent = create_agent(model, [search, wiki], middleware=[healing])
    answer = agent.invoke({"messages": [HumanMessage("What is Rome?")]})  # pyright: ignore[reportUnknownMemberType]
    for message in answer["messages"]:
        print(f"{message.type}: {message.content}")
    for row in healing.orc.store.runs(parent=...):
        for decision in healing.orc.outcome(row.run_id).decisions:
            print(f"  {decision.kind}: {decision.chosen} {decision.reason}")


if __name__ == "__main__":
    main()
