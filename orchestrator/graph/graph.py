"""`ToolGraph`: the mutable graph of an orchestrator's tools and edges; `view()` returns an immutable revision."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from orchestrator.core.calls.options import checked
from orchestrator.core.calls.source import at
from orchestrator.core.checks import check_number
from orchestrator.core.enums import START
from orchestrator.core.errors import DefinitionError, nearest

from .key_types import KeyTypes
from .revision import GraphRevision, LiveGraph
from .spec import ToolSpec, Transition
from .tool import Tool
from .tool_options import MAX_COST
from .transitions import Transitions

if TYPE_CHECKING:
    import networkx

    Drawn = networkx.DiGraph[str]


FEW, MANY = 64, 4096
"""Limits of changes up to which a revision is derived from the last one."""


class EdgeWeights(Protocol):
    """The source of the edge weights of `ToolGraph.nx`: a `PriceTable`."""

    def weight(self, node: ToolSpec, source: str | None = None, transition_cost: float = 0.0) -> float:
        """Price in US dollars of starting `node` by the transition from `source`; `inf` when it is down."""
        ...

    def changes_since(self, cursor: int) -> tuple[int, Iterable[str] | None]:
        """A new cursor, and the tools re-priced since the old one; `None` when that is no longer known."""
        ...


class Follower(Protocol):
    """What keeps something that it makes of a revision: a `Planner`."""

    def follow(self, view: GraphRevision) -> None:
        """Bring what was made of an earlier revision up to this one; raises nothing."""
        ...


class ToolGraph:
    """Tools by name, with explicit transitions and the edges that their keys imply.

    `nx` is the same graph as a `networkx.DiGraph`. Not thread-safe: change it from one event loop; the views it hands
    out are immutable and may be read from anywhere.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._tools: dict[str, Tool] = {}
        self._nodes: dict[str, ToolSpec] = {}
        self._transitions = Transitions()
        self._key_types = KeyTypes()
        self._view: GraphRevision | None = None
        """The current revision, if it exists already."""
        self._last: GraphRevision | None = None
        """The last revision; `_log` has the changes since."""
        self._before: GraphRevision | None = None
        """The revision before, kept so that it is freed at the next change and not during a plan."""
        self._log: list[str] = []
        self._asked = False
        """Whether the current revision is in use."""
        self._weights: EdgeWeights | None = None
        self._listeners: list[Callable[[], None]] = []
        self._followers: WeakSet[Follower] = WeakSet()
        self._nx: tuple[int, int, Drawn] | None = None

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __getitem__(self, name: str) -> Tool:
        """The tool of that name. Raises `DefinitionError` when there is none."""
        return self._tools[self._known(name)]

    @property
    def tools(self) -> Mapping[str, Tool]:
        """A live view of the tools by name."""
        return MappingProxyType(self._tools)

    def __repr__(self) -> str:
        view = self.view()
        return f"<ToolGraph of {len(view.tools)} tools and {len(list(self._transitions))} transitions>"

    def get(self, name: str) -> Tool | None:
        """The tool of that name, if there is one."""
        return self._tools.get(name)

    def with_credential(self, credential: str) -> list[str]:
        """The names of the tools with a credential."""
        return [tool.name for tool in list(self._tools.values()) if tool.credential == credential]

    @checked()
    def add(self, tool: Tool) -> Tool:
        """Add a tool. Raises `DefinitionError` when its name is taken, or a key of it does not fit elsewhere."""
        if tool.name == START:
            raise DefinitionError(f"{START!r} is where a run begins; no tool can have that name.")
        if tool.name in self._tools:
            there = at(self._tools[tool.name].place)
            raise DefinitionError(
                f"There are two tools of the name {tool.name!r}{there}{at(tool.place)}. Give one another name=, "
                "or put the new one in the place of the old: add(..., replace=True)."
            )
        node = ToolSpec.of(tool)
        self._key_types.check(tool)
        self._put(tool, node)
        return tool

    @checked()
    def remove(self, name: str | Tool) -> Tool:
        """Remove a tool with its transitions. Raises `DefinitionError` for an unknown name.

        A tool that started only through these transitions does not start until it is connected again.
        """
        name = self._known(name)
        tool = self._tools.pop(name)
        del self._nodes[name]
        self._key_types.forget(tool)
        self._changed(name, *sorted(self._transitions.remove(name)))
        return tool

    @checked()
    def replace(self, tool: Tool) -> Tool:
        """Replace the tool with the same name, whose transitions are kept; returns the old one.

        Raises `DefinitionError` when there is none of that name, or a key does not fit.
        """
        old = self._tools[self._known(tool)]
        node = ToolSpec.of(tool)
        self._key_types.forget(old)
        try:
            self._key_types.check(tool)
        except DefinitionError:
            self._key_types.note(old)
            raise
        self._put(tool, node)
        return old

    @contextmanager
    @checked()
    def override(self, tool: Tool) -> Generator[Tool]:
        """Within the block, `tool` replaces the one with its name."""
        old = self.replace(tool)
        try:
            yield tool
        finally:
            self.replace(old)

    @checked()
    def connect(self, a: str | Tool, b: str | Tool, cost: float = 0.0) -> Transition:
        """Let `b` start once `a` (a tool, or `START`) is done; `cost` in US dollars is paid when it does.

        A tool with transitions into it starts only by one of them. Raises `DefinitionError` for an unknown tool, a
        self-loop, a second transition between the same two, `START` as the target, and a cost that is none.
        """
        if b == START:
            raise DefinitionError(f"No transition can lead to {START}: it is where a run begins.")
        source = START if a == START else self._known(a)
        target = self._known(b)
        if source == target:
            raise DefinitionError(f"A transition from {source!r} to itself can never be taken first.")
        if self._transitions.get(source, target) is not None:
            raise DefinitionError(f"{source!r} and {target!r} are connected already. State one cost.")
        money = check_number(f"The cost of the transition from {source!r} to {target!r}", cost, MAX_COST)
        transition = Transition(source, target, money)
        self._transitions.add(transition)
        self._changed(target)
        return transition

    def view(self) -> GraphRevision:
        """The current revision, immutable; the same object until the next change."""
        if self._view is None:
            self._before, self._view = self._last, self._revised()
            self._last = self._view
        self._asked = True
        return self._view

    def _revised(self) -> GraphRevision:
        """The current revision, made from the last where little has changed since."""
        last, live = self._last, LiveGraph(self._nodes, self._tools, self._transitions, self._key_types.type_of)
        if last is not None:
            changed = self._log[last.position :]
            if len(changed) <= max(FEW, len(self._nodes) // 32) and len(self._log) < max(MANY, 2 * len(self._nodes)):
                return last.after(changed, live, self.revision)
        self._log = []
        into = self._transitions.into
        incoming = {target: into(target) for target in self._transitions.targets() if target in self._nodes}
        return GraphRevision(
            self._nodes.values(),
            incoming,
            tools=self._tools,
            key_types=self._key_types.types(),
            revision=self.revision,
            log=self._log,
        )

    def use_weights(self, weights: EdgeWeights) -> None:
        """Take the `weight` of the edges of `nx` from `weights`. Until then it is the declared cost."""
        self._weights = weights
        self._nx = None

    @property
    def nx(self) -> "Drawn":
        """The graph of tools as networkx knows it, brought up to date on each access.

        An edge (a, b) says that `b` can start after `a`: by a transition, or because `a` gives what `b` takes. It has
        `keys` (a tuple), `cost` (of the transition, US dollars) and `weight` (the current price of `b` by this edge,
        US dollars; `inf` when `b` is down). `START` is a node where a transition leaves it.
        """
        cursor, changed = self._weights.changes_since(self._nx[1] if self._nx else 0) if self._weights else (0, ())
        if self._nx is None or self._nx[0] != self.revision:
            graph = self._draw()
        else:
            graph = self._nx[2]
            for name in graph.nodes if changed is None else changed:
                for source in list(graph.predecessors(name)) if name in graph else ():
                    graph.edges[source, name]["weight"] = self._weight(source, name)
        self._nx = (self.revision, cursor, graph)
        return graph

    def _draw(self) -> "Drawn":
        view = self.view()
        import networkx

        graph: Drawn = networkx.DiGraph()
        graph.add_nodes_from(view.nodes)
        keys: dict[tuple[str, str], list[str]] = {}
        for key in sorted(view.keys):
            for source in view.producers(key):
                for target in view.consumers(key):
                    if source != target:
                        keys.setdefault((source, target), []).append(key)
        for edge in sorted({*keys, *((t.source, t.target) for t in self._transitions)}):
            transition = self._transitions.get(*edge)
            graph.add_edge(
                *edge,
                keys=tuple(keys.get(edge, ())),
                cost=transition.cost if transition else 0.0,
                weight=self._weight(*edge),
            )
        return graph

    def _weight(self, source: str, target: str) -> float:
        transition = self._transitions.get(source, target)
        cost = transition.cost if transition else 0.0
        node = self._nodes[target]
        if self._weights is None:
            return node.cost + cost
        return self._weights.weight(node, source if transition else None, cost)

    def _put(self, tool: Tool, node: ToolSpec) -> None:
        self._tools[tool.name] = tool
        self._nodes[tool.name] = node
        self._key_types.note(tool)
        self._changed(tool.name)

    def _changed(self, *names: str) -> None:
        """Note changed tools. If the previous revision is in use, the next one is built at once.

        So the change bears the cost, not the first plan after it; a batch of changes builds one revision.
        """
        self.revision += 1
        self._log += names
        self._view = None
        for listener in self._listeners:
            listener()
        if self._asked:
            self._asked = False
            self._before, self._view = self._last, self._revised()
            self._last = self._view
            for follower in list(self._followers):
                follower.follow(self._view)

    def followed_by(self, follower: Follower) -> None:
        """Bring `follower` up to the next revision at the change that makes it, not at its first use."""
        self._followers.add(follower)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call a function after each change; it must return at once and must not raise."""
        self._listeners.append(listener)

    def _known(self, name: str | Tool) -> str:
        name = name.name if isinstance(name, Tool) else name
        if name not in self._tools:
            is_key = any(name in tool.gives or name in tool.takes.values() for tool in self._tools.values())
            hint = f" {name!r} is a key." if is_key else nearest(name, self._tools)
            raise DefinitionError(f"There is no tool {name!r}.{hint}")
        return name


__all__ = ["START", "EdgeWeights", "GraphRevision", "ToolGraph", "ToolSpec", "Transition"]
