"""Graphs with joins: layers of keys, three tools for each, that need one to three keys of the layers below."""

from random import Random

from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.tool import Tool

ALTERNATIVES = 3


def layered_joins(tools: int, sharing: float, seed: int, *, wide: int = 8) -> ToolGraph:
    """`tools` tools in layers of `wide` keys with three alternatives each; one more tool joins two keys to the goal.

    With probability `sharing` a need is one of the two keys of the layer below that everybody needs.
    """
    random = Random(seed)
    layers = max(2, tools // (wide * ALTERNATIVES))
    graph = ToolGraph()
    for layer in range(layers):
        below = [f"k{layer - 1}_{i}" for i in range(wide)]
        for i in range(wide):
            for j in range(ALTERNATIVES):
                needs = _needs(random, below, sharing) if layer else ["k"]
                _add(graph, f"t{layer}_{i}_{j}", needs, f"k{layer}_{i}", random.uniform(0.001, 0.02))
    top = random.sample(range(wide), 2)
    _add(graph, "last", [f"k{layers - 1}_{i}" for i in top], "goal", 0.001)
    return graph


def _needs(random: Random, below: list[str], sharing: float) -> list[str]:
    count = random.choice([1, 2, 2, 3])
    found: list[str] = []
    while len(found) < count:
        key = random.choice(below[:2]) if random.random() < sharing else random.choice(below)
        if key in found:
            key = random.choice(below)
        if key not in found:
            found.append(key)
    return found


def _add(graph: ToolGraph, name: str, needs: list[str], gives: str, cost: float) -> None:
    parameters = ", ".join(f"p{i}" for i in range(len(needs)))
    call = eval(f"lambda {parameters}: None")
    graph.add(Tool(call, name=name, needs={f"p{i}": key for i, key in enumerate(needs)}, gives=gives, cost=cost))
