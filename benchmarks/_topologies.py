"""Graphs of transitions in the shapes in which a corridor helps much, little, or not at all."""

from collections.abc import Callable, Iterable
from random import Random

from benchmarks._graphs import GOAL, make_tool
from orchestrator.core.enums import START
from orchestrator.graph.graph import ToolGraph

DEGREE = 4
"""Transitions that leave a tool, where the shape does not say otherwise."""


def _graph(
    size: int, goals: Iterable[int], entries: Iterable[int], edges: Iterable[tuple[int, int]], seed: int
) -> ToolGraph:
    """Tools without keys and transitions of random cost between them."""
    random, graph, last = Random(seed), ToolGraph(), set(goals)
    for i in range(size):
        graph.add(make_tool(f"t{i}", [], GOAL if i in last else f"o{i}", random.uniform(0.001, 0.02)))
    for i in entries:
        graph.connect(START, f"t{i}", cost=random.uniform(0.001, 0.01))
    for a, b in sorted({(a, b) for a, b in edges if a != b}):
        graph.connect(f"t{a}", f"t{b}", cost=random.uniform(0.001, 0.01))
    return graph


def _layers(size: int, width: int, seed: int) -> ToolGraph:
    """Every tool has a way in, or it could start by itself."""
    random, depth = Random(seed), size // width
    edges = [
        (layer * width + i, (layer + 1) * width + j)
        for layer in range(depth - 1)
        for i, first in enumerate(random.sample(range(width), width))
        for j in (first, *random.sample(range(width), DEGREE - 1))
    ]
    return _graph(depth * width, range((depth - 1) * width, depth * width), range(width), edges, seed)


def wide20(size: int, seed: int = 0) -> ToolGraph:
    """Layers of 20 tools, as many as it takes: long routes."""
    return _layers(size, 20, seed)


def layers8(size: int, seed: int = 0) -> ToolGraph:
    """Eight wide layers: short routes."""
    return _layers(size, size // 8, seed)


def random_cycles(size: int, seed: int = 0) -> ToolGraph:
    """Random transitions, circles included; one entry, one tool that gives the goal."""
    random = Random(seed)
    edges = [(i, random.randrange(size)) for i in range(size) for _ in range(DEGREE)]
    order = random.sample(range(size), size)
    edges += zip(order, order[1:] + order[:1], strict=True)
    return _graph(size, [size - 1], [0], edges, seed)


def grid(size: int, seed: int = 0) -> ToolGraph:
    """A square with transitions in all four directions, from one corner to the other."""
    side = int(size**0.5)
    right = [(y * side + x, y * side + x + 1) for y in range(side) for x in range(side - 1)]
    down = [(y * side + x, (y + 1) * side + x) for y in range(side - 1) for x in range(side)]
    edges = [*right, *down]
    return _graph(side * side, [side * side - 1], [0], [*edges, *((b, a) for a, b in edges)], seed)


def ring(size: int, seed: int = 0) -> ToolGraph:
    """A ring in both directions; the goal is opposite the entry. After a failure the other way round is left."""
    edges = [(i, (i + 1) % size) for i in range(size)]
    return _graph(size, [size // 2], [0], [*edges, *((b, a) for a, b in edges)], seed)


TOPOLOGIES: dict[str, Callable[[int], ToolGraph]] = {
    "20 wide and long": wide20,
    "8 layers": layers8,
    "random with circles": random_cycles,
    "grid": grid,
    "ring": ring,
}
