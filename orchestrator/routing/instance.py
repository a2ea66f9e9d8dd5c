"""`Instance`: the part of the graph that matters for one problem, as actions over propositions.

A proposition is a key, or "this tool is done". An action is a tool started by one of its transitions (or by none). It
needs all of its propositions (AND); a proposition is had by any action that adds it (OR). A plan is a set of actions
that, in some order, derives the goal: a hyperpath.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from .compiled import BEGIN
from .situation import SHIFT, Situation

CostOf = Callable[[int, int | None, float], int | None]


@dataclass
class Instance:
    """Actions as parallel lists; propositions are numbers: a key is its number, a done tool comes after all keys."""

    situation: Situation
    goal: tuple[int, ...]
    """Propositions wanted that are not free."""
    goal_mask: int
    """Completed effects that the free part of the goal rests on."""
    tool: list[int] = field(default_factory=list[int])
    via: list[int | None] = field(default_factory=list[int | None])
    cost: list[int] = field(default_factory=list[int])
    pre: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    adds: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    mask: list[int] = field(default_factory=list[int])
    """Completed effects that the free part of an action's needs rests on."""
    adders: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    """Proposition -> the actions that add it."""
    needers: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    """Proposition -> the actions that need it."""

    @property
    def solvable(self) -> bool:
        """Whether the goal can be derived at all."""
        return all(p in self.adders for p in self.goal)

    def names(self, actions: "frozenset[int] | tuple[int, ...]") -> tuple[str, ...]:
        """The tools of these actions, sorted."""
        return tuple(sorted(self.situation.compiled.names[self.tool[a]] for a in actions))

    def with_penalty(self, cost: int, mask: int) -> int | None:
        """A cost with the undoing of what is not in `mask`; `None` when that cannot be left behind."""
        penalty = self.situation.stakes.penalty(mask)
        return None if penalty is None else cost + (penalty << SHIFT)


def build(situation: Situation, cost_of: CostOf | None = None) -> Instance:
    """The actions that the goal may rest on and that can be reached from where the run stands."""
    c, stakes = situation.compiled, situation.stakes
    keys = len(c.keys)
    wanted: list[int] = []
    mask = 0
    for name in situation.problem.goal:
        k = c.key.get(name)
        if name in situation.problem.at_hand:
            mask |= stakes.of_tool(situation.problem.at_hand[name])
        elif k is not None and k in situation.free:
            mask |= stakes.of_tool(situation.origin[k])
        else:
            wanted.append(-1 if k is None else k)
    raw = Instance(situation, tuple(dict.fromkeys(wanted)), mask)
    seen = set(raw.goal)
    stack = [p for p in raw.goal if p >= 0]
    done: set[int] = set()
    while stack:
        p = stack.pop()
        for tool in c.producers[p] if p < keys else (p - keys,):
            if tool in done:
                continue
            done.add(tool)
            for action in _actions(situation, tool, cost_of or situation.cost):
                _append(raw, action)
                for need in action[3]:
                    if need not in seen:
                        seen.add(need)
                        stack.append(need)
    return _reachable(raw)


_Action = tuple[int, int | None, int, tuple[int, ...], tuple[int, ...], int]


def _actions(situation: Situation, tool: int, cost_of: CostOf) -> list[_Action]:
    if tool in situation.started:
        return []
    c, stakes, keys = situation.compiled, situation.stakes, len(situation.compiled.keys)
    needs = tuple(k for k in c.needs[tool] if k not in situation.free)
    node = c.nodes[tool]
    mask = stakes.of_tools(
        situation.origin[c.key[k]] for k in (*node.needs, *node.optional) if c.key[k] in situation.free
    )
    adds = (*(k for k in c.gives[tool] if k not in situation.free), keys + tool)
    found: list[_Action] = []
    for source, transition_cost in c.into[tool] or ((None, 0.0),):
        cost = cost_of(tool, source, transition_cost)
        if cost is None:
            continue
        if source is None or source == BEGIN:
            found.append((tool, source, cost, needs, adds, mask))
        elif source in situation.passed:
            found.append((tool, source, cost, needs, adds, mask | stakes.of_tool(c.names[source])))
        else:
            found.append((tool, source, cost, (*needs, keys + source), adds, mask))
    return found


def _append(instance: Instance, action: _Action) -> None:
    tool, via, cost, pre, adds, mask = action
    instance.tool.append(tool)
    instance.via.append(via)
    instance.cost.append(cost)
    instance.pre.append(pre)
    instance.adds.append(adds)
    instance.mask.append(mask)


def _reachable(raw: Instance) -> Instance:
    """The instance without the actions that nothing can make startable, in the order of names."""
    waiting: dict[int, list[int]] = {}
    missing = [len(pre) for pre in raw.pre]
    for a, pre in enumerate(raw.pre):
        for p in pre:
            waiting.setdefault(p, []).append(a)
    ready = [a for a, count in enumerate(missing) if count == 0]
    reached: set[int] = set()
    startable: list[int] = []
    while ready:
        a = ready.pop()
        startable.append(a)
        for p in raw.adds[a]:
            if p not in reached:
                reached.add(p)
                for b in waiting.get(p, ()):
                    missing[b] -= 1
                    if missing[b] == 0:
                        ready.append(b)
    startable.sort(key=lambda a: (raw.tool[a], BEGIN if raw.via[a] is None else raw.via[a]))
    instance = Instance(raw.situation, raw.goal, raw.goal_mask)
    needed = {p for a in startable for p in raw.pre[a]}.union(raw.goal)
    for a in startable:
        adds = tuple(p for p in raw.adds[a] if p in needed)
        _append(instance, (raw.tool[a], raw.via[a], raw.cost[a], raw.pre[a], adds, raw.mask[a]))
        number = len(instance.tool) - 1
        for p in adds:
            instance.adders.setdefault(p, []).append(number)
        for p in raw.pre[a]:
            instance.needers.setdefault(p, []).append(number)
    return instance
