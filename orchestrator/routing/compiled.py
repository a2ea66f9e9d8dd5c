"""`Compiled`: a graph view with small numbers in place of names. Numbers follow the names' order, so ties do too.

Places, tools and starts are numbered. A *place* is where a run can be: a key is its own number, "tool `t` is done" is
`tools + t`, and `begin` is `START`. A *start* is a way to start a tool: `t` itself for tool `t` without transition, and
a number from `len(nodes)` on for each transition; those that lead to one tool follow each other.
"""

from functools import cached_property

from orchestrator.core.enums import START, Effect
from orchestrator.core.route import Step
from orchestrator.graph.revision import GraphRevision


class Compiled:
    """Arrays over tools, keys and starts."""

    def __init__(self, view: GraphRevision) -> None:
        self.view = view
        self.nodes = list(view.nodes.values())
        self.names = list(view.nodes)
        self.tool = dict(zip(self.names, range(len(self.names)), strict=True))
        self.keys = sorted(view.keys)
        self.key = key = dict(zip(self.keys, range(len(self.keys)), strict=True))
        self.tools = len(self.keys)
        """The place of tool 0."""
        self.begin = self.tools + len(self.nodes)
        """The place of `START`."""
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
        self.alone = [len(needed) == 1 and not into for needed, into in zip(self.needs, self.into, strict=True)]
        """Whether a tool waits for one key and nothing else."""
        self.target = [g[0] if self._folds(t) else self.tools + t for t, g in enumerate(self.gives)]
        """Where a run is after each tool: its place, or the key it gives where that says it all."""
        self.plain = all(alone or not needed for alone, needed in zip(self.alone, self.needs, strict=True))
        """Whether no tool waits for two things, keys at hand included."""
        self.bare = [
            (alone or (bool(into) and not node.needs)) and not node.optional
            for alone, into, node in zip(self.alone, self.into, self.nodes, strict=True)
        ]
        """Whether all that a tool takes comes from the step before it, when it is in the middle of a path."""
        self.steps: dict[tuple[int, int, int], Step] = {}
        """Steps of paths made so far: by start, tool before, cost."""
        self._onward: dict[int, list[tuple[int, int, int]]] = {}
        self._odd: dict[int, list[tuple[int, int]]] = {}
        self.simple = not any(node.optional for node in self.nodes) and all(
            len(needed) + bool(into) < 2 for needed, into in zip(self.needs, self.into, strict=True)
        )
        """Whether no tool waits for two things: then every plan is a path."""
        self.effects = {i for i, node in enumerate(self.nodes) if node.effect != Effect.READ}
        """Tools that do something to the world."""

    def _connect(self, view: GraphRevision) -> None:
        self.into: list[tuple[int, ...]] = [()] * len(self.nodes)
        """For each tool the places before it, one for each transition that leads to it."""
        self.first = list(range(len(self.nodes)))
        """For each tool its first start."""
        self.out: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        """For each tool (target, start)."""
        self.entries: list[tuple[int, int]] = []
        """The same for `START`."""
        self.transition_source: list[int] = []
        """The place before each transition."""
        self.transition_target: list[int] = []
        start, tool, tools, begin = len(self.nodes), self.tool, self.tools, self.begin
        for target, name in enumerate(self.names) if view.transitions else ():
            incoming = view.incoming(name)
            if not incoming:
                continue
            # a source that was removed is never done: as if the tool had to come before itself
            places = [begin if t.source == START else tools + tool.get(t.source, target) for t in incoming]
            self.into[target] = tuple(places)
            self.first[target] = start
            for place in places:
                (self.entries if place == begin else self.out[place - tools]).append((target, start))
                start += 1
            self.transition_source += places
            self.transition_target += [target] * len(places)

    @cached_property
    def backwards(self) -> list[int] | None:
        """The places, each after those that it leads to; `None` where some lead to each other in a circle.

        Left out: keys that nobody takes, and tools in `folded`.
        """
        tools, begin = self.tools, self.begin
        onward = [len(takers) for takers in self.consumers]
        onward += [len(given) + len(out) for given, out in zip(self.gives, self.out, strict=True)]
        onward.append(len(self.entries) + len(self.rootless))
        ready = [place for place, count in enumerate(onward) if not count]
        order: list[int] = []
        while ready:
            place = ready.pop()
            order.append(place)
            if place < tools:
                before = [tools + t for t in self.producers[place]]
            elif place < begin:
                tool = place - tools
                before = [*self.needs[tool], *self.into[tool]] or [begin]
            else:
                continue
            for p in before:
                onward[p] -= 1
                if not onward[p]:
                    ready.append(p)
        if len(order) <= begin:
            return None
        needed = [p >= tools or bool(self.consumers[p]) for p in range(begin + 1)]
        for t, target in enumerate(self.target):
            needed[tools + t] = target >= tools
        return [p for p in order if needed[p]]

    @cached_property
    def folded(self) -> list[list[tuple[int, int]]]:
        """For each key (tool, the key it needs) of those that take one key and give this one, no more.

        Such tools need no place of their own: the key says it all.
        """
        return [[(t, self.needs[t][0]) for t in producers if self._folds(t)] for producers in self.producers]

    @cached_property
    def unfolded(self) -> list[list[int]]:
        """For each key the places of the other tools that give it."""
        return [[self.tools + t for t in producers if not self._folds(t)] for producers in self.producers]

    def _folds(self, tool: int) -> bool:
        return self.alone[tool] and len(self.gives[tool]) == 1 and not self.out[tool]

    def onward(self, place: int) -> list[tuple[int, int, int]]:
        """(tool, start, where it leads) for the tools that wait for this place and for nothing else."""
        found = self._onward.get(place)
        if found is None:
            self._split(place)
            found = self._onward[place]
        return found

    def odd(self, place: int) -> list[tuple[int, int]]:
        """(tool, start) for the tools that wait for this place and for more; -1 for any start of the tool."""
        if place not in self._odd:
            self._split(place)
        return self._odd[place]

    def _split(self, place: int) -> None:
        if place < self.tools:
            self._onward[place] = [(t, t, self.target[t]) for t in self.consumers[place] if self.alone[t]]
            self._odd[place] = [(t, -1) for t in self.consumers[place] if not self.alone[t]]
            return
        ways = self.entries if place == self.begin else self.out[place - self.tools]
        self._onward[place] = [(t, s, self.target[t]) for t, s in ways if not self.needs[t]]
        self._odd[place] = [way for way in ways if self.needs[way[0]]]
        if place == self.begin:
            self._onward[place] += [(t, t, self.target[t]) for t in self.rootless]

    def starts(self, tool: int) -> range:
        """The ways to start a tool."""
        first = self.first[tool]
        return range(first, first + (len(self.into[tool]) or 1))

    def tool_of(self, start: int) -> int:
        """The tool that a start starts."""
        return start if start < len(self.nodes) else self.transition_target[start - len(self.nodes)]

    def before(self, start: int) -> int | None:
        """The place that a start leads from; `None` for a start without transition."""
        return None if start < len(self.nodes) else self.transition_source[start - len(self.nodes)]

    def place_name(self, place: int) -> str:
        """The name of the key or the tool, or `START`."""
        if place < self.tools:
            return self.keys[place]
        return START if place == self.begin else self.names[place - self.tools]

    def via(self, start: int) -> str | None:
        """The name of the tool (or `START`) that a start leads from; `None` for a start without transition."""
        place = self.before(start)
        return None if place is None else self.place_name(place)
