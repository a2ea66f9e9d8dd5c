"""What a short run costs beside plain asyncio, pydantic-graph, LangGraph and DBOS: no-op steps, each after the last.

    pip install langgraph-checkpoint-sqlite pydantic-graph dbos    # only for this page; what is missing is left out
    python benchmarks/short_runs.py [ROUNDS]

Seconds of the processor over all threads, all systems interleaved in one process, medians of several rounds. `a run`
is one of three steps; `a further call` is what each step more costs: the slope to runs of 13 steps. `at once` are 50
runs together, per run. The last rows are the ratios that have an aim.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks._short_peers import config, langgraph, peers
from orchestrator import Orchestrator, Tool

STEPS, MORE = 3, 13
RUNS, BURSTS = 40, 10
ONE, LONG, ONCE, SYNC = "a run", "a run of 13", "50 at once", "run_sync"


def tools(steps: int, *, sync: bool = False) -> list[Tool]:
    """Tools of which each needs what the one before gives."""

    async def call(**inputs: int) -> int:
        return 1

    def call_sync(**inputs: int) -> int:
        return 1

    function = call_sync if sync else call
    return [
        Tool(function, name=f"t{n}", needs=[f"t{n - 1}"] if n else ["x"], gives={f"t{n}": int}) for n in range(steps)
    ]


async def spent(work: Callable[[], Awaitable[Any]], runs: int) -> float:
    """Seconds of the processor for one of so many runs, one after another."""
    began = time.process_time()
    for _ in range(runs):
        await work()
    return (time.process_time() - began) / runs


async def at_once(work: Callable[[], Awaitable[Any]], runs: int, bursts: int = 1) -> float:
    """Seconds of the processor for one of so many runs at once, over so many bursts.

    A full collection of garbage walks over the whole process, and happens in one burst of about ten: a single one shows
    all of it or nothing.
    """
    began = time.process_time()
    for _ in range(bursts):
        await asyncio.gather(*(work() for _ in range(runs)))
    return (time.process_time() - began) / runs / bursts


def spent_sync(work: Callable[[], Any], runs: int) -> float:
    """The same for code that is not async."""
    began = time.process_time()
    for _ in range(runs):
        work()
    return (time.process_time() - began) / runs


async def systems(stack: AsyncExitStack, steps: int, folder: Path) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Ours and the peers, by name, as runs of so many steps."""
    found = await stack.enter_async_context(peers(steps, folder))
    memory = await stack.enter_async_context(Orchestrator(tools(steps)))
    stored = await stack.enter_async_context(Orchestrator(tools(steps), store=folder / f"runs{steps}.db"))
    goal = f"t{steps - 1}"
    ours = {"ours": lambda: memory.run(goal, {"x": 1}), "ours, SQLite": lambda: stored.run(goal, {"x": 1})}
    return {**found, **ours}


async def rounds(number: int) -> dict[tuple[str, str], list[float]]:
    """The async measures by system and measure."""
    found = dict[tuple[str, str], list[float]]()
    for steps, measure in ((STEPS, ONE), (MORE, LONG)):
        with tempfile.TemporaryDirectory() as folder:
            async with AsyncExitStack() as stack:
                works = await systems(stack, steps, Path(folder))
                for work in works.values():
                    await spent(work, 5)
                for _ in range(number):
                    for name, work in works.items():
                        found.setdefault((name, measure), []).append(await spent(work, RUNS))
                    for name, work in works.items() if steps == STEPS else ():
                        if not name.startswith("DBOS"):
                            found.setdefault((name, ONCE), []).append(await at_once(work, 50, BURSTS))
                if steps == STEPS:
                    found["ours", "2000 at once"] = [await at_once(works["ours"], 2000) for _ in range(2)]
    return found


def rounds_sync(number: int) -> dict[tuple[str, str], list[float]]:
    """`run_sync` with sync tools beside `invoke`."""
    found = dict[tuple[str, str], list[float]]()
    app, orc = langgraph(STEPS, InMemorySaver(), sync=True), Orchestrator(tools(STEPS, sync=True))
    orc.run_sync(f"t{STEPS - 1}", {"x": 1})
    for _ in range(number):
        peer = spent_sync(lambda: app.invoke({"x": 0}, config()), RUNS)
        found.setdefault(("LangGraph, InMemorySaver", SYNC), []).append(peer)
        ours = spent_sync(lambda: orc.run_sync(f"t{STEPS - 1}", {"x": 1}), RUNS)
        found.setdefault(("ours", SYNC), []).append(ours)
    orc.close()
    return found


def main() -> None:
    """Print the tables."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    found = {**asyncio.run(rounds(number)), **rounds_sync(number)}
    ms = {place: statistics.median(values) * 1e3 for place, values in found.items()}
    print(f"| processor, ms | {ONE} | a further call | {ONCE}, per run |\n|---|---|---|---|")
    further = {name: (ms[name, LONG] - ms[name, ONE]) / (MORE - STEPS) for name, measure in ms if measure == ONE}
    for name, slope in further.items():
        once = f"{ms[name, ONCE]:.2f}" if (name, ONCE) in ms else ""
        print(f"| {name} | {ms[name, ONE]:.2f} | {slope:.3f} | {once} |")
    memory = "LangGraph, InMemorySaver"
    print(f"a run of 3, memory          {ms['ours', ONE] / ms[memory, ONE]:.2f}x")
    if ("LangGraph, SqliteSaver", ONE) in ms:
        print(f"a run of 3, SQLite          {ms['ours, SQLite', ONE] / ms['LangGraph, SqliteSaver', ONE]:.2f}x")
    print(f"a further call, memory      {further['ours'] / further[memory]:.2f}x")
    print(f"run_sync of 3 sync tools    {ms['ours', SYNC] / ms[memory, SYNC]:.2f}x")
    print(f"50 at once, runs per second {ms[memory, ONCE] / ms['ours', ONCE]:.2f}x")
    print(f"2000 at once beside 50      {ms['ours', '2000 at once'] / ms['ours', ONCE]:.2f}x")


if __name__ == "__main__":
    main()
