"""`Situation`: where a run stands, on a compiled graph: what is free, what is out, what is at stake, what it costs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from ..pricing import PriceFacts, PriceTable
from ..route import Problem
from ..types import START, Effect
from .compiled import BEGIN, Compiled

SHIFT = 20
"""A cost is `picodollars << SHIFT | steps` in one integer: comparing costs compares prices first, then steps."""
STEP = 1


def pico_of(cost: int) -> int:
    """The picodollars of a cost."""
    return cost >> SHIFT


class Situation:
    """A problem on a compiled graph.

    `free` keys (at hand, or coming from a call in flight) cost nothing; `passed` tools count as done for the
    transitions that leave them; `started` tools do not start again.
    """

    def __init__(self, compiled: Compiled, prices: PriceTable, problem: Problem) -> None:
        self.compiled = compiled
        self.problem = problem
        self._prices = prices
        c, tool, key = compiled, compiled.tool, compiled.key
        self.started = {tool[t] for t in (*problem.done, *problem.running) if t in tool}
        self.free = {key[k] for k in problem.at_hand if k in key}
        self.origin: dict[int, str | None] = {key[k]: origin for k, origin in problem.at_hand.items() if k in key}
        self.passed = set(self.started)
        for name, origin in problem.at_hand.items():
            if origin is None and name in key:
                self.passed.update(c.producers[key[name]])
        for name in sorted(problem.running):
            for k in c.gives[tool[name]] if name in tool else ():
                if k not in self.free:
                    self.free.add(k)
                    self.origin[k] = name
        self.blocked: set[int] = {tool[t] for t in problem.unusable if t in tool}
        self.blocked_transitions: set[tuple[int, int]] = {
            (BEGIN if a == START else tool.get(a, BEGIN), tool[b])
            for a, b in problem.unusable_transitions
            if b in tool and (a == START or a in tool)
        }

    def cost(self, tool: int, source: int | None, transition_cost: float) -> int | None:
        """What starting `tool` costs now by that transition (`source` is `None` without one); `None`: it cannot."""
        if tool in self.blocked or (source is not None and (source, tool) in self.blocked_transitions):
            return None
        pico = self._price(tool, source, transition_cost)
        return None if pico is None else (pico << SHIFT) + STEP

    def price_alone(self, tool: int) -> int | None:
        """The price of a tool apart from transitions in picodollars; `None` when it is down."""
        return self._price(tool, None, 0.0)

    def price_by(self, tool: int, source: int) -> int | None:
        """The price of a tool by the transition from `source` in picodollars; `None` when either is down."""
        return self._price(tool, source, 0.0)

    def _price(self, tool: int, source: int | None, transition_cost: float) -> int | None:
        node = self.compiled.nodes[tool]
        name = None if source is None else START if source == BEGIN else self.compiled.names[source]
        return self._prices.pico(node, name, transition_cost, self.problem.facts.get(node.name))

    def facts(self, tool: int) -> PriceFacts:
        """What the price of `tool` is made of in this run."""
        name = self.compiled.names[tool]
        return self.problem.facts.get(name) or self._prices.node_facts(self.compiled.nodes[tool])

    def restored(self) -> "Situation":
        """The situation as it would be if this run could use everything again (prices apart)."""
        nothing = replace(self.problem, unusable={}, unusable_transitions={})
        return Situation(self.compiled, self._prices, nothing)

    @cached_property
    def stakes(self) -> "Stakes":
        """The completed effects that a route may leave behind, and what that costs."""
        return Stakes(self)


class Stakes:
    """Completed effects as bits: which of them a free key or a passed tool rests on, and the price of leaving them.

    A call in flight counts as done: what it does will have to be undone as well.
    """

    def __init__(self, situation: Situation) -> None:
        problem, nodes = situation.problem, situation.compiled.view.nodes
        taken = {**problem.done, **problem.running}
        self.names = tuple(name for name in sorted(taken) if name in nodes and nodes[name].effect != Effect.READ)
        self._bit = {name: 1 << i for i, name in enumerate(self.names)}
        self.undo: tuple[int | None, ...] = tuple(
            0 if nodes[name].final and name in problem.may_abandon else (None if nodes[name].final else undo_cost)
            for name in self.names
            for undo_cost in (nodes[name].undo_cost or 0,)
        )
        self._origin: Mapping[str, str | None] = {**problem.at_hand}
        self._taken = taken
        self._masks: dict[str, int] = {}

    def of_tool(self, name: str | None) -> int:
        """The effects that what a started tool gave rests on, its own included."""
        if name is None or name not in self._taken:
            return 0
        if name not in self._masks:
            self._masks[name] = self._bit.get(name, 0)  # before the descent: a record with a cycle must not hang us
            taken = self._taken[name]
            mask = self._bit.get(name, 0) | self.of_tool(taken.via)
            for key in taken.keys:
                mask |= self.of_tool(self._origin.get(key))
            self._masks[name] = mask
        return self._masks[name]

    def of_tools(self, names: Iterable[str | None]) -> int:
        """The effects that what these tools gave rests on."""
        mask = 0
        for name in names:
            mask |= self.of_tool(name)
        return mask

    def penalty(self, used: int) -> int | None:
        """Picodollars for leaving behind what is not in `used`; `None` when something of it cannot be left."""
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
