"""Replanning after a failure on graphs of transitions, against the best of networkx: `python benchmarks/topologies.py`.

A tool on the route fails and the route is planned again from the current state of the run (`Planner.plan`). The peers
only find the path, interleaved in the same run: `dijkstra_path` and `bidirectional_dijkstra` from the start, and from
the current state of the run. The ratio is that of the best of them. CPU times of the thread, medians.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from time import thread_time
from typing import Any

import networkx as nx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._graphs import END, Bench, ready
from benchmarks._topologies import TOPOLOGIES
from orchestrator.core.enums import START
from orchestrator.core.outcome import NoRoute
from orchestrator.core.route import Problem

OWN = ("plan", "again")
"""What is not a peer: the plan, and the same plan again, for which nothing has to be learned."""


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returned, and microseconds of this thread: the machine may be shared."""
    start = thread_time()
    result = work()
    return result, (thread_time() - start) * 1e6


def planned(bench: Bench, problem: Problem) -> tuple[str, ...]:
    """The names of the route's tools, in order, as a peer returns them."""
    return bench.planner.plan(problem).tools


def measured(bench: Bench, repeats: int, piled: int) -> dict[str, list[float]]:
    """Times of the plan and of each peer; `piled` tools are down at any time."""
    random, down = Random(1), list[str]()
    times: dict[str, list[float]] = {}
    for _ in range(repeats):
        route = bench.planner.plan(bench.start)
        steps = random.randrange(max(1, len(route.tools) - 1))
        bench.trip(route.tools[steps])
        down.append(route.tools[steps])
        problem = bench.standing(route, steps)
        at = route.tools[steps - 1] if steps else START
        calls: dict[str, Callable[[], Any]] = {
            "plan": partial(planned, bench, problem),
            "dijkstra": partial(nx.dijkstra_path, bench.peer, START, END),
            "bidirectional": partial(nx.bidirectional_dijkstra, bench.peer, START, END),
            "bidirectional from there": partial(nx.bidirectional_dijkstra, bench.peer, at, END),
        }
        try:
            found = calls["plan"]
            times.setdefault("plan", []).append(timed(found)[1])
            times.setdefault("again", []).append(timed(found)[1])
        except NoRoute:
            bench.restore(down.pop())
            continue
        for name, call in calls.items():
            if name not in OWN:
                times.setdefault(name, []).append(timed(call)[1])
        while len(down) > piled:
            bench.restore(down.pop(0))
    for name in down:
        bench.restore(name)
    return times


def main() -> None:
    """One line for each shape, size and number of other tools down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="2000,20000", help="numbers of tools")
    parser.add_argument("--only", default="", help="shapes whose name contains this")
    parser.add_argument("--repeats", type=int, default=40)
    arguments = parser.parse_args()
    for size in map(int, arguments.sizes.split(",")):
        for name, graph_of in TOPOLOGIES.items():
            if arguments.only not in name:
                continue
            bench = ready(graph_of(size))
            for piled in (0, 8) if name != "ring" else (0,):
                times = measured(bench, arguments.repeats if size <= 2000 else arguments.repeats // 3, piled)
                middle = {kind: median(found) for kind, found in times.items()}
                best = min(found for kind, found in middle.items() if kind not in OWN)
                said = ", ".join(f"{kind} {found:.0f}" for kind, found in middle.items() if kind != "plan")
                steps, own = len(bench.planner.plan(bench.start).tools), middle["plan"]
                print(f"{name}, {size} tools, {steps} steps, {piled} others down: ", end="")
                print(f"plan {own:.0f} us (worst {max(times['plan']):.0f}) = {best / own:.1f}x; {said}", flush=True)


if __name__ == "__main__":
    main()
