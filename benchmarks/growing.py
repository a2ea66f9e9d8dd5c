"""The first plan of a large graph, and the next one after a tool was added, connected, removed.

    python benchmarks/growing.py [--sizes 2000,20000]

`Orchestrator.plan` on a graph that was just registered against one `networkx.dijkstra_path` on the same tools; then a
plan as before against the plan right after a change. CPU times of the process; changes are medians of several.
"""

import argparse
import gc
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import networkx as nx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._graphs import END, GOAL, INPUT, layered_typed
from benchmarks._topologies import TOPOLOGIES
from orchestrator import Orchestrator, Tool
from orchestrator.core.enums import START
from orchestrator.graph.graph import ToolGraph

CHANGES = 7


def milliseconds(work: Callable[[], Any]) -> float:
    """CPU time of a piece of work."""
    start = process_time()
    work()
    return (process_time() - start) * 1e3


def registered(graph: ToolGraph) -> Orchestrator:
    """An orchestrator with the same tools and transitions."""
    orc = Orchestrator(list(graph), monitors=())
    for t in graph.view().transitions:
        orc.connect(t.source, t.target, t.cost)
    return orc


def dijkstra(orc: Orchestrator) -> float:
    """The peer on the same graph."""
    peer = orc.graph.nx.copy()
    for name, node in orc.graph.view().nodes.items():
        if INPUT in node.needs:
            peer.add_edge(START, name, weight=node.cost)
        if GOAL in node.gives:
            peer.add_edge(name, END, weight=0.0)
    return milliseconds(lambda: nx.dijkstra_path(peer, START, END))


def bare_loop(orc: Orchestrator) -> float:
    """Reading each transition once, its source as a number and its cost: no way from names to numbers does less."""
    view = orc.graph.view()
    number = {name: i for i, name in enumerate(view.nodes)}
    sources: list[int] = []
    costs: list[float] = []

    def read() -> None:
        for name in view.nodes:
            for t in view.incoming(name):
                sources.append(number.get(t.source, -1))
                costs.append(t.cost)

    return milliseconds(read)


def measured(name: str, graph: ToolGraph) -> None:
    """One line."""
    inputs: dict[str, Any] = {INPUT: 1} if graph.view().consumers(INPUT) else {}
    with closing(registered(graph)) as orc:
        gc.collect()
        first = milliseconds(lambda: orc.plan(GOAL, inputs))
        before, added, after, removed, without = (list[float]() for _ in range(5))
        for i in range(CHANGES):
            tool = Tool(lambda: None, name=f"unrelated{i}", gives=f"nothing{i}")
            before.append(milliseconds(lambda: orc.plan(GOAL, inputs)))
            added.append(milliseconds(partial(orc.add, tool)))
            after.append(milliseconds(lambda: orc.plan(GOAL, inputs)))
            removed.append(milliseconds(partial(orc.remove, tool)))
            without.append(milliseconds(lambda: orc.plan(GOAL, inputs)))
        peer, bare = dijkstra(orc), bare_loop(orc)
    ratio = median(after) / median(before)
    print(
        f"{name}, {len(graph)} tools: first plan {first:.0f} ms = {peer / first:.2f}x of dijkstra ({peer:.0f} ms); "
        f"reading each transition once {bare:.0f} ms; "
        f"plan {median(before):.2f} ms, after a tool was added {median(after):.2f} ms = {ratio:.2f}x, after it was "
        f"removed {median(without):.2f} ms; adding {median(added):.2f} ms, removing {median(removed):.2f} ms",
        flush=True,
    )


def main() -> None:
    """One line for each graph and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="2000,20000", help="numbers of tools")
    arguments = parser.parse_args()
    for size in map(int, arguments.sizes.split(",")):
        for name, graph_of in {"layered, typed": layered_typed, **TOPOLOGIES}.items():
            measured(name, graph_of(size))


if __name__ == "__main__":
    main()
