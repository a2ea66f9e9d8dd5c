"""`Compiled`: a graph view with small numbers in place of names. Numbers follow the names' order, so ties do too."""

from ..view import GraphView

BEGIN = -1
"""The number of `START`."""


class Compiled:
    """Arrays over tools and keys, both numbered in the order of their names."""

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
        self.into: list[list[tuple[int, float]]] = [[] for _ in self.nodes]
        self.out: list[list[tuple[int, float]]] = [[] for _ in self.nodes]
        self.entries: list[tuple[int, float]] = []
        for t in view.transitions:
            target, source = self.tool[t.target], self.tool.get(t.source, BEGIN)
            self.into[target].append((source, t.cost))
            (self.entries if source == BEGIN else self.out[source]).append((target, t.cost))
