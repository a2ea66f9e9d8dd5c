"""The published self-healing benchmark, measured: 19 scenarios and all 224 failure sets of three graphs, four systems.

    python benchmarks/self_healing.py

Ours; a ReAct loop (LangChain's agent over a scripted chat model that retries nothing it knows to be dead); a
well-made static LangGraph workflow (retries and a fallback at every node); plain sequential code. Tools that are down
are found out by calling them. The oracle is plain search over the graph. Every tool books something, so what is left
standing after a failed run can be counted. No figure is asserted anywhere in the systems: the world counts.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import networkx as nx
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from langgraph.graph import END, StateGraph
from langgraph.graph import START as BEGIN
from langgraph.types import RetryPolicy

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.published_graphs import CASES, Case
from orchestrator import START, AskModel, DecisionKind, Demote, Goal, Orchestrator, Policy, Tool, Unavailable
from orchestrator.core.policy import Retries

SCENARIOS: dict[str, tuple[str, ...]] = {
    "customer support": ("", "Stripe", "Email", "Stripe Email", "Stripe Razorpay", "Email SMS", "CRM"),
    "travel booking": ("", "Flight", "Hotel Car", "Flight Train", "Flight Hotel Car", "Payment"),
    "content moderation": ("", "Text", "AutoApprove", "Text AutoApprove", "Text Image Video", "Toxicity"),
}
STAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "customer support": (("CRM",), ("Stripe", "Razorpay"), ("Email", "SMS"), ("Complete",)),
    "travel booking": (("Flight", "Train"), ("Hotel", "Hostel"), ("Car", "Bus"), ("Payment",), ("Confirm",)),
    "content moderation": (
        ("Text", "Image", "Video"),
        ("Toxicity",),
        ("AutoApprove", "HumanReview"),
        ("Complete",),
    ),
}


@dataclass
class World:
    """What is down, and what really happened."""

    case: Case
    down: frozenset[str]
    standing: Counter[str] = field(default_factory=Counter[str])
    calls: Counter[str] = field(default_factory=Counter[str])

    def call(self, name: str) -> str:
        """Do what a tool does."""
        self.calls[name] += 1
        if name in self.down:
            raise Unavailable(f"{name} is down")
        self.standing[name] += 1
        return name

    def undo(self, name: str) -> None:
        """Take it back."""
        self.standing[name] -= 1

    @property
    def reached(self) -> bool:
        """Whether the goal was reached by a chain of steps that all stand."""
        path = nx.DiGraph((a, b) for a, b, _ in self.case.edges if b in self.standing and self.standing[b] > 0)
        return self.case.goal in path and START in path and nx.has_path(path, START, self.case.goal)

    @property
    def double(self) -> bool:
        """Whether something was produced twice: two tools of one stage stand, or one tool ran twice."""
        stages = STAGES[self.case.name]
        return any(sum(self.standing[name] for name in stage) > 1 for stage in stages)


@dataclass(frozen=True)
class Result:
    """What a system says of its run."""

    claims_success: bool
    reports_failure: bool
    model_calls: int = 0
    reroutes: int = 0
    listed: frozenset[str] = frozenset()
    """Steps that it lists as not undone."""


System = Callable[[World], Awaitable[Result]]


async def ours(world: World, *, lesser: bool = False) -> Result:
    """This framework, with a model as the last rung, which answers stop."""

    def tool(name: str) -> Tool:
        async def call() -> str:
            return world.call(name)

        return Tool(call, name=name, effect="write", compensate=world.undo)

    policy = Policy(retries=Retries(base_seconds=0))
    orc = Orchestrator(
        [tool(name) for name in (*world.case.tools, world.case.goal)],
        policy=policy,
        monitors=(),
        escalation=[Demote(), AskModel(Replies(reply=stop))],
    )
    for source, target, cost in world.case.edges:
        orc.connect(source, target, cost=cost)
    goal = world.case.with_lesser_goals() if lesser else Goal(world.case.goal)
    outcome = await orc.run(goal)
    return Result(
        claims_success=outcome.ok and outcome.goal.keys == (world.case.goal,),
        reports_failure=not outcome.ok or outcome.goal.keys != (world.case.goal,),
        model_calls=outcome.llm_calls,
        reroutes=sum(d.kind is DecisionKind.REROUTE for d in outcome.decisions),
        listed=frozenset(outcome.uncompensated),
    )


class Replies(BaseChatModel):
    """A chat model that says what a function makes of the conversation."""

    reply: Callable[[list[BaseMessage]], AIMessage]
    calls: int = 0

    @property
    def _llm_type(self) -> str:
        return "replies"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        """Tools are known already."""
        del tools, options
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        del args, options
        self.calls += 1
        return ChatResult(generations=[ChatGeneration(message=self.reply(messages))])


def stop(messages: list[BaseMessage]) -> AIMessage:
    """The last option of the numbered list, which is to stop."""
    number = str(messages[-1].content).rstrip().splitlines()[-1].partition(".")[0]
    return AIMessage(f'{{"choice": {number}, "message": "nothing helps"}}')


def reason(case: Case, messages: list[BaseMessage]) -> AIMessage:
    """What a model does that never errs: call the next tool of the cheapest way round what is known to be dead."""
    seen = [message for message in messages if isinstance(message, ToolMessage)]
    dead = {str(m.name) for m in seen if "is down" in str(m.content)}
    done = [str(m.name) for m in seen if m.name not in dead]
    if case.goal in done:
        return AIMessage("Done.")
    graph: Any = nx.DiGraph()
    graph.add_weighted_edges_from(e for e in case.edges if not {e[0], e[1]} & dead)
    for start in (*reversed(done), START):
        if start in graph and case.goal in graph and nx.has_path(graph, start, case.goal):
            step = nx.dijkstra_path(graph, start, case.goal)[1]
            return AIMessage("", tool_calls=[{"name": step, "args": {}, "id": f"c{len(seen)}"}])
    return AIMessage("It cannot be done: every way is blocked.")


def langchain_tools(world: World) -> list[StructuredTool]:
    """The tools of a world as LangChain's, which give an error as text."""

    def tool(name: str) -> StructuredTool:
        def call() -> str:
            try:
                return world.call(name)
            except Unavailable as error:
                return f"Error: {error}"

        return StructuredTool.from_function(call, name=name, description=f"Do {name}")

    return [tool(name) for name in (*world.case.tools, world.case.goal)]


