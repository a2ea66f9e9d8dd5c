"""What a governed call costs: price, health, span, event, store; beside one LangGraph node step.

    python benchmarks/overhead.py

The slope over the number of read calls in a chain, ours and LangGraph's (with `InMemorySaver`) interleaved in one run,
medians of several rounds. The base cost of a run is shown apart, and so is a durable write on SQLite.
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

SHORT, LONG, ROUNDS = 10, 110, 7


def chain(length: int, **options: Any) -> list[Tool]:
    """Tools of which each needs what the one before gives."""

    async def call(**inputs: int) -> int:
        return 1

    return [
        Tool(call, name=f"t{n}", needs=[f"t{n - 1}"] if n else [], gives={f"t{n}": int}, **options)
        for n in range(length)
    ]


async def ours(length: int, store: Path | None = None, **options: Any) -> float:
    """Seconds of one run through the chain; the plan's caches are warm."""
    async with Orchestrator(chain(length, **options), store=store) as orc:
        await orc.run(f"t{length - 1}")
        began = time.perf_counter()
        await orc.run(f"t{length - 1}")
        return time.perf_counter() - began


class Value(TypedDict, total=False):
    """State of the peer."""

    x: int


async def langgraph(length: int) -> float:
    """Seconds of one run through as many nodes."""
    graph: Any = StateGraph(Value)

    async def node(state: Value) -> Value:
        return {"x": 1}

    for n in range(length):
        graph.add_node(f"t{n}", node)
    graph.add_edge(START, "t0")
    for a, b in pairwise(range(length)):
        graph.add_edge(f"t{a}", f"t{b}")
    graph.add_edge(f"t{length - 1}", END)
    compiled = graph.compile(checkpointer=InMemorySaver())
    for thread in ("warm", "measured"):
        began = time.perf_counter()
        await compiled.ainvoke({"x": 0}, {"configurable": {"thread_id": thread}, "recursion_limit": 10_000})
    return time.perf_counter() - began  # pyright: ignore[reportPossiblyUnboundVariable]


async def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        files = (Path(folder) / f"{number}.db" for number in range(10_000))

        def write(length: int) -> Awaitable[float]:
            return ours(length, next(files), effect="write", compensate=print)

        systems: dict[str, Callable[[int], Awaitable[float]]] = {
            "LangGraph node, InMemorySaver": langgraph,
            "ours, memory": ours,
            "ours, SQLite": lambda length: ours(length, next(files)),
            "ours, SQLite, durable write": write,
        }
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
        for _ in range(ROUNDS):
            for name, run in systems.items():
                rows[name].append((await run(SHORT), await run(LONG)))
    peer = 0.0
    print("| system | per call, µs | against the peer | run of 10 calls, ms |\n|---|---|---|---|")
    for name, pairs in rows.items():
        slope = statistics.median((long - short) / (LONG - SHORT) for short, long in pairs) * 1e6
        peer = peer or slope
        base = statistics.median(short for short, _ in pairs) * 1e3
        print(f"| {name} | {slope:.0f} | {slope / peer:.2f} | {base:.1f} |")


if __name__ == "__main__":
    asyncio.run(main())
