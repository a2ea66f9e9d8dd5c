"""Layout of a layered drawing: ranks by longest path, order by barycentres, few crossings.

After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (1981). Pure and
deterministic; an edge over several ranks gets bends, so that it avoids the nodes between.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

SWEEPS: Final = 12
RANK_GAP: Final = 44.0
NODE_GAP: Final = 18.0
BEND: Final = "\0bend"
"""Prefix of the name of a bend; no tool or key has such a name."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node with its size."""

    id: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Placed:
    """The position of a box: its upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass
class Layout:
    """A finished layout: boxes by id, and for each edge the points that it passes, in order."""

    width: float = 0.0
    height: float = 0.0
    boxes: dict[str, Placed] = field(default_factory=dict[str, Placed])
    bends: dict[tuple[str, str], tuple[tuple[float, float], ...]] = field(
        default_factory=dict[tuple[str, str], tuple[tuple[float, float], ...]]
    )


def lay_out(boxes: Sequence[Box], edges: Iterable[tuple[str, str]]) -> Layout:
    """Place boxes so that edges lead from left to right, except those that close a cycle."""
    known = {box.id: box for box in sorted(boxes, key=lambda box: box.id)}
    wanted = sorted({(a, b) for a, b in edges if a in known and b in known and a != b})
    forward = _without_cycles(list(known), wanted)
    rank = _ranks(list(known), forward)
    layers, links, chains = _layers(known, forward, rank)
    order = _ordered(layers, links)
    return _placed(known, order, links, chains)


def _without_cycles(nodes: list[str], edges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges, with those that close a cycle reversed."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for a, b in edges:
        after[a].append(b)
    heads = {b for _, b in edges}
    color: dict[str, int] = {}
    turned: set[tuple[str, str]] = set()
    for root in [n for n in nodes if n not in heads] + nodes:
        if root in color:
            continue
        color[root] = 1
        stack = [(root, iter(after[root]))]
        while stack:
            node, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                color[node] = 2
                stack.pop()
            elif step not in color:
                color[step] = 1
                stack.append((step, iter(after[step])))
            elif color[step] == 1:
                turned.add((node, step))
    return sorted({(b, a) if (a, b) in turned else (a, b) for a, b in edges})


def _ranks(nodes: list[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    """Ranks by longest path; a node without predecessors is moved next to its successors."""
    before: dict[str, list[str]] = {node: [] for node in nodes}
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for a, b in edges:
        before[b].append(a)
        after[a].append(b)
    waiting = {node: len(before[node]) for node in nodes}
    ready = [node for node in nodes if not waiting[node]]
    rank = dict.fromkeys(nodes, 0)
    for node in ready:  # grows during the iteration
        for step in after[node]:
            rank[step] = max(rank[step], rank[node] + 1)
            waiting[step] -= 1
            if not waiting[step]:
                ready.append(step)
    for node in nodes:
        if not before[node] and after[node]:
            rank[node] = min(rank[step] for step in after[node]) - 1
    return rank


_Chains = dict[tuple[str, str], list[str]]


def _layers(
    known: Mapping[str, Box], edges: list[tuple[str, str]], rank: Mapping[str, int]
) -> tuple[list[list[str]], list[tuple[str, str]], _Chains]:
    """Ids by rank, links between neighbouring ranks, and the bends of each longer edge."""
    layers: list[list[str]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for node in known:
        layers[rank[node]].append(node)
    links: list[tuple[str, str]] = []
    chains: _Chains = {}
    for a, b in edges:
        bends = [f"{BEND}:{a}:{b}:{level}" for level in range(rank[a] + 1, rank[b])]
        for level, bend in enumerate(bends, rank[a] + 1):
            layers[level].append(bend)
        chains[a, b] = bends
        path = [a, *bends, b]
        links += itertools.pairwise(path)
    return layers, links, chains


def _neighbours(links: Iterable[tuple[str, str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    left: dict[str, list[str]] = {}
    right: dict[str, list[str]] = {}
    for a, b in links:
        left.setdefault(b, []).append(a)
        right.setdefault(a, []).append(b)
    return left, right


def _ordered(layers: list[list[str]], links: list[tuple[str, str]]) -> list[list[str]]:
    """Each layer by the mean place of its neighbours, swept forth and back; the order with the fewest crossings."""
    left, right = _neighbours(links)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, right)
    current = [list(layer) for layer in layers]
    for sweep in range(SWEEPS):
        side, span = (left, range(1, len(current))) if sweep % 2 == 0 else (right, range(len(current) - 2, -1, -1))
        for level in span:
            beside = current[level - 1 if side is left else level + 1]
            place = {node: n for n, node in enumerate(beside)}
            own = {node: n for n, node in enumerate(current[level])}
            current[level].sort(key=lambda node: (_mean([place[n] for n in side.get(node, ())], own[node]), own[node]))
        crossed = _crossings(current, right)
        if crossed < fewest:
            best, fewest = [list(layer) for layer in current], crossed
    return best


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(layers: list[list[str]], right: Mapping[str, list[str]]) -> int:
    count = 0
    for layer, beyond in itertools.pairwise(layers):
        place = {node: n for n, node in enumerate(beyond)}
        ends = [sorted(place[b] for b in right.get(node, ()) if b in place) for node in layer]
        flat = [end for each in ends for end in each]
        count += sum(flat[i] > flat[j] for i in range(len(flat)) for j in range(i + 1, min(len(flat), i + 200)))
    return count


def _placed(known: Mapping[str, Box], order: list[list[str]], links: list[tuple[str, str]], chains: _Chains) -> Layout:
    height = {node: known[node].height if node in known else 4.0 for layer in order for node in layer}
    center = _centers(order, links, height)
    top = min((center[n] - height[n] / 2 for layer in order for n in layer), default=0.0)
    made, x = Layout(), 0.0
    middle: dict[str, tuple[float, float]] = {}
    for layer in order:
        width = max((known[node].width for node in layer if node in known), default=0.0)
        for node in layer:
            y = center[node] - top
            middle[node] = (x + width / 2, y)
            if node in known:
                box = known[node]
                made.boxes[node] = Placed(x + (width - box.width) / 2, y - box.height / 2, box.width, box.height)
            made.height = max(made.height, y + height[node] / 2)
        x += width + RANK_GAP
    made.width = max(0.0, x - RANK_GAP)
    made.bends = {edge: tuple(middle[bend] for bend in bends) for edge, bends in chains.items()}
    return made


def _centers(order: list[list[str]], links: list[tuple[str, str]], height: Mapping[str, float]) -> dict[str, float]:
    """Vertical centres: near the mean of the neighbours, with a minimum distance within a layer."""
    left, right = _neighbours(links)
    center: dict[str, float] = {}
    for layer in order:
        y = -sum(height[n] + NODE_GAP for n in layer) / 2
        for node in layer:
            center[node] = y + height[node] / 2
            y += height[node] + NODE_GAP
    for sweep in range(SWEEPS):
        for layer in order if sweep % 2 == 0 else order[::-1]:
            wished = [
                _mean([center[n] for n in (*left.get(node, ()), *right.get(node, ()))], center[node]) for node in layer
            ]
            for node, y in zip(layer, _apart(layer, wished, height), strict=True):
                center[node] = y
    return center


def _apart(layer: list[str], wished: list[float], height: Mapping[str, float]) -> list[float]:
    """The desired positions in order and with minimum distances: touching blocks move to the mean of their desired
    positions.
    """
    blocks: list[tuple[float, list[int], list[float]]] = []
    """Position of the first, indices, and distances from the first."""
    for n, wish in enumerate(wished):
        blocks.append((wish, [n], [0.0]))
        while len(blocks) > 1:
            (a, members, offsets), (b, more, others) = blocks[-2], blocks[-1]
            gap = (height[layer[members[-1]]] + height[layer[more[0]]]) / 2 + NODE_GAP
            if b >= a + offsets[-1] + gap:
                break
            joined = offsets + [offsets[-1] + gap + each for each in others]
            indices = members + more
            place = sum(wished[i] - off for i, off in zip(indices, joined, strict=True)) / len(indices)
            blocks[-2:] = [(place, indices, joined)]
    found = [0.0] * len(layer)
    for place, indices, offsets in blocks:
        for i, offset in zip(indices, offsets, strict=True):
            found[i] = place + offset
    return found
