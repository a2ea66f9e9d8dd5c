"""Makes a `Route` (steps with names, sources and order) of a plan (starts of tools)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from heapq import heapify, heappop, heappush

from orchestrator.core.route import Alternative, Route, Step
from orchestrator.routing.paths.astar import Path

from .commit import Task, order, waits
from .compiled import Compiled
from .situation import Situation
from .weights import NEVER, SHIFT, pico_of

KEEP_STEPS = 50_000
"""Maximum number of cached steps of paths, which later routes reuse."""
Explain = Callable[[], Sequence[Alternative]]
"""Computes the alternatives of a route."""


def chain(situation: Situation, path: Path, explain: Explain | None) -> Route | None:
    """The route of a path that abandons no effect and takes nothing from calls in flight; `None` for any other.

    In such a path each step waits for the one before, so there is nothing to put in order; the steps are made when they
    are first asked for.
    """
    problem = situation.problem
    if problem.running or situation.stakes.names:
        return None
    c, values, names = situation.compiled, situation.weights.values, situation.compiled.names
    if situation.over:
        costs = [situation.cost(start) for _, start in path.starts]
    else:
        costs = [values[start] for _, start in path.starts]
    tools = tuple([names[tool] for tool, _ in path.starts])
    steps = partial(_linked, c, problem.at_hand, path.starts, costs, len(c.growths), not c.double)
    return Route.lazy(problem.goal, tools, steps, path.cost >> SHIFT, c.view.revision, explain)


def _linked(
    c: Compiled,
    at_hand: Mapping[str, str | None],
    starts: Sequence[tuple[int, int]],
    costs: Sequence[int],
    growths: int,
    plain: bool,
) -> tuple[Step, ...]:
    """The steps of a path that was found when the graph had grown so often; those of earlier paths are used again."""
    nodes, bare, made, same_graph = c.nodes, c.bare, c.steps, len(c.growths) == growths
    if len(made) > KEEP_STEPS:
        made.clear()
    given: dict[str, str] = {}
    steps: list[Step] = []
    before = -1
    for (tool, start), cost in zip(starts, costs, strict=True):
        keeps = same_graph and before >= 0 and bare[tool]
        step = made.get((start, before, cost)) if keeps else None
        if step is None:
            if plain and before >= 0:
                given = dict.fromkeys(nodes[before].gives, nodes[before].name)
            step = _link(c, at_hand, given, tool, start, before, cost)
            if keeps:
                made[start, before, cost] = step
        steps.append(step)
        before = tool
        if not plain:
            for key in nodes[tool].gives:
                given.setdefault(key, step.tool)
    return tuple(steps)


def _link(
    c: Compiled,
    at_hand: Mapping[str, str | None],
    given: Mapping[str, str],
    tool: int,
    start: int,
    before: int,
    cost: int,
) -> Step:
    """One step of a path: it waits for the one before."""
    node = c.nodes[tool]
    sources: dict[str, str | None] = {}
    for key in (*node.needs, *node.optional):
        if key in at_hand:
            sources[key] = at_hand[key]
        elif key in given:
            sources[key] = given[key]
    after = (c.names[before],) if before >= 0 else ()
    return Step(node.name, sources, None if start < c.room else c.via(start), after, cost >> SHIFT, node.effect)


def to_route(situation: Situation, starts: Sequence[int], bound: int, explain: Explain | None) -> Route:
    """The route that takes these starts. `bound` is a lower bound on the cost of any plan."""
    wiring = _Wiring(situation, starts)
    assert wiring.cost < NEVER, "a plan that was found can be paid for"
    fewer = wiring.used()
    if len(fewer) < len(wiring.start):
        without = _Wiring(situation, [start for tool, start in wiring.start.items() if tool in fewer])
        if without.cost <= wiring.cost:
            wiring = without
    pico = pico_of(wiring.cost)
    return Route(
        goal=situation.problem.goal,
        steps=_steps(situation, wiring),
        pico=pico,
        bound_pico=min(pico_of(bound), pico),
        abandons=situation.stakes.abandoned(wiring.effects),
        revision=situation.compiled.view.revision,
        explain=explain,
    )


class _Wiring:
    """The giver of every key in a plan: of several, the one that can run first."""

    def __init__(self, situation: Situation, starts: Sequence[int]) -> None:
        self.situation = situation
        c = situation.compiled
        self.start = {c.tool_of(start): start for start in starts}
        self.giver: dict[int, int] = {}
        """Key -> the tool of the plan that gives it."""
        self.ordered: list[int] = []
        self._put_in_order()
        _, self.effects = situation.open_goal()
        """The completed effects that the plan uses."""
        total = sum([situation.cost(start) for start in starts])
        if situation.stakes.names:
            for start in starts:
                self.effects |= situation.effects_of(start)
        self.cost = situation.with_penalty(total, self.effects)
        """`NEVER` if the plan abandons an effect that must not be abandoned."""

    def led_by(self, tool: int) -> int | None:
        """The tool of this plan whose transition starts `tool`."""
        c = self.situation.compiled
        place = c.before(self.start[tool])
        return None if place is None or place == c.begin or place in self.situation.passed else place - c.tools

    def _put_in_order(self) -> None:
        c, free = self.situation.compiled, self.situation.free
        missing: dict[int, int] = {}
        takers: dict[int, list[int]] = {}
        names = c.names
        for tool in self.start:
            wanted = [k for k in c.needs[tool] if k not in free]
            leader = self.led_by(tool)
            if leader is not None:
                wanted.append(c.tools + leader)
            missing[tool] = len(wanted)
            for place in wanted:
                takers.setdefault(place, []).append(tool)
        ready = [(names[tool], tool) for tool, count in missing.items() if not count]
        heapify(ready)
        reached: set[int] = set()
        while ready:
            _, tool = heappop(ready)
            self.ordered.append(tool)
            for place in (*c.gives[tool], c.tools + tool):
                if place in reached or place in free:
                    continue
                reached.add(place)
                if place < c.tools:
                    self.giver[place] = tool
                for taker in takers.get(place, ()):
                    missing[taker] -= 1
                    if not missing[taker]:
                        heappush(ready, (names[taker], taker))

    def used(self) -> set[int]:
        """The tools that the goal depends on."""
        c = self.situation.compiled
        used: set[int] = set()
        stack = [self.giver[c.key[k]] for k in self.situation.problem.goal if c.key.get(k) in self.giver]
        while stack:
            tool = stack.pop()
            if tool not in used:
                used.add(tool)
                stack += [self.giver[k] for k in c.needs[tool] if k in self.giver]
                leader = self.led_by(tool)
                if leader is not None:
                    stack.append(leader)
        return used


def _steps(situation: Situation, wiring: _Wiring) -> tuple[Step, ...]:
    c, free, problem = situation.compiled, situation.free, situation.problem
    names = c.names
    sources: dict[str, dict[str, str | None]] = {}
    vias: dict[str, str | None] = {}
    needs: dict[str, set[str]] = {}
    earlier: set[int] = set()
    for tool in wiring.ordered:
        node, name = c.nodes[tool], names[tool]
        taken: dict[str, str | None] = {}
        for key in (*node.needs, *node.optional) if node.optional else node.needs:
            k = c.key[key]
            if k in free:
                taken[key] = free[k]
            elif wiring.giver.get(k) in earlier:
                taken[key] = names[wiring.giver[k]]
        leader = wiring.led_by(tool)
        sources[name], vias[name] = taken, c.via(wiring.start[tool])
        needs[name] = {s for s in taken.values() if s is not None} | (set() if leader is None else {names[leader]})
        earlier.add(tool)
    _join_running(situation, sources, vias, needs)
    picos = {names[tool]: pico_of(situation.cost(start)) for tool, start in wiring.start.items()}
    tasks = [
        Task(
            name,
            c.view.nodes[name].effect,
            picos.get(name, 0),
            situation.success(c.tool[name]),
            {other for other in needs[name] if other in sources},
            name in problem.running,
        )
        for name in sources
    ]
    in_order = order(tasks)
    after = waits(in_order)
    return tuple(
        Step(task.name, sources[task.name], vias[task.name], after[task.name], task.pico, task.effect)
        for task in in_order
    )


def _join_running(
    situation: Situation,
    sources: dict[str, dict[str, str | None]],
    vias: dict[str, str | None],
    needs: dict[str, set[str]],
) -> None:
    """Add the calls in flight that the plan (or the goal itself) takes something from."""
    problem, c = situation.problem, situation.compiled
    if not problem.running:
        return
    used = {source for taken in sources.values() for source in taken.values()} | set(vias.values())
    used.update(situation.free.get(c.key[key]) for key in problem.goal if key not in problem.at_hand and key in c.key)
    for name in sorted(problem.running):
        if name in used and name in c.tool:
            sources[name] = {key: problem.at_hand.get(key) for key in problem.running[name].keys}
            vias[name] = problem.running[name].via
            needs[name] = set()
    for name, via in vias.items():
        if via in problem.running and name not in problem.running:
            needs[name].add(str(via))
