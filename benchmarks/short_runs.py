"""What a short run costs beside LangGraph: three no-op tools, alone, through `run_sync`, and 50 runs at once.

    python benchmarks/short_runs.py [ROUNDS]

Seconds of the processor over all threads, the two systems interleaved in one process, medians of several rounds; the
ratio is ours to LangGraph's. `2000 at once` is the cost of one of 2,000 runs at once beside one of 50, ours alone.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

sys.path.insert(0, str(Path(__file__).parent.parent))

from orchestrator import Orchestrator, Tool

STEPS = 3
RUNS = 60


class Value(TypedDict, total=False):
    """State of the peer."""

    x: int


def tools(*, sync: bool = False) -> list[Tool]:
    """Tools of which each needs what the one before gives."""

    async def call(**inputs: int) -> int:
        return 1

    def call_sync(**inputs: int) -> int:
        return 1

    function = call_sync if sync else call
    return [
        Tool(function, name=f"t{n}", needs=[f"t{n - 1}"] if n else ["x"], gives={f"t{n}": int}) for n in range(STEPS)
    ]


def peer(*, sync: bool = False) -> Any:
    """The same chain as a LangGraph with a saver in memory."""
    graph: Any = StateGraph(Value)

    async def node(state: Value) -> Value:
        return {"x": 1}

    def node_sync(state: Value) -> Value:
        return {"x": 1}

    for n in range(STEPS):
        graph.add_node(f"t{n}", node_sync if sync else node)
    graph.add_edge(START, "t0")
    for a, b in pairwise(range(STEPS)):
        graph.add_edge(f"t{a}", f"t{b}")
    graph.add_edge(f"t{STEPS - 1}", END)
    return graph.compile(checkpointer=InMemorySaver())


_THREADS = iter(range(10**9))


def config() -> dict[str, Any]:
    """A thread of its own for each run of the peer."""
    return {"configurable": {"thread_id": str(next(_THREADS))}}


async def spent(work: Callable[[], Awaitable[Any]], runs: int) -> float:
    """Seconds of the processor for one of so many runs, one after another."""
    began = time.process_time()
    for _ in range(runs):
        await work()
    return (time.process_time() - began) / runs


async def at_once(work: Callable[[], Awaitable[Any]], runs: int) -> float:
    """Seconds of the processor for one of so many runs at once."""
    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(runs)))
    return (time.process_time() - began) / runs


def spent_sync(work: Callable[[], Any], runs: int) -> float:
    """The same for code that is not async."""
    began = time.process_time()
    for _ in range(runs):
        work()
    return (time.process_time() - began) / runs


async def rounds(number: int) -> dict[str, list[float]]:
    """The async measures."""
    goal, found = f"t{STEPS - 1}", dict[str, list[float]]()
    app = peer()
    with tempfile.TemporaryDirectory() as folder:
        async with Orchestrator(tools()) as orc, Orchestrator(tools(), store=Path(folder) / "runs.db") as stored:
            systems: dict[str, Callable[[], Awaitable[Any]]] = {
                "ours": lambda: orc.run(goal, {"x": 1}),
                "ours, SQLite": lambda: stored.run(goal, {"x": 1}),
                "LangGraph": lambda: app.ainvoke({"x": 0}, config()),
            }
            for work in systems.values():
                await spent(work, 5)
            for _ in range(number):
                for name, work in systems.items():
                    found.setdefault(f"{name}, one by one", []).append(await spent(work, RUNS))
                for name, work in systems.items():
                    found.setdefault(f"{name}, 50 at once", []).append(await at_once(work, 50))
            found["ours, 2000 at once"] = [await at_once(systems["ours"], 2000) for _ in range(2)]
    return found


def main() -> None:
    """Print the table."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    found = asyncio.run(rounds(number))
    app, orc = peer(sync=True), Orchestrator(tools(sync=True))
    goal = f"t{STEPS - 1}"
    for _ in range(number):
        found.setdefault("LangGraph, sync", []).append(spent_sync(lambda: app.invoke({"x": 0}, config()), RUNS))
        found.setdefault("ours, sync", []).append(spent_sync(lambda: orc.run_sync(goal, {"x": 1}), RUNS))
    orc.close()
    one = {name: statistics.median(values) for name, values in found.items()}
    for name, seconds in one.items():
        print(f"{name:28} {seconds * 1e3:7.3f} ms")
    print(f"run of {STEPS} no-op tools        {one['ours, one by one'] / one['LangGraph, one by one']:.2f}x")
    print(f"run_sync of {STEPS} sync tools    {one['ours, sync'] / one['LangGraph, sync']:.2f}x")
    print(f"50 at once, runs per second {one['LangGraph, 50 at once'] / one['ours, 50 at once']:.2f}x")
    print(f"2000 at once beside 50      {one['ours, 2000 at once'] / one['ours, 50 at once']:.2f}x")


if __name__ == "__main__":
    main()
