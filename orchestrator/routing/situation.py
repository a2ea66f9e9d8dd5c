"""`Situation`: the state of a run on a compiled graph: free keys, unusable tools, costs in this run."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace

from orchestrator.core.enums import START, Effect
from orchestrator.core.route import Problem
from orchestrator.graph.revision import GraphRevision

from .weights import NEVER, SHIFT, RoutingWeights


class Stakes:
    """Completed effects as bits: those on which a free key or a passed tool depends, and the price of abandoning them.

    A call in flight counts as done, because its effect would have to be undone as well.
    """

    def __init__(self, view: GraphRevision, problem: Problem) -> None:
        nodes = view.nodes
        taken = {**problem.done, **problem.running}
        self.names = tuple(name for name in sorted(taken) if name in nodes and nodes[name].effect != Effect.READ)
        self._bit = {name: 1 << i for i, name in enumerate(self.names)}
        self.undo: tuple[int | None, ...] = tuple(
            0 if nodes[name].final and name in problem.may_abandon else (None if nodes[name].final else undo_cost)
            for name in self.names
            for undo_cost in (nodes[name].undo_cost or 0,)
        )
        self._origin: Mapping[str, str | None] = problem.at_hand
        self._taken = taken
        self._masks: dict[str, int] = {}

    def of_tool(self, name: str | None) -> int:
        """The effects that what a started tool gave rests on, its own included."""
        if not self.names or name is None or name not in self._taken:
            return 0
        if name not in self._masks:
            mask = 0
            seen = {name}
            stack = [name]
            while stack:
                tool = stack.pop()
                mask |= self._bit.get(tool, 0)
                taken = self._taken[tool]
                for before in (taken.via, *(self._origin.get(key) for key in taken.keys)):
                    if before is not None and before in self._taken and before not in seen:
                        seen.add(before)
                        stack.append(before)
            self._masks[name] = mask
        return self._masks[name]

    def of_tools(self, names: Iterable[str | None]) -> int:
        """The effects that what these tools gave rests on."""
        mask = 0
        for name in names:
            mask |= self.of_tool(name)
        return mask

    def penalty(self, used: int) -> int | None:
        """Picodollars for abandoning what is not in `used`; `None` if something of it must not be abandoned."""
        total = 0
        for i, undo in enumerate(self.undo):
            if not used >> i & 1:
                if undo is None:
                    return None
                total += undo
        return total

    def abandoned(self, used: int) -> tuple[str, ...]:
        """The effects that are not in `used`."""
        return tuple(name for i, name in enumerate(self.names) if not used >> i & 1)


_NONE: frozenset[int] = frozenset()
_NO_COSTS: dict[int, int] = {}
NO_STAKES = Stakes(GraphRevision(()), Problem((), {}))


class Situation:
    """A problem on a compiled graph.

    `free` keys (at hand, or coming from a call in flight) cost nothing; `passed` places count as done for the
    transitions that leave them; `shut` tools do not start (again); `over` holds the costs that differ from the shared.
    """

    passed: Set[int] = _NONE
    rerun: Set[int] = _NONE
    """Tools that count as done because their value was provided, and may run all the same for another key."""
    over: Mapping[int, int] = _NO_COSTS

    def __init__(self, weights: RoutingWeights, problem: Problem) -> None:
        self.weights = weights
        self.compiled = c = weights.compiled
        self.problem = problem
        tool, key = c.tool, c.key
        self.free: dict[int, str | None] = {key[k]: origin for k, origin in problem.at_hand.items() if k in key}
        """Free key -> the tool that gave it or is about to; `None` when it was provided."""
        self.started = {tool[t] for t in problem.done if t in tool}
        if problem.running:
            self._join_running()
        self.stakes = NO_STAKES if self.started.isdisjoint(c.effects) else Stakes(c.view, problem)
        """The completed effects that a route may abandon, and the price of that."""
        self.shut = self.started
        if problem.unusable:
            self.shut = self.started.union([tool[t] for t in problem.unusable if t in tool])
        if c.transition_source:
            self._pass()
        if problem.facts or problem.unusable_transitions:
            self._differ()

    def _join_running(self) -> None:
        c = self.compiled
        for name in sorted(self.problem.running):
            if name in c.tool:
                self.started.add(c.tool[name])
                for k in c.gives[c.tool[name]]:
                    self.free.setdefault(k, name)

    def _pass(self) -> None:
        c = self.compiled
        producers = c.producers
        given = {t for k, origin in self.free.items() if origin is None for t in producers[k]}
        self.rerun = given - self.started
        tools = c.tools
        passed = {tools + t for t in self.started}
        passed.add(c.begin)
        if self.rerun:
            passed.update([tools + t for t in self.rerun])
        self.passed = passed

    def _differ(self) -> None:
        c, problem = self.compiled, self.problem
        self.over = over = dict[int, int]()
        for name in problem.facts:
            if name in c.tool:
                for start in c.starts(c.tool[name]):
                    over[start] = self.weights.cost(start, problem.facts)
        for a, b in problem.unusable_transitions:
            source = c.begin if a == START else c.tools + c.tool.get(a, -1)
            tool = c.tool.get(b, -1)
            if tool >= 0 and source >= c.tools and source in c.into[tool]:
                over[c.first[tool] + c.into[tool].index(source)] = NEVER

    def cost(self, start: int) -> int:
        """What a start costs in this run, `NEVER` when it cannot be; whether the tool is shut is another matter."""
        if self.over and start in self.over:
            return self.over[start]
        return self.weights.values[start]

    def success(self, tool: int) -> float:
        """The probability that `tool` succeeds in this run."""
        node = self.compiled.nodes[tool]
        if node.name in self.problem.facts:
            return self.problem.facts[node.name].success
        return self.weights.prices.success(node)

    def restored(self) -> "Situation":
        """The situation if this run could use every tool again (apart from prices)."""
        return Situation(self.weights, replace(self.problem, unusable={}, unusable_transitions={}))

    def effects_of(self, start: int) -> int:
        """The completed effects that starting a tool in this way rests on."""
        stakes, free, c = self.stakes, self.free, self.compiled
        if not stakes.names:
            return 0
        node, before = c.nodes[c.tool_of(start)], c.before(start)
        mask = stakes.of_tools(free.get(c.key[k]) for k in (*node.needs, *node.optional))
        if before is not None and before in self.passed:
            mask |= stakes.of_tool(c.place_name(before))
        return mask

    def with_penalty(self, cost: int, used: int) -> int:
        """A cost with what leaving the effects outside `used` adds; `NEVER` when they cannot be left."""
        if not self.stakes.names:
            return cost
        penalty = self.stakes.penalty(used)
        return NEVER if penalty is None else cost + (penalty << SHIFT)

    def open_goal(self) -> tuple[tuple[int, ...], int]:
        """The goal's keys that are not free, and the completed effects that the free ones rest on.

        A key that no tool knows is -1.
        """
        c, stakes, at_hand = self.compiled, self.stakes, self.problem.at_hand
        if len(self.problem.goal) == 1:
            k = c.key.get(self.problem.goal[0], -1)
            if k not in self.free and self.problem.goal[0] not in at_hand:
                return (k,), 0
        wanted: list[int] = []
        mask = 0
        for name in self.problem.goal:
            k = c.key.get(name, -1)
            if name in at_hand:
                mask |= stakes.of_tool(at_hand[name])
            elif k in self.free:
                mask |= stakes.of_tool(self.free[k])
            else:
                wanted.append(k)
        return tuple(dict.fromkeys(wanted)), mask
