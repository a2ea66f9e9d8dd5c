"""`Instance`: the part of the graph that matters for one problem, as actions over propositions.

A proposition is a key, or "this tool is done". An action is a tool started by one of its transitions (or by none). It
needs all of its propositions (AND); a proposition is had by any action that adds it (OR). A plan is a set of actions
that, in some order, derives the goal: a hyperpath.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from .situation import Situation
from .weights import NEVER, SHIFT

CostOf = Callable[[int], int]
"""Start -> cost, `NEVER` for what cannot be."""


@dataclass
class Instance:
    """Actions as parallel lists; propositions are numbers: a key is its number, a done tool comes after all keys."""

    situation: Situation
    goal: tuple[int, ...]
    """Propositions wanted that are not free."""
    goal_mask: int
    """Completed effects that the free part of the goal rests on."""
    tool: list[int] = field(default_factory=list[int])
    start: list[int] = field(default_factory=list[int])
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
    c, keys = situation.compiled, len(situation.compiled.keys)
    raw = Instance(situation, *situation.open_goal())
    seen = set(raw.goal)
    stack = [p for p in raw.goal if p >= 0]
    done: set[int] = set()
    while stack:
        p = stack.pop()
        for tool in c.producers[p] if p < keys else (p - keys,):
            if tool in done:
                continue
            done.add(tool)
            for made in _actions(situation, tool, cost_of or situation.cost):
                _append(raw, made)
                for need in made[3]:
                    if need not in seen:
                        seen.add(need)
                        stack.append(need)
    return _reachable(raw)


_Action = tuple[int, int, int, tuple[int, ...], tuple[int, ...], int]


def _action(situation: Situation, tool: int, start: int, cost: int) -> _Action:
    """(tool, start, cost, needs that are not free, adds, completed effects that the free needs rest on)."""
    c, free = situation.compiled, situation.free
    place = c.before(start)
    pre = tuple([k for k in c.needs[tool] if k not in free])
    if place is not None and place != c.begin and place not in situation.passed:
        pre += (place,)
    adds = (*[k for k in c.gives[tool] if k not in free], c.tools + tool)
    return tool, start, cost, pre, adds, situation.effects_of(start)


def _actions(situation: Situation, tool: int, cost_of: CostOf) -> list[_Action]:
    if tool in situation.shut:
        return []
    costs = [(start, cost_of(start)) for start in situation.compiled.starts(tool)]
    return [_action(situation, tool, start, cost) for start, cost in costs if cost < NEVER]


def _append(instance: Instance, made: _Action) -> None:
    tool, start, cost, pre, adds, mask = made
    instance.tool.append(tool)
    instance.start.append(start)
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
    startable.sort(key=lambda a: (raw.tool[a], raw.start[a]))
    instance = Instance(raw.situation, raw.goal, raw.goal_mask)
    needed = {p for a in startable for p in raw.pre[a]}.union(raw.goal)
    for a in startable:
        adds = tuple(p for p in raw.adds[a] if p in needed)
        _append(instance, (raw.tool[a], raw.start[a], raw.cost[a], raw.pre[a], adds, raw.mask[a]))
        number = len(instance.tool) - 1
        for p in adds:
            instance.adders.setdefault(p, []).append(number)
        for p in raw.pre[a]:
            instance.needers.setdefault(p, []).append(number)
    return instance
