"""An oracle that shares nothing with the planner: every plan of a small graph, written out and priced."""

from collections.abc import Iterator, Mapping
from itertools import combinations, product
from typing import NamedTuple

from orchestrator.core.enums import START
from orchestrator.core.route import Problem
from orchestrator.graph.price_table import PriceTable
from orchestrator.graph.revision import GraphRevision


class Found(NamedTuple):
    """A plan: its price, how many tools start, and their names."""

    pico: int
    steps: int
    names: tuple[str, ...]


def brute_force(view: GraphRevision, prices: PriceTable, problem: Problem) -> Found | None:
    """The best of all plans by price, steps, names; `None` when there is none."""
    best: Found | None = None
    startable = [
        t for t in view.nodes if t not in problem.done and t not in problem.running and t not in problem.unusable
    ]
    for size in range(len(startable) + 1):
        for tools in combinations(startable, size):
            for pico in _prices_of(view, prices, problem, tools):
                found = Found(pico, size, tools)
                if best is None or found < best:
                    best = found
    return best


def _prices_of(view: GraphRevision, prices: PriceTable, problem: Problem, tools: tuple[str, ...]) -> Iterator[int]:
    """The price of every way in which exactly these tools derive the goal, each of them used."""
    at_hand = set(problem.at_hand)
    wanted = sorted(
        {k for t in tools for k in view.nodes[t].needs if k not in at_hand}.union(set(problem.goal) - at_hand)
    )
    givers = [
        [t for t in (*tools, *sorted(problem.running)) if t in view.nodes and k in view.nodes[t].gives] for k in wanted
    ]
    vias = [_vias(view, problem, t, tools) for t in tools]
    if not all(givers) or not all(vias):
        return
    for chosen in product(*givers):
        source: dict[str, str | None] = {**problem.at_hand, **dict(zip(wanted, chosen, strict=True))}
        for by in product(*vias):
            via = dict(zip(tools, by, strict=True))
            pico = _price_one(view, prices, problem, tools, source, via)
            if pico is not None:
                yield pico


def _vias(view: GraphRevision, problem: Problem, tool: str, tools: tuple[str, ...]) -> list[str | None]:
    """The sources whose transition into `tool` may be taken, `[None]` for a tool that needs none."""
    incoming = view.incoming(tool)
    if not incoming:
        return [None]
    provided = {t for k, origin in problem.at_hand.items() if origin is None for t in view.producers(k)}
    passed = {START, *tools, *problem.done, *problem.running, *provided}
    return [t.source for t in incoming if t.source in passed and (t.source, tool) not in problem.unusable_transitions]


def _price_one(
    view: GraphRevision,
    prices: PriceTable,
    problem: Problem,
    tools: tuple[str, ...],
    source: Mapping[str, str | None],
    via: Mapping[str, str | None],
) -> int | None:
    """The price of one derivation; `None` when it goes round in a circle, leaves a tool unused or is infeasible."""
    provided = {t for k, origin in problem.at_hand.items() if origin is None for t in view.producers(k)}
    rests: dict[str, set[str]] = {}
    for t in tools:
        node = view.nodes[t]
        taken = [k for k in node.optional if k in problem.at_hand]
        led = None if via[t] in provided - problem.done.keys() - problem.running.keys() else via[t]
        rests[t] = {s for s in (*(source[k] for k in (*node.needs, *taken)), led) if s is not None and s != START}
    for t, record in (*problem.done.items(), *problem.running.items()):
        origins = (problem.at_hand.get(k) for k in record.keys)
        rests[t] = {s for s in (*origins, record.via) if s is not None and s != START}
    used: set[str] = set()
    stack = [s for k in problem.goal for s in (source[k],) if s is not None]
    while stack:
        t = stack.pop()
        if t not in used:
            used.add(t)
            stack.extend(rests.get(t, ()))
    if not set(tools) <= used or _circular(rests, tools):
        return None
    total = 0
    for t in tools:
        cost = next((x.cost for x in view.incoming(t) if x.source == via[t]), 0.0)
        pico = prices.price(t, cost, problem.facts.get(t), via[t])
        if pico is None:
            return None
        total += pico
    return _with_undo(view, problem, used, total)


def _circular(rests: Mapping[str, set[str]], tools: tuple[str, ...]) -> bool:
    left = set(tools)
    while left:
        ready = {t for t in left if not rests[t] & left}
        if not ready:
            return True
        left -= ready
    return False


def _with_undo(view: GraphRevision, problem: Problem, used: set[str], total: int) -> int | None:
    for t in (*problem.done, *problem.running):
        node = view.nodes.get(t)
        if node is None or node.effect == "read" or t in used:
            continue
        if node.final:
            if t not in problem.may_abandon:
                return None
        else:
            total += node.undo_cost or 0
    return total
