"""Routing against networkx, in one run, interleaved: `python benchmarks/routing.py [--sizes 200,2000,20000]`.

"plan" is `Planner.plan` as a run calls it, "search" the search in it. The peers do nothing but find the path:
`networkx.dijkstra_path`, and `networkx.astar_path` with our own distances as its heuristic.
"""

import argparse
import gc
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import mean, median
from time import thread_time
from typing import Any

import networkx as nx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._graphs import END, GOAL, Bench, layered_connected, layered_typed, ready, scale_free
from orchestrator.core.enums import START
from orchestrator.core.route import Problem, Route
from orchestrator.graph.graph import ToolGraph
from orchestrator.routing.compiled import Compiled
from orchestrator.routing.paths.astar import shortest
from orchestrator.routing.paths.distances import Rooted
from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import RoutingWeights

STYLES: dict[str, Callable[[int], ToolGraph]] = {
    "layered, typed": layered_typed,
    "layered, connected": layered_connected,
    "scale-free": scale_free,
}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returned, and microseconds of this thread: the machine may be shared."""
    start = thread_time()
    result = work()
    return result, (thread_time() - start) * 1e6


def dijkstra(bench: Bench, end: str = END) -> list[str]:
    """The peer. An infinite edge is only taken where there is nothing else."""
    path: list[str] = nx.dijkstra_path(bench.peer, START, end)
    return path


def dijkstra_from(bench: Bench, problem: Problem) -> list[str]:
    """The peer, told everything that the run has done already."""
    _, path = nx.multi_source_dijkstra(bench.peer, {START, *problem.done}, END)
    return [str(place) for place in path]


def astar(bench: Bench, distances: Callable[[str], float]) -> list[str]:
    """The peer with our heuristic."""
    path: list[str] = nx.astar_path(bench.peer, START, END, heuristic=lambda u, _: distances(u))
    return path


def check(bench: Bench, path: list[str], route: Route) -> None:
    """Both found the same price, or the comparison is worth nothing."""
    weight = sum(bench.peer.edges[edge]["weight"] for edge in pairwise(path))
    assert abs(weight - route.price) < 1e-9, (weight, route.price)


def heuristic(root: Rooted) -> Callable[[str], float]:
    """Our distances in US dollars, by name; nothing for what the peer alone has."""
    c = root.weights.compiled

    def distance(name: str) -> float:
        place = c.begin if name == START else c.target[c.tool[name]] if name in c.tool else -1
        return 0.0 if place < 0 or name == START else (root.distance[place] >> 20) / 1e12

    return distance


def build(graph_of: Callable[[int], ToolGraph], size: int) -> Bench:
    """Build both, and print what that takes."""
    gc.collect()
    graph, own = timed(partial(graph_of, size))
    bench = ready(graph)
    weights, compiled = timed(lambda: _warm(bench))
    copy, peer = timed(lambda: nx.DiGraph(bench.peer))
    memory, peer_memory = held(lambda: _warm(bench)), held(lambda: nx.DiGraph(bench.peer))
    del copy, weights
    print(
        f"  build: tools and transitions {own / 1e3:.1f} ms, made ready for planning {compiled / 1e3:.1f} ms, "
        f"{memory / 1e6:.2f} MB; the peer's graph copied {peer / 1e3:.1f} ms, {peer_memory / 1e6:.2f} MB "
        f"({bench.peer.number_of_edges()} edges)"
    )
    return bench


def held(make: Callable[[], Any]) -> int:
    """Bytes that what it makes takes."""
    tracemalloc.start()
    made = make()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del made
    return size


def _warm(bench: Bench) -> RoutingWeights:
    weights = RoutingWeights(Compiled(bench.graph.view()), bench.prices)
    weights.sync()
    return weights


def first_route(bench: Bench, repeats: int) -> None:
    """A goal that nobody asked for before, on a graph that is ready: what gives it is drawn at random."""
    random = Random(3)
    bench.planner.plan(bench.start)
    nodes = bench.graph.view().nodes
    unique = [name for name, node in nodes.items() if bench.graph.view().producers(node.gives[0]) == (name,)]
    own: list[float] = []
    peers: list[float] = []
    for _ in range(repeats):
        end = random.choice(unique) if unique else END
        problem = Problem(nodes[end].gives, bench.start.at_hand) if unique else bench.start
        if not nx.has_path(bench.peer, START, end):
            continue
        bench.planner.forget()
        route, t = timed(partial(bench.planner.plan, problem))
        own.append(t)
        path, t = timed(partial(dijkstra, bench, end))
        peers.append(t)
        check(bench, path, route)
    report("first route of a goal: plan", own, {"dijkstra": peers})


def reroutes(bench: Bench, repeats: int, piled: int) -> None:
    """A tool on the route fails; plan again from the current state of the run. `piled` tools are down at any time."""
    random = Random(1)
    down: list[str] = []
    search: list[float] = []
    plan: list[float] = []
    peers: dict[str, list[float]] = {"dijkstra": [], "dijkstra from there": [], "astar": []}
    root = Rooted(bench.planner.weights(), bench.planner.weights().compiled.key[GOAL])
    distances = heuristic(root)
    for _ in range(repeats):
        route = bench.planner.plan(bench.start)
        steps = random.randrange(max(1, len(route.tools) - 1))
        bench.trip(route.tools[steps])
        down.append(route.tools[steps])
        problem = bench.standing(route, steps)
        again, t = timed(partial(bench.planner.plan, problem))
        plan.append(t)
        situation = Situation(bench.planner.weights(), problem)
        search.append(timed(partial(shortest, root, situation, 0))[1])
        path, t = timed(partial(dijkstra_from, bench, problem))
        peers["dijkstra from there"].append(t)
        check(bench, path, again)
        peers["dijkstra"].append(timed(partial(dijkstra, bench))[1])
        peers["astar"].append(timed(partial(astar, bench, distances))[1])
        while len(down) > piled:
            bench.restore(down.pop(0))
    for name in down:
        bench.restore(name)
    label = "reroute" if piled == 0 else f"reroute with {piled} others down, failing and recovering in turn"
    report(f"{label}: search", search, peers)
    report(f"{label}: plan", plan, peers)


def stream(bench: Bench, changes: int, peer_every: int) -> None:
    """A stream of price changes: half on the route, half to infinity, recovery after 20; the route after each."""
    random = Random(2)
    names = list(bench.graph.view().nodes)
    pending: list[tuple[int, str]] = []
    own: list[float] = []
    peers: list[float] = []
    route = bench.planner.plan(bench.start)
    for i in range(changes):
        while pending and pending[0][0] <= i:
            bench.restore(pending.pop(0)[1])
        name = random.choice(route.tools) if random.random() < 0.5 else random.choice(names)
        if random.random() < 0.5:
            bench.weather.down.add(name)
        else:
            bench.weather.slower[name] = random.uniform(1.0, 5.0)
        pending.append((i + 20, name))
        bench.reprice(name)
        route, t = timed(lambda: bench.planner.plan(bench.start))
        own.append(t)
        if i % peer_every == 0:
            path, t = timed(lambda: dijkstra(bench))
            peers.append(t)
            check(bench, path, route)
    for _, name in pending:
        bench.restore(name)
    report("stream of price changes, each with its route: plan", own, {"dijkstra": peers}, mean)


def report(
    label: str, own: list[float], peers: dict[str, list[float]], of: Callable[[list[float]], float] = median
) -> None:
    """One line: ours, and each peer with the ratio."""
    mine = of(own)
    said = ", ".join(f"{name} {of(times):.0f} us = {of(times) / mine:.1f}x" for name, times in peers.items())
    print(f"  {label} {mine:.0f} us ({'mean' if of is mean else 'median'} of {len(own)}); {said}", flush=True)


def main() -> None:
    """Print all measures for all styles and sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="200,2000,20000", help="numbers of tools")
    parser.add_argument("--styles", default=",".join(f'"{s}"' for s in STYLES).replace('"', ""), help="which graphs")
    arguments = parser.parse_args()
    for style, graph_of in STYLES.items():
        if style.split(",")[-1].strip() not in arguments.styles:
            continue
        for size in map(int, arguments.sizes.split(",")):
            repeats = 100 if size <= 2000 else 15
            print(f"{style}, {size} tools", flush=True)
            bench = build(graph_of, size)
            first_route(bench, max(5, repeats // 5))
            reroutes(bench, repeats, 0)
            reroutes(bench, repeats, 8)
            stream(bench, 1000, max(1, 1000 // repeats))


if __name__ == "__main__":
    main()
