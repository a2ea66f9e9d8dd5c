"""An order of decisions where tools can produce each other's inputs."""

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER

from .decisions import ProducerOption, Skeleton, ordered


def untangled(
    skeleton: Skeleton, situation: Situation, goal: Sequence[int], over: Mapping[int, int]
) -> tuple[list[list[ProducerOption]], list[int] | None, bool]:
    """The decisions that matter now, numbered so that each comes after what it opens; the goal's; whether that is all.

    From where the run stands the circle is often broken: a key at hand opens nothing. Where it is not, the order is
    that of the values under sums (Knuth, Information Processing Letters 6, 1977), and options against it are left out.
    The goal is `None` when it cannot be obtained.
    """
    free = {skeleton.key_node[k] for k in situation.free if k in skeleton.key_node}
    now = [_open_now(skeleton, situation, node, free, over) for node in range(len(skeleton.options))]
    roots = [node for node in goal if node not in free]
    order = ordered(roots, lambda node: sorted({q for _, _, opens, _ in now[node] for q in opens}))
    whole = order is not None
    if order is None:
        order = _by_value(now, situation, over)
    place = {node: i for i, node in enumerate(order)}
    options: list[list[ProducerOption]] = [
        [
            (start, tool, tuple([place[q] for q in opens]), -1)
            for start, tool, opens, _ in now[node]
            if all(q in place and place[q] < i for q in opens)
        ]
        for i, node in enumerate(order)
    ]
    if any(node not in place for node in roots):
        return options, None, whole
    return options, [place[node] for node in roots], whole


def _open_now(
    skeleton: Skeleton, situation: Situation, node: int, free: set[int], over: Mapping[int, int]
) -> list[ProducerOption]:
    """The options of a node that are open to this run, with what they open now."""
    if node in free:
        return []
    c, values = situation.compiled, situation.weights.values
    found: list[ProducerOption] = []
    for start, tool, opens, source in skeleton.options[node]:
        if tool in situation.shut or (start >= 0 and over.get(start, values[start]) >= NEVER):
            continue
        if source >= 0 and c.before(start) not in situation.passed:
            opens = (*opens, source)
        found.append((start, tool, tuple([q for q in opens if q not in free]), -1))
    return found


def _by_value(options: list[list[ProducerOption]], situation: Situation, over: Mapping[int, int]) -> list[int]:
    values = situation.weights.values
    takers: dict[int, list[tuple[int, int]]] = {}
    missing: dict[tuple[int, int], int] = {}
    total: dict[tuple[int, int], int] = {}
    heap: list[tuple[int, int]] = []
    for node, found in enumerate(options):
        for i, (start, _, opens, _) in enumerate(found):
            cost = 0 if start < 0 else over.get(start, values[start])
            wanted = set(opens)
            missing[node, i], total[node, i] = len(wanted), cost
            for q in sorted(wanted):
                takers.setdefault(q, []).append((node, i))
            if not wanted:
                heappush(heap, (cost, node))
    order: list[int] = []
    settled: set[int] = set()
    while heap:
        value, node = heappop(heap)
        if node in settled:
            continue
        settled.add(node)
        order.append(node)
        for option in takers.get(node, ()):
            missing[option] -= 1
            total[option] += value
            if not missing[option]:
                heappush(heap, (total[option], option[0]))
    return order
