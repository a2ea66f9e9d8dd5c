"""`Weights`: the current cost of every start of a compiled graph, worked out when first asked for."""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from ..pricing import PriceFacts
from ..view import Node
from .compiled import Compiled

SHIFT: Final = 20
"""A cost is `picodollars << SHIFT | steps` in one integer: comparing costs compares prices first, then steps."""
STEP: Final = 1
NEVER: Final = 1 << 200
"""The cost of what cannot be."""
UNKNOWN: Final = -1


def pico_of(cost: int) -> int:
    """The picodollars of a cost."""
    return cost >> SHIFT


class Prices(Protocol):
    """What planning asks of a `PriceTable`, or of a look back at one."""

    def pico(
        self, node: Node, source: str | None = None, transition_cost: float = 0.0, overrides: PriceFacts | None = None
    ) -> int | None:
        """The price of a start in picodollars; `None` for infinite."""
        ...

    def node_facts(self, node: Node) -> PriceFacts:
        """What the price of a node is made of."""
        ...

    def changes_since(self, cursor: int) -> tuple[int, Iterable[str] | None]:
        """A new cursor, and the tools re-priced since the old one; `None` when that is no longer known."""
        ...


class Weights:
    """Costs by start; `UNKNOWN` where nobody has asked yet. Call `sync` before a search, then read `values`."""

    def __init__(self, compiled: Compiled, prices: Prices) -> None:
        self.compiled = compiled
        self.prices = prices
        self.values = [UNKNOWN] * (len(compiled.nodes) + len(compiled.transition_cost))
        self._cursor, _ = prices.changes_since(0)

    def sync(self) -> None:
        """Forget the costs of what was re-priced."""
        self._cursor, changed = self.prices.changes_since(self._cursor)
        if changed is None:
            self.values = [UNKNOWN] * len(self.values)
            return
        for name in changed:
            tool = self.compiled.tool.get(name)
            if tool is not None:
                self.values[tool] = UNKNOWN
                for _, start in self.compiled.into[tool]:
                    self.values[start] = UNKNOWN

    def learn(self, start: int) -> int:
        """Work out the cost of a start."""
        cost = self.cost(start, {})
        self.values[start] = cost
        return cost

    def cost(self, start: int, facts: Mapping[str, PriceFacts]) -> int:
        """The cost of a start with `facts` in place of those of the tools that they name; `NEVER` for infinite."""
        c = self.compiled
        tools = len(c.nodes)
        if start < tools:
            node = c.nodes[start]
            pico = self.prices.pico(node, None, 0.0, facts.get(node.name))
        else:
            e = start - tools
            node = c.nodes[c.transition_target[e]]
            pico = self.prices.pico(node, c.transition_source[e], c.transition_cost[e], facts.get(node.name))
        return NEVER if pico is None else (pico << SHIFT) + STEP
