"""`RoutingWeights`: the current cost of every start of a compiled graph, computed on first use."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from orchestrator.graph.price_table import PriceFacts
from orchestrator.graph.revision import ToolSpec, Transition

from .compiled import Compiled

SHIFT: Final = 20
"""A cost is `picodollars << SHIFT | steps` in one integer: comparing costs compares prices first, then steps."""
STEP: Final = 1
MANY: Final = 1000
"""Tools from which prices are worked out all at once."""
NEVER: Final = 1 << 200
"""The cost of an unusable start."""


def pico_of(cost: int) -> int:
    """The picodollars of a cost."""
    return cost >> SHIFT


class Prices(Protocol):
    """What planning needs of a `PriceTable`, or of a view of earlier prices."""

    def pico(
        self,
        node: ToolSpec,
        source: str | None = None,
        transition_cost: float = 0.0,
        overrides: PriceFacts | None = None,
    ) -> int | None:
        """The price of a start in picodollars; `None` for infinite."""
        ...

    def picos(self, node: ToolSpec, transitions: Iterable[Transition]) -> list[int | None]:
        """The prices of a node by each of these transitions that lead to it."""
        ...

    def success(self, node: ToolSpec) -> float:
        """The probability of success of a node, as the price has it."""
        ...

    def is_touched(self, name: str) -> bool:
        """Whether a tool has recorded facts, or they must be asked for."""
        ...

    def untouched_picos(
        self, nodes: Sequence[ToolSpec], rows: Sequence[int], costs: Sequence[float]
    ) -> list[int] | None:
        """The prices of nodes that nothing is known of, at once; `None` where they have to be asked for one by one."""
        ...

    def changed_from(self, cursor: int) -> Mapping[str, Mapping[str | None, int | None]]:
        """What the tools re-priced since `cursor` cost then, by the source of each transition."""
        ...

    @property
    def now(self) -> int:
        """A cursor for `changes_since`."""
        ...

    def changes_since(self, cursor: int) -> tuple[int, Iterable[str] | None]:
        """A new cursor, and the tools re-priced since the old one; `None` when that is no longer known."""
        ...


class RoutingWeights:
    """The shared costs by start. Call `sync` before a search."""

    def __init__(self, compiled: Compiled, prices: Prices) -> None:
        self.compiled = compiled
        self.prices = prices
        self.values = [NEVER] * (compiled.room + len(compiled.transition_source))
        self.cursor = -1
        """Up to here the changes of prices are taken in."""
        self._latest: tuple[int, Iterable[str] | None] = (-1, None)
        """The cursor before the latest sync, and what was re-priced since."""
        self._grown = len(compiled.growths)

    def sync(self) -> None:
        """Update after additions to the graph and changed prices; at first, compute everything."""
        if self._grown < len(self.compiled.growths):
            self._grow()
        if self.cursor < 0:
            self.cursor = self.prices.now
            self._learn_all()
            return
        now, changed = self.prices.changes_since(self.cursor)
        if now == self.cursor:
            return
        self._latest = (self.cursor, changed)
        self.cursor = now
        if changed is None:
            self._learn_all()
            return
        tools = self.compiled.tool
        for name in changed:
            if name in tools:
                self._learn(tools[name])

    def changed_since(self, cursor: int) -> Iterable[str] | None:
        """The tools re-priced between `cursor` and the latest sync, at least; `None` when that is no longer known."""
        if cursor == self.cursor:
            return ()
        return self._latest[1] if cursor == self._latest[0] else self.prices.changes_since(cursor)[1]

    def _learn_all(self) -> None:
        """Work out the costs of all starts; of many tools that nothing is known of, all at once."""
        c, prices = self.compiled, self.prices
        live = list(c.tool.values())
        plain = [t for t in live if not prices.is_touched(c.names[t])] if len(live) >= MANY else []
        starts: list[int] = []
        rows: list[int] = []
        costs: list[float] = []
        first, into, incoming, names = c.first, c.into, c.view.incoming, c.names
        for row, tool in enumerate(plain):
            if into[tool]:
                found = [t.cost for t in incoming(names[tool])]
                starts += range(first[tool], first[tool] + len(found))
                rows += [row] * len(found)
                costs += found
            else:
                starts.append(tool)
                rows.append(row)
                costs.append(0.0)
        picos = prices.untouched_picos([c.nodes[t] for t in plain], rows, costs) if plain else None
        if picos is None:
            plain = []
        else:
            values = self.values
            for start, pico in zip(starts, picos, strict=True):
                values[start] = (pico << SHIFT) + STEP
        done = set(plain)
        for tool in live:
            if tool not in done or c.gated(tool):
                self._learn(tool)

    def _grow(self) -> None:
        c = self.compiled
        self.values += [NEVER] * (c.room + len(c.transition_source) - len(self.values))
        for tools, _, new in c.growths[self._grown :]:
            for tool in (*tools, *new):
                if c.tool.get(c.names[tool]) == tool:
                    self._learn(tool)
        self._grown = len(c.growths)

    def _learn(self, tool: int) -> None:
        """Work out the costs of all starts of a tool."""
        c, values = self.compiled, self.values
        node = c.nodes[tool]
        if c.into[tool]:
            first = c.first[tool]
            picos = self.prices.picos(node, c.view.incoming(node.name))
            values[first : first + len(picos)] = [NEVER if pico is None else (pico << SHIFT) + STEP for pico in picos]
            if c.gated(tool):
                values[first : first + len(picos)] = [NEVER] * len(picos)
        else:
            pico = self.prices.pico(node)
            values[tool] = NEVER if pico is None else (pico << SHIFT) + STEP

    def as_of(self, cursor: int) -> "RoutingWeights":
        """The costs at an earlier time, to explain a decision by the costs of that time."""
        then = RoutingWeights(self.compiled, self.prices)
        then.values, then.cursor = list(self.values), self.prices.now
        for name, picos in self.prices.changed_from(cursor).items():
            for start in self.compiled.starts(self.compiled.tool[name]) if name in self.compiled.tool else ():
                pico = picos.get(self.compiled.via(start))
                then.values[start] = NEVER if pico is None else (pico << SHIFT) + STEP
        return then

    def cost(self, start: int, facts: Mapping[str, PriceFacts]) -> int:
        """The cost of a start with `facts` in place of those of the tools that they name; `NEVER` for infinite."""
        c = self.compiled
        tool = c.tool_of(start)
        node = c.nodes[tool]
        if node.name not in facts or c.gated(tool):
            return self.values[start]
        via = c.via(start)
        money = c.view.incoming(node.name)[start - c.first[tool]].cost if via is not None else 0.0
        pico = self.prices.pico(node, via, money, facts[node.name])
        return NEVER if pico is None else (pico << SHIFT) + STEP

    def alone(self, tool: int, facts: Mapping[str, PriceFacts]) -> int | None:
        """The picodollars of a tool apart from any transition; `None` when it is down."""
        node = self.compiled.nodes[tool]
        return self.prices.pico(node, None, 0.0, facts.get(node.name))
