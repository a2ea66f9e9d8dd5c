"""`Skeleton`: the decisions that a plan consists of, one producer for each key that the goal may depend on.

A node is a decision: which tool produces a key, or by which transition a tool starts. The second kind exists for tools
that more than one decision may lead to - because they give several keys, or transitions leave them - so that they are
paid once.
"""

from collections.abc import Callable, Sequence

from orchestrator.routing.compiled import Compiled

ProducerOption = tuple[int, int, tuple[int, ...], int]
"""(start, tool, nodes it opens, the node of the tool that its transition leaves). -1 for no start, or no such node."""


class Skeleton:
    """The decisions for one goal on one compiled graph, whatever is at hand.

    Where nothing goes round in a circle (`acyclic`), each node is numbered after those that it may open.
    """

    def __init__(self, compiled: Compiled, goal: Sequence[int]) -> None:
        self.compiled = compiled
        keys, shared, self._tools = _closure(compiled, goal)
        names = [("key", k) for k in sorted(keys, key=compiled.keys.__getitem__)]
        names += [("tool", t) for t in sorted(shared, key=compiled.names.__getitem__)]
        number = {name: i for i, name in enumerate(names)}
        found = [self._options(kind, what, shared, number) for kind, what in names]
        order = ordered(range(len(names)), lambda node: _opens(found[node]))
        self.acyclic = order is not None
        place = [0] * len(names)
        for new, old in enumerate(order or range(len(names))):
            place[old] = new
        self.options: list[list[ProducerOption]] = [[] for _ in names]
        for old, options in enumerate(found):
            self.options[place[old]] = [
                (start, tool, tuple([place[q] for q in opens]), place[source] if source >= 0 else -1)
                for start, tool, opens, source in options
            ]
        self.key_node = {what: place[i] for i, (kind, what) in enumerate(names) if kind == "key"}

    def affected_by(self, changed: Sequence[int]) -> bool:
        """Whether one of these tools, which were added, removed, or have other transitions, has a part in it."""
        gives, known = self.compiled.gives, self.key_node
        return any(tool in self._tools or any(k in known for k in gives[tool]) for tool in changed)

    def _options(
        self, kind: str, what: int, shared: set[int], number: dict[tuple[str, int], int]
    ) -> list[ProducerOption]:
        c = self.compiled
        found: list[ProducerOption] = []
        for tool in c.producers[what] if kind == "key" else (what,):
            if kind == "key" and tool in shared:
                found.append((-1, tool, (number["tool", tool],), -1))
                continue
            opens = tuple([number["key", k] for k in c.needs[tool]])
            for start in c.starts(tool):
                before = c.before(start)
                source = -1 if before is None or before == c.begin else number["tool", before - c.tools]
                found.append((start, tool, opens, source))
        return found


def _opens(options: list[ProducerOption]) -> list[int]:
    return sorted({q for _, _, needs, source in options for q in (*needs, source) if q >= 0})


def _closure(c: Compiled, goal: Sequence[int]) -> tuple[set[int], set[int], set[int]]:
    """The keys that the goal may rest on, the tools that more than one decision may lead to, and all tools."""
    keys = set(goal)
    tools: set[int] = set()
    shared: set[int] = set()
    waiting = list(goal)
    while waiting:
        fresh = list(c.producers[waiting.pop()])
        while fresh:
            tool = fresh.pop()
            if tool in tools:
                continue
            tools.add(tool)
            sources = [place - c.tools for place in c.into[tool] if place < c.begin]
            shared.update(sources)
            fresh += sources
            new = [k for k in c.needs[tool] if k not in keys]
            keys.update(new)
            waiting += new
    shared.update(t for t in tools if len(c.gives[t]) > 1 and sum(k in keys for k in c.gives[t]) > 1)
    return keys, shared, tools


def ordered(roots: Sequence[int], opens: Callable[[int], Sequence[int]]) -> list[int] | None:
    """The nodes that can be reached, each after those that it may open; `None` where some open each other."""
    done: dict[int, bool] = {}
    order: list[int] = []
    for root in roots:
        stack = [(root, False)]
        while stack:
            node, left = stack.pop()
            if left:
                done[node] = True
                order.append(node)
            elif node not in done:
                done[node] = False
                stack.append((node, True))
                for q in opens(node):
                    if q not in done:
                        stack.append((q, False))
                    elif not done[q]:
                        return None
    return order
