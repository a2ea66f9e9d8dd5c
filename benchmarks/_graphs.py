"""Graphs for the routing benchmarks: layered ones of degree 8 and scale-free ones, in three styles."""

from dataclasses import dataclass
from random import Random

import networkx as nx

from orchestrator.core.enums import START
from orchestrator.core.policy import Policy
from orchestrator.core.route import Problem, Route, StartedFrom
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import NoHealthFacts, PriceTable
from orchestrator.graph.tool import Tool
from orchestrator.routing import Planner

DEGREE = 8
GOAL = "goal"
END = "END"
"""The node that the peer looks for."""
INPUT = "k0"


class Weather(NoHealthFacts):
    """Health that a benchmark sets by hand."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.slower: dict[str, float] = {}

    def success(self, name: str) -> float:
        return 0.0 if name in self.down else 0.9

    def pressure(self, name: str) -> float:
        return self.slower.get(name, 1.0)


@dataclass
class Bench:
    """A graph with its prices and planner, and the same graph for networkx."""

    graph: ToolGraph
    weather: Weather
    prices: PriceTable
    planner: Planner
    start: Problem
    peer: "nx.DiGraph[str]"

    def reprice(self, name: str) -> None:
        """Tell both sides that the price of a tool has changed."""
        self.prices.invalidate([name])
        live = self.graph.nx
        weight = self.prices.weight(self.graph.view().nodes[name])
        for source in self.peer.predecessors(name):
            known = live.has_edge(source, name)
            self.peer.edges[source, name]["weight"] = live.edges[source, name]["weight"] if known else weight

    def trip(self, name: str) -> None:
        """Take a tool down."""
        self.weather.down.add(name)
        self.reprice(name)

    def restore(self, name: str) -> None:
        """Bring a tool back."""
        self.weather.down.discard(name)
        self.weather.slower.pop(name, None)
        self.reprice(name)

    def standing(self, route: Route, steps: int) -> Problem:
        """Where a run stands that has done so many steps of its route."""
        at_hand: dict[str, str | None] = {INPUT: None}
        done: dict[str, StartedFrom] = {}
        for step in route.steps[:steps]:
            done[step.tool] = StartedFrom(tuple(step.sources), step.via)
            for key in self.graph.view().nodes[step.tool].gives:
                at_hand[key] = step.tool
        return Problem((GOAL,), at_hand, done)


def ready(graph: ToolGraph) -> Bench:
    """Prices, planner and the peer's graph; entry tools hang on `START`, and what gives the goal on `END`."""
    weather = Weather()
    policy = Policy()
    prices = PriceTable(graph, policy, facts=weather)
    graph.use_weights(prices)
    view = graph.view()
    peer = graph.nx.copy()
    for name, node in view.nodes.items():
        if INPUT in node.needs or not (node.needs or view.incoming(name)):
            peer.add_edge(START, name, weight=prices.weight(node))
        if GOAL in node.gives:
            peer.add_edge(name, END, weight=0.0)
    return Bench(graph, weather, prices, Planner(graph, prices, policy), Problem((GOAL,), {INPUT: None}), peer)


def make_tool(name: str, needs: list[str], gives: str, cost: float) -> Tool:
    call = (lambda value: value) if needs else (lambda: None)
    return Tool(call, name=name, needs=needs, gives=gives, cost=cost)


def layered_typed(tools: int, seed: int = 0) -> ToolGraph:
    """Layers of tools that take one key and give one; each key is taken by about 8 tools and given by 8."""
    random = Random(seed)
    layers = max(5, int(tools**0.5 / 2))
    width = tools // layers
    keys = max(1, width // DEGREE)
    graph = ToolGraph()
    for layer in range(layers):
        for i in range(width):
            need = f"k{layer}_{i // DEGREE % keys}" if layer else INPUT
            give = f"k{layer + 1}_{random.randrange(keys)}" if layer < layers - 1 else GOAL
            graph.add(make_tool(f"t{layer}_{i}", [need], give, random.uniform(0.001, 0.02)))
    return graph


def layered_connected(tools: int, seed: int = 0) -> ToolGraph:
    """Layers of tools without keys; 8 transitions of random cost lead from each to the next layer."""
    random = Random(seed)
    layers = max(5, int(tools**0.5 / 2))
    width = tools // layers
    graph = ToolGraph()
    for layer in range(layers):
        for i in range(width):
            give = f"o{layer}_{i}" if layer < layers - 1 else GOAL
            graph.add(make_tool(f"t{layer}_{i}", [], give, random.uniform(0.001, 0.02)))
    for i in range(width):
        graph.connect(START, f"t0_{i}", cost=random.uniform(0.001, 0.01))
    for layer in range(layers - 1):
        for i in range(width):
            for j in random.sample(range(width), min(DEGREE, width)):
                graph.connect(f"t{layer}_{i}", f"t{layer + 1}_{j}", cost=random.uniform(0.001, 0.01))
    return graph


def scale_free(tools: int, seed: int = 0) -> ToolGraph:
    """Barabasi-Albert with transitions in both directions: circles, hubs and short ways."""
    random = Random(seed)
    skeleton = nx.barabasi_albert_graph(tools, DEGREE // 2, seed=seed)
    graph = ToolGraph()
    for i in range(tools):
        graph.add(make_tool(f"t{i}", [], GOAL if i >= tools - DEGREE else f"o{i}", random.uniform(0.001, 0.02)))
    for i in range(tools // 2, tools // 2 + DEGREE):
        graph.connect(START, f"t{i}", cost=random.uniform(0.001, 0.01))
    for a, b in sorted(skeleton.edges):
        graph.connect(f"t{a}", f"t{b}", cost=random.uniform(0.001, 0.01))
        graph.connect(f"t{b}", f"t{a}", cost=random.uniform(0.001, 0.01))
    return graph
