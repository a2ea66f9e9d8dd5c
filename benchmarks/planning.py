"""Planning joins, and what a whole plan costs beside its search: `python benchmarks/planning.py [--sizes 168,2000]`.

The price is against the optimum proven by CP-SAT (`--instances` graphs of 168 tools for each kind, 0 for none); the
time against one `networkx.dijkstra_path` over the same tools, in the same run.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from statistics import mean, median
from time import thread_time
from typing import Any

import networkx as nx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._graphs import END, GOAL, INPUT, Bench, Weather, layered_typed, ready
from benchmarks._joins import layered_joins
from orchestrator import Orchestrator
from orchestrator.core.enums import START
from orchestrator.core.policy import Policy
from orchestrator.core.route import Problem, Route, StartedFrom
from orchestrator.engine.planning import candidates, planning
from orchestrator.engine.planning.waits import known_waits
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.state import RunState
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import PriceTable
from orchestrator.graph.revision import GraphRevision
from orchestrator.routing import Planner
from orchestrator.routing.paths.astar import shortest
from orchestrator.routing.paths.distances import Rooted
from orchestrator.routing.situation import Situation

SHARING = (0.2, 0.8)
PROBLEM = Problem(("goal",), {"k": None})


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returned, and microseconds of this thread: the machine may be shared."""
    start = thread_time()
    result = work()
    return result, (thread_time() - start) * 1e6


def peer_of(graph: ToolGraph) -> "nx.DiGraph[str]":
    """The same tools for networkx, with the entries that the input makes."""
    peer = graph.nx.copy()
    for name, node in graph.view().nodes.items():
        if "k" in node.needs:
            peer.add_edge(START, name, weight=node.cost)
    return peer


def quality(instances: int) -> None:
    """The price of plans against the proven optimum."""
    from tests.routing.cpsat import cheapest_price

    for sharing in SHARING:
        for wide in (8, 14, 24):
            ratios: list[float] = []
            bounds: list[float] = []
            for seed in range(instances):
                graph = layered_joins(168, sharing, seed, wide=wide)
                prices = PriceTable(graph, Policy(), facts=Weather())
                route = Planner(graph, prices, Policy()).plan(PROBLEM)
                best = cheapest_price(graph.view(), prices, PROBLEM, 300)
                assert best is not None
                ratios.append(route.pico / best)
                bounds.append(route.bound_pico / best)
            print(
                f"168 tools, {wide} keys to a layer, sharing {sharing}: price / optimum mean {mean(ratios):.4f} worst "
                f"{max(ratios):.4f}; bound / optimum mean {mean(bounds):.2f} ({instances} graphs)",
                flush=True,
            )


