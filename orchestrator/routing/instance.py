"""`Instance`: the part of the graph that matters for one problem, as actions over propositions.

A proposition is a key, or "this tool is done". An action is a tool started by one of its transitions (or by none). It
needs all of its propositions (AND); a proposition is had by any action that adds it (OR). A plan is a set of actions
that, in some order, derives the goal: a hyperpath.
"""

from collections.abc import Callable, Sequence
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


def open_goal(situation: Situation) -> tuple[tuple[int, ...], int]:
    """The goal's propositions that are not free, and the completed effects that the free ones rest on.

    A key that no tool knows is -1.
    """
    c, stakes = situation.compiled, situation.stakes
    wanted: list[int] = []
    mask = 0
    for name in situation.problem.goal:
        k = c.key.get(name, -1)
        if name in situation.problem.at_hand:
            mask |= stakes.of_tool(situation.problem.at_hand[name])
        elif k in situation.free:
            mask |= stakes.of_tool(situation.free[k])
        else:
            wanted.append(k)
    return tuple(dict.fromkeys(wanted)), mask


def build(situation: Situation, cost_of: CostOf | None = None) -> Instance:
    """The actions that the goal may rest on and that can be reached from where the run stands."""
    c, keys = situation.compiled, len(situation.compiled.keys)
    raw = Instance(situation, *open_goal(situation))
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


def action(situation: Situation, tool: int, start: int, cost: int) -> _Action:
    """(tool, start, cost, needs that are not free, adds, completed effects that the free needs rest on)."""
    c, stakes, free = situation.compiled, situation.stakes, situation.free
    place = c.before(start)
    pre = tuple([k for k in c.needs[tool] if k not in free])
    if place is not None and place not in situation.passed:
        pre += (place,)
    mask = 0
    if stakes.names:
        node = c.nodes[tool]
        mask = stakes.of_tools(free.get(c.key[k]) for k in (*node.needs, *node.optional))
        if place is not None and place in situation.passed:
            mask |= stakes.of_tool(c.place_name(place))
    adds = (*[k for k in c.gives[tool] if k not in free], c.tools + tool)
    return tool, start, cost, pre, adds, mask


def of_path(situation: Situation, starts: Sequence[tuple[int, int]]) -> tuple["Instance", tuple[int, ...]]:
    """An instance that holds nothing but these (tool, start), and the plan that takes them all."""
    instance = Instance(situation, *open_goal(situation))
    for tool, start in starts:
        _append(instance, action(situation, tool, start, situation.cost(start)))
    return instance, tuple(range(len(starts)))


def _actions(situation: Situation, tool: int, cost_of: CostOf) -> list[_Action]:
    if tool in situation.shut:
        return []
    costs = [(start, cost_of(start)) for start in situation.compiled.starts(tool)]
    return [action(situation, tool, start, cost) for start, cost in costs if cost < NEVER]


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
