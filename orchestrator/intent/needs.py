"""The inputs of a goal: the keys that no tool gives, on the route that lacks the fewest."""

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.core.goal import Goal
from orchestrator.graph.revision import GraphRevision

_Weight = tuple[int, float]
"""Inputs that are missing, then US dollars."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a goal takes that no tool gives and that is not at hand."""

    required: tuple[str, ...] = ()
    """In the order of the way there."""
    optional: tuple[str, ...] = ()
    """What tools on the way take when it is there."""


def needs_of(view: GraphRevision, goal: Iterable[str], at_hand: Collection[str] = ()) -> Needs:
    """The keys that must or may be provided to reach `goal`.

    Of several ways the one that lacks the fewest inputs counts, then the cheapest, then the first by name (Knuth's
    generalisation of Dijkstra's algorithm, Information Processing Letters 6, 1977, with shared inputs counted for each
    tool that takes them).
    """
    best = _cheapest(view, at_hand)
    required: dict[str, None] = {}
    optional: dict[str, None] = {}
    seen = set(at_hand)
    ahead = list(reversed(tuple(goal)))
    while ahead:
        key = ahead.pop()
        if key in seen:
            continue
        seen.add(key)
        tool = best[key][1] if key in best else None
        if tool is None:
            required[key] = None
            continue
        ahead.extend(reversed(view.nodes[tool].needs))
        optional |= {free: None for free in view.nodes[tool].optional if not view.producers(free)}
    return Needs(tuple(required), tuple(key for key in optional if key not in seen))


def takes_of(view: GraphRevision, goal: Iterable[str]) -> dict[str, tuple[Any, bool]]:
    """What a caller gives to reach `goal`: key -> its type and whether it is required."""
    needs = needs_of(view, goal)
    return {key: (view.key_type(key), key in needs.required) for key in (*needs.required, *needs.optional)}


def summary_of(view: GraphRevision, goal: Goal[Any]) -> str:
    """A goal in one sentence: the first description of a tool that gives one of its keys."""
    producers = [view.tools[tool] for key in goal.keys for tool in view.producers(key)]
    return next((tool.description for tool in producers if tool.description), f"Get {goal.name}.")


def _cheapest(view: GraphRevision, at_hand: Collection[str]) -> dict[str, tuple[_Weight, str | None]]:
    """Key -> its weight and the tool that gives it; `None` for a key that is at hand or must be provided."""
    start = dict.fromkeys(at_hand, (0, 0.0))
    start |= {key: (1, 0.0) for key in view.keys if key not in start and not view.producers(key)}
    queue: list[tuple[_Weight, str, str]] = [(weight, "", key) for key, weight in sorted(start.items())]
    queue += [((0, node.cost), node.name, key) for node in view.nodes.values() if not node.needs for key in node.gives]
    heapq.heapify(queue)
    waiting = {node.name: len(node.needs) for node in view.nodes.values()}
    best: dict[str, tuple[_Weight, str | None]] = {}
    while queue:
        weight, tool, key = heapq.heappop(queue)
        if key in best:
            continue
        best[key] = (weight, tool or None)
        for name in view.consumers(key):
            node = view.nodes[name]
            if key not in node.needs:
                continue
            waiting[name] -= 1
            if waiting[name] == 0:
                needs = [best[need][0] for need in node.needs]
                total = (sum(n for n, _ in needs), node.cost + sum(usd for _, usd in needs))
                for given in node.gives:
                    heapq.heappush(queue, (total, name, given))
    return best
