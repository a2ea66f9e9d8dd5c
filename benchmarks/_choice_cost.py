"""What one choice of an agent costs, beside one step of LangGraph."""

import asyncio
import statistics
import time
from typing import Any, TypedDict

import numpy as np
from langgraph.graph import StateGraph

from orchestrator import Agent
from orchestrator.selection import Demand, Evidence, Handbook, Profile, Selector

STEPS = 10


def _idle(question: str) -> str:
    return question


class State(TypedDict):
    """State of the smallest LangGraph there is."""

    n: int


def selection_cost() -> list[str]:
    """One choice among 1,000 agents with 200 skills, beside one step of LangGraph, in turns in the same process."""
    random = np.random.default_rng(0)
    skills = [f"s{n}" for n in range(200)]
    agents = [
        Agent(_idle, name=f"a{n}", gives="answer", skills=dict(zip(skills, row, strict=True)), cost=0.001 * (n % 7))
        for n, row in enumerate(random.random((1000, 200)).tolist())
    ]
    profiles = {
        agent.name: Profile(
            skills={s: Evidence(successes=a, failures=b) for s, (a, b) in zip(skills, row, strict=True)}
        )
        for agent, row in zip(agents, (50 * random.random((1000, 200, 2))).tolist(), strict=True)
    }
    selector = Selector(agents, handbook=Handbook(skills=Handbook.of(skills).skills, profiles=profiles))
    few, all_skills = Demand(dict.fromkeys(skills[:5], 1.0)), Demand(dict.fromkeys(skills, 1.0))
    times: dict[str, list[float]] = {"5 skills": [], "all 200 skills": [], "langgraph": []}
    for _ in range(60):
        for name, demand in (("5 skills", few), ("all 200 skills", all_skills)):
            started = time.perf_counter()
            for _ in range(STEPS):
                selector.select(demand)
            times[name].append((time.perf_counter() - started) / STEPS)
        times["langgraph"].append(asyncio.run(_langgraph_step()))
    medians = {name: 1e6 * statistics.median(values) for name, values in times.items()}
    lines = [
        "## Cost of a selection",
        "",
        "1,000 agents with evidence in 200 skills; medians; batches of ten selections and ten steps "
        "alternate in one process.",
        "",
        "| | share of one LangGraph step |",
        "|---|---|",
    ]
    lines += [
        f"| selection under a demand of {name} | {medians[name] / medians['langgraph']:.2f} |"
        for name in ("5 skills", "all 200 skills")
    ]
    return [*lines, ""]


async def _langgraph_step() -> float:
    """Seconds per step of a graph of ten nodes, without a checkpointer."""

    def node(state: State) -> State:
        return {"n": state["n"] + 1}

    builder = StateGraph(State)
    builder.add_sequence([(f"n{n}", node) for n in range(STEPS)])
    builder.set_entry_point("n0")
    graph: Any = builder.compile()
    await graph.ainvoke({"n": 0})
    started = time.perf_counter()
    await graph.ainvoke({"n": 0})
    return (time.perf_counter() - started) / STEPS