async def react(world: World) -> Result:
    """LangChain's agent: every step is a model call."""

    model = Replies(reply=lambda messages: reason(world.case, messages))
    agent: Any = create_agent(model, langchain_tools(world))
    said = await agent.ainvoke({"messages": [HumanMessage(f"Reach {world.case.goal}.")]}, {"recursion_limit": 200})
    done = said["messages"][-1].content == "Done."
    return Result(done, not done, model.calls)


class Walk(TypedDict, total=False):
    """State of the static workflow."""

    failed: str


async def static(world: World) -> Result:
    """A LangGraph workflow as a careful engineer writes it: each node retries, then takes its one fallback."""
    graph: Any = StateGraph(Walk)
    stages = STAGES[world.case.name]

    def node(stage: tuple[str, ...]) -> Callable[[Walk], Walk]:
        def run(state: Walk) -> Walk:
            del state
            for name in stage[:2]:
                try:
                    world.call(name)
                    return {"failed": ""}
                except Unavailable:
                    continue
            return {"failed": "/".join(stage)}

        return run

    for number, stage in enumerate(stages):
        graph.add_node(str(number), node(stage), retry_policy=RetryPolicy(max_attempts=2))
    graph.add_edge(BEGIN, "0")
    for a, b in pairwise(range(len(stages))):
        graph.add_conditional_edges(str(a), lambda state, b=b: END if state.get("failed") else str(b))
    graph.add_edge(str(len(stages) - 1), END)
    state = await graph.compile().ainvoke({"failed": ""})
    return Result(not state.get("failed"), bool(state.get("failed")))


async def sequential(world: World) -> Result:
    """The steps one after another, as a script has them."""
    try:
        for stage in STAGES[world.case.name]:
            world.call(stage[0])
    except Unavailable:
        return Result(False, True)
    return Result(True, False)


async def measure(system: System, sets: list[tuple[Case, frozenset[str]]]) -> Counter[str]:
    """Run a system over failure sets and count what the world saw."""
    count: Counter[str] = Counter()
    for case, down in sets:
        world = World(case, down)
        result = await system(world)
        feasible = case.goal in case.reachable(down)
        count["runs"] += 1
        count["model calls"] += result.model_calls
        count["model calls, feasible"] += result.model_calls if feasible else 0
        count["worst, infeasible"] = max(count["worst, infeasible"], 0 if feasible else result.model_calls)
        count["reroutes"] += result.reroutes
        count["feasible"] += feasible
        count["reached"] += world.reached and result.claims_success
        count["right"] += (result.claims_success and world.reached) if feasible else result.reports_failure
        count["silent failures"] += result.claims_success and not world.reached
        count["said nothing"] += not result.claims_success and not result.reports_failure
        count["double"] += world.double
        left = {name for name, stands in world.standing.items() if stands > 0} - result.listed
        count["left standing"] += bool(left) and not feasible
    return count


async def lesser_goals(sets: list[tuple[Case, frozenset[str]]]) -> str:
    """Ours with every stage as a lesser goal: model calls where one is reachable, and where none is."""
    calls: Counter[bool] = Counter()
    runs: Counter[bool] = Counter()
    for case, down in sets:
        keys = case.reachable(down)
        if case.goal not in keys:
            some = bool(keys)
            runs[some] += 1
            calls[some] += (await ours(World(case, down), lesser=True)).model_calls
    return f"with lesser goals: {calls[True]} model calls on {runs[True]} sets, {calls[False]} on {runs[False]}"


async def main() -> None:
    """Print both tables."""
    scenarios = [(case, frozenset(down.split())) for case in CASES for down in SCENARIOS[case.name]]
    every = [(case, down) for case in CASES for down in case.failure_sets()]
    systems: dict[str, System] = {
        "ours": ours,
        "ReAct loop": react,
        "static LangGraph": static,
        "sequential": sequential,
    }
    columns = (
        "right", "reached", "model calls", "model calls, feasible", "worst, infeasible", "reroutes",
        "silent failures", "double", "left standing",
    )  # fmt: skip
    for title, sets in ((f"{len(scenarios)} scenarios", scenarios), (f"{len(every)} failure sets", every)):
        feasible = sum(case.goal in case.reachable(down) for case, down in sets)
        print(f"\n{title}: {feasible} feasible\n")
        print("| system | " + " | ".join(columns) + " |\n|---" * 1 + "|---" * (len(columns)) + "|")
        for name, system in systems.items():
            count = await measure(system, sets)
            print(f"| {name} | " + " | ".join(str(count[column]) for column in columns) + " |")
    print("\n" + await lesser_goals(every))
    print("published, 19 scenarios: 9 model calls and 24 reroutes (router); 123 model calls (ReAct);")
    print("16 right with 3 silent failures (static LangGraph)")


if __name__ == "__main__":
    asyncio.run(main())
