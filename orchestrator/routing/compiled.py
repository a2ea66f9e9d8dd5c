"""`Compiled`: a graph view with small numbers in place of names. Numbers follow the names' order, so ties do too."""

from ..view import GraphView

BEGIN = -1
"""The number of `START`."""


class Compiled:
    """Arrays over tools and keys, both numbered in the order of their names.

    A *start* is a way to start a tool: number `t` for tool `t` without transition, `len(nodes) + e` for transition `e`.
    """

    def __init__(self, view: GraphView) -> None:
        self.view = view
        self.nodes = list(view.nodes.values())
        self.names = list(view.nodes)
        self.tool = {name: i for i, name in enumerate(self.names)}
        self.keys = sorted(view.keys)
        self.key = key = {name: k for k, name in enumerate(self.keys)}
        self.needs = [tuple([key[k] for k in node.needs]) for node in self.nodes]
        self.gives = [tuple([key[k] for k in node.gives]) for node in self.nodes]
        self.producers: list[list[int]] = [[] for _ in self.keys]
        self.consumers: list[list[int]] = [[] for _ in self.keys]
        for i, given in enumerate(self.gives):
            for k in given:
                self.producers[k].append(i)
        for i, needed in enumerate(self.needs):
            for k in needed:
                self.consumers[k].append(i)
        self._connect(view)
        self.rootless = [i for i, needed in enumerate(self.needs) if not needed and not self.into[i]]
        """Tools that nothing must precede."""
        self.simple = not any(node.optional for node in self.nodes) and all(
            len(needed) + bool(into) < 2 for needed, into in zip(self.needs, self.into, strict=True)
        )
        """Whether no tool waits for two things: then every plan is a path."""

    def _connect(self, view: GraphView) -> None:
        tools = len(self.nodes)
        self.into: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        """For each tool (source, start)."""
        self.out: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        """For each tool (target, start)."""
        self.entries: list[tuple[int, int]] = []
        """The same for `START`."""
        self.transition_cost: list[float] = []
        self.transition_source: list[str] = []
        self.transition_target: list[int] = []
        for e, t in enumerate(view.transitions, tools):
            target, source = self.tool[t.target], self.tool.get(t.source, BEGIN)
            self.into[target].append((source, e))
            (self.entries if source == BEGIN else self.out[source]).append((target, e))
            self.transition_cost.append(t.cost)
            self.transition_source.append(t.source)
            self.transition_target.append(target)

    def source_of(self, start: int) -> str | None:
        """The name of the tool (or `START`) that a start leads from; `None` for a start without transition."""
        return None if start < len(self.nodes) else self.transition_source[start - len(self.nodes)]

    def tool_of(self, start: int) -> int:
        """The tool that a start starts."""
        return start if start < len(self.nodes) else self.transition_target[start - len(self.nodes)]