def speed(sizes: list[int], repeats: int) -> None:
    """Planning time against one Dijkstra; a tool on the route fails between the plans."""
    for size in sizes:
        for sharing in SHARING:
            for wide in (8, 14 if size < 1000 else size // 100, 24 if size < 1000 else size // 9):
                times = {"plan": list[float](), "replan": list[float](), "dijkstra": list[float]()}
                length = 0
                for seed in range(repeats):
                    for kind, microseconds in _one(layered_joins(size, sharing, seed, wide=wide)):
                        if kind == "length":
                            length += int(microseconds)
                        else:
                            times[kind].append(microseconds)
                peer = median(times["dijkstra"])
                print(
                    f"{size} tools, {wide} keys to a layer, sharing {sharing}, {length // repeats} steps: plan "
                    f"{median(times['plan']):.0f} us = {median(times['plan']) / peer:.1f} Dijkstras, after a failure "
                    f"{median(times['replan']):.0f} us = {median(times['replan']) / peer:.1f}; dijkstra {peer:.0f} us",
                    flush=True,
                )


def _one(graph: ToolGraph) -> Iterator[tuple[str, float]]:
    weather = Weather()
    prices = PriceTable(graph, Policy(), facts=weather)
    planner = Planner(graph, prices, Policy())
    peer = peer_of(graph)
    route = planner.plan(PROBLEM)
    yield "length", len(route.tools)
    for _ in range(3):
        yield "dijkstra", timed(partial(nx.dijkstra_path, peer, START, "last"))[1]
        yield "plan", timed(partial(planner.plan, PROBLEM))[1]
        failing = route.tools[len(route.tools) // 2]
        weather.down.add(failing)
        prices.invalidate([failing])
        yield "replan", timed(partial(planner.plan, PROBLEM))[1]
        weather.down.clear()
        prices.invalidate([failing])
        planner.plan(PROBLEM)


def parts(sizes: list[int], repeats: int) -> None:
    """What the whole call costs beside the search."""
    for size in sizes:
        graph = layered_typed(size)
        bench = ready(graph)
        weights = bench.planner.weights()
        root = Rooted(weights, weights.compiled.key[GOAL])
        orchestrator = Orchestrator(list(graph))
        situation = Situation(weights, bench.start)
        calls: dict[str, Callable[[], Any]] = {
            "search": partial(shortest, root, situation, 0),
            "Planner.plan": partial(bench.planner.plan, bench.start),
            "Orchestrator.plan": partial(orchestrator.plan, GOAL, {INPUT: 1}),
            "Planner.plan with its alternatives": partial(with_alternatives, bench),
        }
        said: list[str] = []
        for name, call in calls.items():
            call()
            said.append(f"{name} {median(timed(call)[1] for _ in range(repeats)):.0f} us")
        orchestrator.close()
        print(
            f"{size} tools, typed, a path of {len(bench.planner.plan(bench.start).tools)}: {', '.join(said)}",
            flush=True,
        )


def whole(sizes: list[int], repeats: int) -> None:
    """A tool on the route fails; the whole call from the current state of the run, as a caller makes it and as a run
    does."""
    for size in sizes:
        for piled in (0, 8):
            times = _whole(layered_typed(size), piled, repeats if size <= 2000 else repeats // 4)
            peer = median(times["dijkstra"])
            said = [f"{name} {median(t):.0f} us = {peer / median(t):.1f}x" for name, t in times.items()]
            print(f"{size} tools, typed, {piled} others down: {', '.join(said)}", flush=True)


def _whole(graph: ToolGraph, piled: int, repeats: int) -> dict[str, list[float]]:
    """Interleaved: `Orchestrator.plan` with what is at hand as inputs; a run's own plan with its record; the peer."""
    random = Random(1)
    times: dict[str, list[float]] = {"Orchestrator.plan": [], "in a run, with its record": [], "dijkstra": []}
    down: list[str] = []
    with closing(Orchestrator(list(graph))) as orc:
        peer = orc.graph.nx.copy()
        runtime, view = orc._runtime, orc.graph.view()  # pyright: ignore[reportPrivateUsage]
        for name, node in view.nodes.items():
            if INPUT in node.needs:
                peer.add_edge(START, name, weight=runtime.prices.weight(node))
            if GOAL in node.gives:
                peer.add_edge(name, END, weight=0.0)
        for _ in range(repeats):
            route = orc.plan(GOAL, {INPUT: 1})
            steps = random.randrange(max(1, len(route.tools) - 1))
            down.append(route.tools[steps])
            orc.health.trip(down[-1], "a benchmark")
            state = _stand(route, steps, view)
            for source in peer.predecessors(down[-1]):
                peer.edges[source, down[-1]]["weight"] = math.inf
            values = dict.fromkeys(state.at_hand, 1)
            times["Orchestrator.plan"].append(timed(partial(orc.plan, GOAL, values))[1])
            times["in a run, with its record"].append(timed(partial(_in_a_run, runtime, state, view, values))[1])
            times["dijkstra"].append(timed(partial(nx.dijkstra_path, peer, START, END))[1])
            while len(down) > piled:
                back = down.pop(0)
                orc.health.restore(back)
                for source in peer.predecessors(back):
                    peer.edges[source, back]["weight"] = runtime.prices.weight(view.nodes[back])
    return times


def _stand(route: Route, steps: int, view: GraphRevision) -> RunState:
    """A run that has done so many steps of its route."""
    state = RunState("benchmark", goal=(GOAL,), at_hand={INPUT: None})
    for step in route.steps[:steps]:
        state.done[step.tool] = StartedFrom(tuple(step.sources), step.via)
        state.at_hand |= dict.fromkeys(view.nodes[step.tool].gives, step.tool)
    return state


def _in_a_run(runtime: Runtime, state: RunState, view: GraphRevision, values: dict[str, Any]) -> None:
    runtime.health.poll()
    waits = known_waits(runtime, view, state.goal, {})
    planned = planning.solve(
        runtime, state.problem(), view, values, allowed=state.allowed, turn=state.turn, waits=waits
    )
    assert planned.route is not None
    candidates.pricer(runtime, view, {}, planned).route(planned.route)
    planning.route_facts(runtime, view, planned, state.revision)


def with_alternatives(bench: Bench) -> int:
    """Plan, and look at what the route beat."""
    return len(bench.planner.plan(bench.start).alternatives)


def main() -> None:
    """Print all measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="168,2000,20000", help="numbers of tools")
    parser.add_argument("--instances", type=int, default=10, help="graphs whose optimum is proven")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    if arguments.instances:
        quality(arguments.instances)
    for size in sizes:
        speed([size], 8 if size < 1000 else 2)
    typed = [200 if size == 168 else size for size in sizes]
    parts(typed, 30)
    whole(typed, 200)


if __name__ == "__main__":
    main()
