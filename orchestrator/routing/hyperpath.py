"""Cheap good plans for joins: Knuth's generalisation of Dijkstra, then ban and reuse.

Knuth, "A generalization of Dijkstra's algorithm", Information Processing Letters 6 (1977). With sums, a proposition
that two branches share is counted twice while searching; with maxima, not even once in full. A plan is priced by its
set of actions, so that what is shared is paid once.
"""

from collections.abc import Collection
from heapq import heappop, heappush

from .instance import Instance

Plan = tuple[int, ...]
"""Actions, in an order in which they can be started."""
Scored = tuple[int, Plan]
"""A true cost with the plan that has it."""


def derive(
    instance: Instance,
    *,
    longest: bool = False,
    free: Collection[int] = (),
    banned: Collection[int] = (),
) -> tuple[dict[int, int], dict[int, int]] | None:
    """For each proposition reached its value and the action that adds it first; `None` when the goal is not reached.

    `longest` takes the maximum over an action's needs in place of the sum. Tools in `free` cost nothing, tools in
    `banned` do not start.
    """
    cost, tool, pre, adds, needers = instance.cost, instance.tool, instance.pre, instance.adds, instance.needers
    missing = [len(p) for p in pre]
    total = [0] * len(pre)
    heap: list[tuple[int, int]] = []
    for a, count in enumerate(missing):
        if not count and tool[a] not in banned:
            heap.append((0 if tool[a] in free else cost[a], a))
    heap.sort()
    value: dict[int, int] = {}
    best: dict[int, int] = {}
    left = set(instance.goal)
    while heap and left:
        v, a = heappop(heap)
        for p in adds[a]:
            if p in value:
                continue
            value[p] = v
            best[p] = a
            left.discard(p)
            for b in needers.get(p, ()):
                missing[b] -= 1
                total[b] = max(total[b], v) if longest else total[b] + v
                if not missing[b] and tool[b] not in banned:
                    heappush(heap, (total[b] + (0 if tool[b] in free else cost[b]), b))
    return None if left else (value, best)


def extract(instance: Instance, best: dict[int, int]) -> Plan:
    """The actions that the goal rests on, each after those that it rests on."""
    plan: list[int] = []
    seen: set[int] = set()
    stack = [(p, False) for p in reversed(instance.goal)]
    while stack:
        p, expanded = stack.pop()
        a = best[p]
        if expanded:
            if a not in seen:
                seen.add(a)
                plan.append(a)
        elif a not in seen:
            stack.append((p, True))
            stack.extend((q, False) for q in reversed(instance.pre[a]))
    return tuple(plan)


def settle(instance: Instance, actions: Collection[int]) -> Plan | None:
    """A plan that uses nothing but these actions, each tool by the cheapest transition that the others leave open.

    `None` when they do not derive the goal.
    """
    tools = {instance.tool[a] for a in actions}
    allowed = (
        [a for a, tool in enumerate(instance.tool) if tool in tools] if len(tools) < len(instance.tool) else actions
    )
    missing = {a: len(instance.pre[a]) for a in allowed}
    heap = [(instance.cost[a], a) for a in sorted(missing) if not missing[a]]
    best: dict[int, int] = {}
    while heap:
        _, a = heappop(heap)
        for p in instance.adds[a]:
            if p not in best:
                best[p] = a
                for b in instance.needers.get(p, ()):
                    if b in missing:
                        missing[b] -= 1
                        if not missing[b]:
                            heappush(heap, (instance.cost[b], b))
    return extract(instance, best) if all(p in best for p in instance.goal) else None


def score(instance: Instance, plan: Plan) -> int | None:
    """The true cost of a plan: each action once, and the undoing of what it leaves behind; `None` where it cannot."""
    mask = instance.goal_mask
    total = 0
    for a in plan:
        total += instance.cost[a]
        mask |= instance.mask[a]
    return instance.with_penalty(total, mask)


def better(instance: Instance, one: Scored, other: Scored | None) -> bool:
    """Whether `one` is the better plan: by price, then by number of steps, then by names."""
    if other is None or one[0] != other[0]:
        return other is None or one[0] < other[0]
    return instance.names(one[1]) < instance.names(other[1])


def good_plan(instance: Instance) -> Scored | None:
    """The best of Knuth's two plans, improved by banning each of its tools in turn while the others cost nothing.

    `None` when no plan was found that leaves behind only what may be left.
    """
    best: Scored | None = None
    for longest in (False, True):
        derived = derive(instance, longest=longest)
        if derived is not None:
            best = _keep(instance, best, extract(instance, derived[1]))
    if best is None:
        return None
    improved = True
    while improved:
        improved = False
        plan = best[1]
        tools = [instance.tool[a] for a in plan]
        for tool in tools:
            derived = derive(instance, free=set(tools) - {tool}, banned={tool})
            if derived is None:
                continue
            candidate = _keep(instance, best, extract(instance, derived[1]))
            if candidate is not None and candidate is not best:
                best, improved = candidate, True
                break
    return best


def _keep(instance: Instance, best: Scored | None, plan: Plan) -> Scored | None:
    for candidate in (plan, settle(instance, plan)):
        cost = None if candidate is None else score(instance, candidate)
        if candidate is not None and cost is not None and better(instance, (cost, candidate), best):
            best = (cost, candidate)
    return best
