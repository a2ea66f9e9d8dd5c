"""Optimal plans for small instances in which tools can produce each other's inputs, by branch and bound.

A landmark of a partial plan is a set of actions of which every completion must hold at least one: the actions that add
a proposition which is still open. Branching takes them one after another, each without those before it, so that no set
of actions is looked at twice. The lower bound is the value of the goal under maxima with the chosen actions free.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER, SHIFT

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

    def in_order(self, propositions: set[int]) -> list[int]:
        """Propositions by their names, keys first."""
        c = self.situation.compiled
        return sorted(propositions, key=lambda p: (p >= c.tools, c.place_name(p)))

    def with_penalty(self, cost: int, mask: int) -> int | None:
        """A cost with the undoing of what is not in `mask`; `None` when that cannot be left behind."""
        penalty = self.situation.stakes.penalty(mask)
        return None if penalty is None else cost + (penalty << SHIFT)


def build_instance(situation: Situation, cost_of: CostOf | None = None) -> Instance:
    """The actions that the goal may rest on and that can be reached from the current state of the run."""
    c, keys = situation.compiled, situation.compiled.tools
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
    names = raw.situation.compiled.names
    startable.sort(key=lambda a: (names[raw.tool[a]], raw.start[a]))
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


Plan = tuple[int, ...]
"""Actions."""
ScoredPlan = tuple[int, Plan]
"""A true cost with the plan that has it."""


@dataclass
class BranchAndBound:
    """The state of one search: the best plan so far, and how many states are left to look at."""

    instance: Instance
    best: ScoredPlan | None
    states: int
    exhausted: bool = False


def cheapest(instance: Instance, states: int, best: ScoredPlan | None = None) -> tuple[ScoredPlan | None, bool]:
    """The best plan, and whether that is proven; `states` is how many partial plans may be looked at."""
    search = BranchAndBound(instance, best, states)
    _branch(search, frozenset(), frozenset())
    return search.best, not search.exhausted


def lower_bound(instance: Instance) -> int:
    """No plan costs less."""
    reached = _reach(instance, frozenset(), set())
    return max((reached[0][p] for p in instance.goal), default=0) if reached else 0


def _branch(search: BranchAndBound, chosen: frozenset[int], excluded: frozenset[int]) -> None:
    if search.states <= 0:
        search.exhausted = True
        return
    search.states -= 1
    instance = search.instance
    bound, best = _bound(instance, chosen, excluded)
    if bound is None or (search.best is not None and bound > search.best[0]):
        return
    if all(best.get(p) in chosen for p in instance.goal):
        plan = _extract(instance, best)
        if all(a in chosen for a in plan):
            _offer(search, plan)
            return
    landmark = _landmark(instance, chosen, excluded)
    out = set(excluded)
    for a in sorted(landmark, key=lambda a: (a != best.get(instance.adds[a][0] if instance.adds[a] else -1), a)):
        _branch(search, chosen | {a}, frozenset(out))
        out.add(a)


def _offer(search: BranchAndBound, plan: Plan) -> None:
    instance = search.instance
    mask = instance.goal_mask
    for a in plan:
        mask |= instance.mask[a]
    cost = instance.with_penalty(sum(instance.cost[a] for a in plan), mask)
    if cost is None or (search.best is not None and cost > search.best[0]):
        return
    if search.best is None or cost < search.best[0] or instance.names(plan) < instance.names(search.best[1]):
        search.best = (cost, plan)


def _extract(instance: Instance, best: dict[int, int]) -> Plan:
    """The actions that the goal rests on."""
    plan: set[int] = set()
    stack = list(instance.goal)
    while stack:
        a = best[stack.pop()]
        if a not in plan:
            plan.add(a)
            stack += instance.pre[a]
    return tuple(sorted(plan))


def _bound(instance: Instance, chosen: frozenset[int], excluded: frozenset[int]) -> tuple[int | None, dict[int, int]]:
    """A lower bound on every completion (`None`: there is none), and what first adds each proposition."""
    tools = {instance.tool[a] for a in chosen}
    banned = {a for a, tool in enumerate(instance.tool) if a in excluded or (tool in tools and a not in chosen)}
    reached = _reach(instance, chosen, banned)
    if reached is None:
        return None, {}
    value, best = reached
    mask = instance.goal_mask
    for a, m in enumerate(instance.mask):
        if a not in banned:
            mask |= m
    spent = sum(instance.cost[a] for a in chosen)
    return instance.with_penalty(spent + max((value[p] for p in instance.goal), default=0), mask), best


def _reach(
    instance: Instance, chosen: frozenset[int], banned: set[int]
) -> tuple[dict[int, int], dict[int, int]] | None:
    """For each proposition its value under maxima and the action that adds it first; `None` without the goal."""
    cost, pre, adds, needers = instance.cost, instance.pre, instance.adds, instance.needers
    missing = [len(p) for p in pre]
    startable = [a for a, count in enumerate(missing) if not count and a not in banned]
    heap = sorted((0 if a in chosen else cost[a], a not in chosen, a) for a in startable)
    value: dict[int, int] = {}
    best: dict[int, int] = {}
    left = set(instance.goal)
    while heap and left:
        v, _, a = heappop(heap)
        for p in adds[a]:
            if p in value:
                continue
            value[p] = v
            best[p] = a
            left.discard(p)
            for b in needers.get(p, ()):
                missing[b] -= 1
                if not missing[b] and b not in banned:
                    heappush(heap, (v + (0 if b in chosen else cost[b]), b not in chosen, b))
    return None if left else (value, best)


def _landmark(instance: Instance, chosen: frozenset[int], excluded: frozenset[int]) -> list[int]:
    """Actions of which every completion holds one. The open proposition with the fewest of them is taken."""
    tools = {instance.tool[a] for a in chosen}
    available = {p for a in chosen for p in instance.adds[a]}
    wanted = instance.in_order({p for a in chosen for p in instance.pre[a]}.union(instance.goal))
    choices = [
        [a for a in instance.adders.get(p, ()) if a not in excluded and instance.tool[a] not in tools]
        for p in wanted
        if p not in available
    ]
    if choices:
        return min(choices, key=len)
    grounded = _grounded(instance, chosen)  # the chosen actions wait for each other: something outside must help
    missing = [p for p in wanted if p not in grounded]
    adders = {a for p in missing for a in instance.adders.get(p, ())}
    return sorted(a for a in adders if a not in excluded and instance.tool[a] not in tools)


def _grounded(instance: Instance, chosen: frozenset[int]) -> set[int]:
    available: set[int] = set()
    waiting = sorted(chosen)
    while True:
        ready = [a for a in waiting if all(p in available for p in instance.pre[a])]
        if not ready:
            return available
        available.update(p for a in ready for p in instance.adds[a])
        waiting = [a for a in waiting if a not in ready]
