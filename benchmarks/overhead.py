"""What a governed call costs: price, health, span, event, store; beside one LangGraph node step.

    python benchmarks/overhead.py

The slope over the number of read calls in a chain, ours and LangGraph's (with `InMemorySaver`) interleaved in one run,
medians of several rounds; in seconds of the clock, and in seconds of the processor over all threads, which other
programs on the machine disturb less. The base cost of a run is shown apart, and so is a durable write on SQLite.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

sys.path.insert(0, str(Path(__file__).parent.parent))

from orchestrator import Orchestrator, Tool

SHORT, LONG, ROUNDS = 10, 110, 15


def chain(length: int, **options: Any) -> list[Tool]:
    """Tools of which each needs what the one before gives."""

    async def call(**inputs: int) -> int:
        return 1

    return [
        Tool(call, name=f"t{n}", needs=[f"t{n - 1}"] if n else [], gives={f"t{n}": int}, **options)
        for n in range(length)
    ]


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock, and of the processor."""

    clock: float
    processor: float

    @classmethod
    def now(cls) -> "Spent":
        """Since whenever they began."""
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.clock - other.clock, self.processor - other.processor)


async def ours(length: int, store: Path | None = None, **options: Any) -> Spent:
    """What one run through the chain takes; the plan's caches are warm."""
    async with Orchestrator(chain(length, **options), store=store) as orc:
        await orc.run(f"t{length - 1}")
        orc.store.flush()
        began = Spent.now()
        await orc.run(f"t{length - 1}")
        orc.store.flush()
        return Spent.now() - began


class Value(TypedDict, total=False):
    """State of the peer."""

    x: int


async def langgraph(length: int) -> Spent:
    """What one run through as many nodes takes."""
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
        began = Spent.now()
        await compiled.ainvoke({"x": 0}, {"configurable": {"thread_id": thread}, "recursion_limit": 10_000})
    return Spent.now() - began  # pyright: ignore[reportPossiblyUnboundVariable]


async def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        files = (Path(folder) / f"{number}.db" for number in range(10_000))

        def write(length: int) -> Awaitable[Spent]:
            return ours(length, next(files), effect="write", compensate=print)

        systems: dict[str, Callable[[int], Awaitable[Spent]]] = {
            "LangGraph node, InMemorySaver": langgraph,
            "ours, memory": ours,
            "ours, SQLite": lambda length: ours(length, next(files)),
            "ours, SQLite, durable write": write,
        }
        rows: dict[str, list[tuple[Spent, Spent]]] = {name: [] for name in systems}
        for _ in range(ROUNDS):
            for name, run in systems.items():
                rows[name].append((await run(SHORT), await run(LONG)))
    print_table(rows)


def print_table(rows: dict[str, list[tuple[Spent, Spent]]]) -> None:
    """Medians, and quartiles of the clock; the first system is the peer."""
    print("| system | per call, µs | quartiles | against the peer | processor, µs | against the peer | 10 calls, ms |")
    print("|---|---|---|---|---|---|---|")
    peer: tuple[float, float] | None = None
    for name, pairs in rows.items():
        slopes = [(long.clock - short.clock) / (LONG - SHORT) * 1e6 for short, long in pairs]
        busy = statistics.median((long.processor - short.processor) / (LONG - SHORT) * 1e6 for short, long in pairs)
        lower, slope, upper = statistics.quantiles(slopes, n=4)
        peer = peer or (slope, busy)
        base = statistics.median(short.clock for short, _ in pairs) * 1e3
        spread = f"{lower:.0f}-{upper:.0f}"
        ratios = f"{slope / peer[0]:.2f} | {busy:.0f} | {busy / peer[1]:.2f}"
        print(f"| {name} | {slope:.0f} | {spread} | {ratios} | {base:.1f} |")


if __name__ == "__main__":
    asyncio.run(main())
