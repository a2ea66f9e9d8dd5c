"""`Stakes`: the completed effects of a run, and what it costs to leave them behind."""

from collections.abc import Iterable, Mapping

from orchestrator.route import Problem
from orchestrator.types import Effect
from orchestrator.view import GraphView


class Stakes:
    """Completed effects as bits: which of them a free key or a passed tool rests on, and the price of leaving them.

    A call in flight counts as done: what it does will have to be undone as well.
    """

    def __init__(self, view: GraphView, problem: Problem) -> None:
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
