"""`Compiled`: a graph revision with small integers instead of names. It is updated with the graph.

Places, tools and starts are numbered. A *place* is where a run can be: a key is its own number, "tool `t` is done" is
`tools + t`, and `begin` is `START`. A *start* is a way to start a tool: `t` itself for tool `t` without transition, and
a number from `room` on for each transition; those that lead to one tool follow each other, sorted by source.

There is room for more keys and tools than there are. What is added takes the next number, and the number of what was
removed is not used again: ties are broken by names, never by numbers.
"""

from collections.abc import Iterable

from orchestrator.core.enums import START, Effect
from orchestrator.core.route import Step
from orchestrator.graph.revision import GraphRevision
from orchestrator.graph.spec import ToolSpec

SPARE = 64
"""Room for more keys and tools, beside a quarter of what there is."""

Growth = tuple[list[int], set[int], list[int]]
"""Of one change: tools that are gone, or have other ways in or on; places with other ways on; new tools."""
Onward = list[tuple[int, int, int]]
"""(tool, start, where it leads)."""


def _capacity_for(count: int) -> int:
    return count + count // 4 + SPARE


class Compiled:
    """Lists over tools, keys and starts."""

    def __init__(self, view: GraphRevision) -> None:
        self.view = view
        keys = sorted(view.keys)
        self.tools = _capacity_for(len(keys))
        """The place of tool 0."""
        self.room = _capacity_for(len(view.nodes))
        """The first start by a transition."""
        self.begin = self.tools + self.room
        """The place of `START`."""
        self.keys = keys
        self.key = dict(zip(keys, range(len(keys)), strict=True))
        self.producers: list[list[int]] = [[] for _ in keys]
        self.consumers: list[list[int]] = [[] for _ in keys]
        self.folded: list[list[tuple[int, int]]] = [[] for _ in keys]
        """For each key (tool, the key it needs) of those that take one key and give this one, no more.

        Such tools need no place of their own: the key says it all.
        """
        self.unfolded: list[list[int]] = [[] for _ in keys]
        """For each key the places of the other tools that give it."""
        self.nodes: list[ToolSpec] = []
        self.names: list[str] = []
        self.tool: dict[str, int] = {}
        self.needs: list[tuple[int, ...]] = []
        self.gives: list[tuple[int, ...]] = []
        self.into: list[tuple[int, ...]] = []
        """For each tool the places before it, one for each transition that leads to it."""
        self.first: list[int] = []
        """For each tool its first start."""
        self.out: list[list[tuple[int, int]]] = []
        """For each tool (target, start)."""
        self.entries: list[tuple[int, int]] = []
        """The same for `START`."""
        self.rootless: list[int] = []
        """Tools that nothing must precede."""
        self.transition_source: list[int] = []
        """The place before each transition."""
        self.transition_target: list[int] = []
        self.alone: list[bool] = []
        """Whether a tool waits for one key and nothing else."""
        self.bare: list[bool] = []
        """Whether all that a tool takes comes from the step before it, when it is in the middle of a path."""
        self.target: list[int] = []
        """Where a run is after each tool: its place, or the key it gives where that says it all."""
        self.effects: set[int] = set()
        """Tools that do something to the world."""
        self.double: set[int] = set()
        """Tools that wait for two things, keys at hand included."""
        self.joining: set[int] = set()
        """Tools that wait for two things, or take some that may be at hand; where there are none, every plan is a path.
        """
        self.steps: dict[tuple[int, int, int], Step] = {}
        """Steps of paths made so far: by start, tool before, cost."""
        self._onward: dict[int, Onward] = {}
        self._odd: dict[int, list[tuple[int, int]]] = {}
        self._successors: dict[int, frozenset[int]] = {}
        self._order: tuple[int, list[int] | None] | None = None
        self.growths: list[Growth] = []
        """What has changed since this was made, in order."""
        self._append_all(list(view.nodes.values()))
        if view.connected:
            self._join_all()
        for tool in range(len(self.names)):
            self.classify(tool)
        self.transitions = len(self.transition_source)
        """As many were there when this was made."""

    def _append_all(self, nodes: list[ToolSpec]) -> None:
        """`append` for all tools of a graph at once."""
        key, count = self.key, len(nodes)
        self.nodes, self.names = nodes, [node.name for node in nodes]
        self.tool = dict(zip(self.names, range(count), strict=True))
        self.needs = [tuple([key[k] for k in node.needs]) for node in nodes]
        self.gives = [tuple([key[k] for k in node.gives]) for node in nodes]
        for lists, numbers in ((self.producers, self.gives), (self.consumers, self.needs)):
            for tool, found in enumerate(numbers):
                for k in found:
                    lists[k].append(tool)
        self.into, self.first, self.out = [()] * count, list(range(count)), [[] for _ in nodes]
        self.alone, self.bare = [False] * count, [False] * count
        self.target = list(range(self.tools, self.tools + count))
        self.effects = {tool for tool, node in enumerate(nodes) if node.effect != Effect.READ}

    def _join_all(self) -> None:
        """`join` for all tools of a graph at once."""
        place_of = {name: self.tools + tool for name, tool in self.tool.items()}
        place_of[START] = self.begin
        sources, targets, out, incoming = self.transition_source, self.transition_target, self.out, self.view.incoming
        start = self.room
        for tool, name in enumerate(self.names):
            found = incoming(name)
            if not found:
                continue
            gate = self.tools + tool  # a source that was removed stands as the tool's own place: see `gated`
            places = [place_of.get(t.source, gate) for t in found]
            self.into[tool], self.first[tool] = tuple(places), start
            sources += places
            targets += [tool] * len(places)
            for place in places:
                (self.entries if place == self.begin else out[place - self.tools]).append((tool, start))
                start += 1

    def append(self, node: ToolSpec) -> int:
        """Number a tool."""
        tool, key = len(self.nodes), self.key
        self.nodes.append(node)
        self.names.append(node.name)
        self.tool[node.name] = tool
        needs, gives = tuple([key[k] for k in node.needs]), tuple([key[k] for k in node.gives])
        self.needs.append(needs)
        self.gives.append(gives)
        for k in gives:
            self.producers[k].append(tool)
        for k in needs:
            self.consumers[k].append(tool)
        self.into.append(())
        self.first.append(tool)
        self.out.append([])
        self.alone.append(False)
        self.bare.append(False)
        self.target.append(self.tools + tool)
        if node.effect != Effect.READ:
            self.effects.add(tool)
        return tool

    def join(self, tool: int) -> None:
        """Number the transitions that lead to a tool."""
        self.into[tool], self.first[tool] = (), tool
        incoming = self.view.incoming(self.names[tool])
        if not incoming:
            return
        tools, begin, number = self.tools, self.begin, self.tool
        # a source that was removed stands as the tool's own place: see `gated`
        places = [begin if t.source == START else tools + number.get(t.source, tool) for t in incoming]
        self.into[tool] = tuple(places)
        self.first[tool] = start = self.room + len(self.transition_source)
        out = self.out
        for place in places:
            (self.entries if place == begin else out[place - tools]).append((tool, start))
            start += 1
        self.transition_source += places
        self.transition_target += [tool] * len(places)

    def classify(self, tool: int) -> None:
        """Work out what sort of tool it is, from what it needs, gives, and its transitions."""
        needed, into, node = self.needs[tool], self.into[tool], self.nodes[tool]
        alone = len(needed) == 1 and not into
        self.alone[tool] = alone
        self.bare[tool] = (alone or (bool(into) and not node.needs)) and not node.optional
        if not alone and needed:
            self.double.add(tool)
        if node.optional or len(needed) + bool(into) > 1:
            self.joining.add(tool)
        if not needed and not into:
            self.rootless.append(tool)
        gives = self.gives[tool]
        if alone and len(gives) == 1 and not self.out[tool]:
            self.target[tool] = gives[0]
            self.folded[gives[0]].append((tool, needed[0]))
            return
        self.target[tool] = place = self.tools + tool
        for k in gives:
            self.unfolded[k].append(place)

    def unclassify(self, tool: int) -> None:
        """Undo `classify`."""
        self.double.discard(tool)
        self.joining.discard(tool)
        if not self.needs[tool] and not self.into[tool]:
            self.rootless.remove(tool)
        if self.target[tool] < self.tools:
            self.folded[self.target[tool]].remove((tool, self.needs[tool][0]))
            return
        for k in self.gives[tool]:
            self.unfolded[k].remove(self.tools + tool)

    @property
    def backwards(self) -> list[int] | None:
        """The places, each after those that it leads to; `None` where some lead to each other in a circle.

        Left out: keys that nobody takes, and tools in `folded`.
        """
        if self._order is None or self._order[0] != len(self.growths):
            self._order = (len(self.growths), self._sorted_backwards())
        return self._order[1]

    def _sorted_backwards(self) -> list[int] | None:
        tools, begin = self.tools, self.begin
        needs, into, producers, folded_to = self.needs, self.into, self.producers, self.target
        onward = [0] * (begin + 1)
        onward[: len(self.keys)] = [len(takers) for takers in self.consumers]
        onward[tools : tools + len(self.nodes)] = [
            len(given) + len(out) for given, out in zip(self.gives, self.out, strict=True)
        ]
        onward[begin] = len(self.entries) + len(self.rootless)
        live = list(self.tool.values())
        ready = [place for place in (*range(len(self.keys)), begin) if not onward[place]]
        order: list[int] = []
        while ready:
            place = ready.pop()
            order.append(place)
            if place < tools:
                for tool in producers[place]:
                    p = tools + tool
                    onward[p] -= 1
                    if not onward[p]:
                        ready.append(p)
                continue
            if place == begin:
                continue
            tool = place - tools
            for p in (*needs[tool], *into[tool]) or (begin,):
                onward[p] -= 1
                if not onward[p]:
                    ready.append(p)
        if len(order) <= len(self.keys) + len(live):
            return None
        consumers = self.consumers
        return [p for p in order if (consumers[p] if p < tools else p == begin or folded_to[p - tools] >= tools)]

    def onward(self, place: int) -> Onward:
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

    def successors(self, place: int) -> frozenset[int]:
        """The tools that wait for this place."""
        found = self._successors.get(place)
        if found is None:
            ways = (*self.onward(place), *self.odd(place))
            found = self._successors[place] = frozenset([way[0] for way in ways])
        return found

    def forget_ways(self, places: Iterable[int]) -> None:
        """Discard the successors of these places, to be computed again."""
        for place in places:
            self._successors.pop(place, None)
            self._onward.pop(place, None)
            self._odd.pop(place, None)

    def add_ways(self, tool: int) -> None:
        """Add a new tool to the ways on that were worked out from the places before it."""
        needs, target = self.needs[tool], self.target[tool]
        for place in self.places_before(tool):
            self._successors.pop(place, None)
        for place in needs if needs and not self.into[tool] else ():
            if place in self._onward:
                if self.alone[tool]:
                    self._onward[place].append((tool, tool, target))
                else:
                    self._odd[place].append((tool, -1))
        if not needs and not self.into[tool] and self.begin in self._onward:
            self._onward[self.begin].append((tool, tool, target))

    def drop_ways(self, tool: int) -> None:
        """Take a tool that is gone, and that no transition led to, from the ways on that were worked out."""
        for place in self.places_before(tool):
            self._successors.pop(place, None)
            if place in self._onward:
                self._onward[place] = [way for way in self._onward[place] if way[0] != tool]
                self._odd[place] = [way for way in self._odd[place] if way[0] != tool]

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

    def places_before(self, tool: int) -> tuple[int, ...]:
        """The places that a tool is started from."""
        return (*(self.needs[tool] or (() if self.into[tool] else (self.begin,))), *self.into[tool])

    def gated(self, tool: int) -> bool:
        """Whether all tools that led to it were removed: it does not start until it is connected again."""
        return self.tools + tool in self.into[tool]

    def starts(self, tool: int) -> range:
        """The ways to start a tool."""
        first = self.first[tool]
        return range(first, first + (len(self.into[tool]) or 1))

    def tool_of(self, start: int) -> int:
        """The tool that a start starts."""
        return start if start < self.room else self.transition_target[start - self.room]

    def before(self, start: int) -> int | None:
        """The place that a start leads from; `None` for a start without transition."""
        return None if start < self.room else self.transition_source[start - self.room]

    def place_name(self, place: int) -> str:
        """The name of the key or the tool, or `START`."""
        if place < self.tools:
            return self.keys[place]
        return START if place == self.begin else self.names[place - self.tools]

    def via(self, start: int) -> str | None:
        """The name of the tool (or `START`) that a start leads from; `None` for a start without transition."""
        place = self.before(start)
        return None if place is None else self.place_name(place)

    def named(self, starts: Iterable[int]) -> tuple[list[str], list[tuple[str, int]]]:
        """What ties between plans are broken by: the tools' names, then how they are started."""
        names = self.names
        tagged = sorted([(names[self.tool_of(start)], start) for start in starts])
        return [name for name, _ in tagged], tagged
