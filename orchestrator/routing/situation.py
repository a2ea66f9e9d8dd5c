"""`Situation`: where a run stands, on a compiled graph: what is free, what is out, what it costs here."""

from dataclasses import replace
from functools import cached_property

from ..pricing import PriceFacts
from ..route import Problem
from ..types import START
from .compiled import BEGIN
from .stakes import Stakes
from .weights import NEVER, Weights


class Situation:
    """A problem on a compiled graph.

    `free` keys (at hand, or coming from a call in flight) cost nothing; `passed` tools count as done for the
    transitions that leave them; `shut` tools do not start (again); `over` holds the costs that differ from the shared.
    """

    def __init__(self, weights: Weights, problem: Problem) -> None:
        self.weights = weights
        self.compiled = c = weights.compiled
        self.problem = problem
        tool, key = c.tool, c.key
        self.origin: dict[int, str | None] = {key[k]: origin for k, origin in problem.at_hand.items() if k in key}
        started = [t for t in (*problem.done, *problem.running) if t in tool]
        self.started = {tool[t] for t in started}
        for name in sorted(problem.running):
            for k in c.gives[tool[name]] if name in tool else ():
                self.origin.setdefault(k, name)
        self.free = set(self.origin)
        self.passed = set(self.started)
        if c.transition_cost:
            for k, origin in self.origin.items():
                if origin is None:
                    self.passed.update(c.producers[k])
        self.shut = self.started.union(tool[t] for t in problem.unusable if t in tool)
        self.over: dict[int, int] = {}
        if problem.facts or problem.unusable_transitions:
            self._differ()

    def _differ(self) -> None:
        c, problem = self.compiled, self.problem
        for name in problem.facts:
            if name in c.tool:
                for start in self.starts(c.tool[name]):
                    self.over[start] = self.weights.cost(start, problem.facts)
        for a, b in problem.unusable_transitions:
            source = BEGIN if a == START else c.tool.get(a)
            for s, start in c.into[c.tool[b]] if b in c.tool else ():
                if s == source:
                    self.over[start] = NEVER

    def starts(self, tool: int) -> list[int]:
        """The ways in which a tool can be started."""
        return [start for _, start in self.compiled.into[tool]] or [tool]

    def cost(self, start: int) -> int:
        """What a start costs in this run, `NEVER` when it cannot be; whether the tool is shut is another matter."""
        if start in self.over:
            return self.over[start]
        cost = self.weights.values[start]
        return cost if cost >= 0 else self.weights.learn(start)

    def facts(self, tool: int) -> PriceFacts:
        """What the price of `tool` is made of in this run."""
        node = self.compiled.nodes[tool]
        return self.problem.facts.get(node.name) or self.weights.prices.node_facts(node)

    def restored(self) -> "Situation":
        """The situation as it would be if this run could use everything again (prices apart)."""
        return Situation(self.weights, replace(self.problem, unusable={}, unusable_transitions={}))

    @cached_property
    def stakes(self) -> Stakes:
        """The completed effects that a route may leave behind, and what that costs."""
        return Stakes(self.compiled.view, self.problem)
