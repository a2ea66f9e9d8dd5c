"""`Rooted`: the distance of everything to one goal, kept as a lower bound while prices change.

One Dijkstra backwards from the goal gives every key and tool its distance. It stays a consistent heuristic for A* as
long as prices only rise; when one falls, what is now nearer is lowered again, from there backwards. After a search the
tools that it looked at are raised to what it found out. Both keep the heuristic consistent for the current prices
(generalized adaptive A*: Sun, Koenig, Yeoh, AAMAS 2008), so that every search is exact.

A tool that needs several keys is nearer to the goal by any of them: distances are along single chains. They bound what
any plan through that place still has to pay.
"""

from bisect import insort
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import chain

from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER, RoutingWeights

REBUILD = 8
"""A root is rebuilt when searches have visited this many times the places that building it visited."""
FEW = 16
"""Successors of a place up to which they are sorted again; longer lists are updated one by one."""
SWEPT = 16
"""Number of starts that a sweep handles in the time of one place in a search."""


Ahead = list[tuple[int, int, int]]
"""(what it costs to continue to the goal by it, tool, start): the ways on from a place, cheapest first."""


class Rooted:
    """Distances to `goal` (a key's number) from all places."""

    def __init__(self, weights: RoutingWeights, goal: int) -> None:
        self.weights = weights
        self.goal = goal
        self.distance: list[int] = []
        self.known: dict[int, Ahead] = {}
        """Results of `ahead` since it last changed."""
        self.radius = 0
        """Places farther than this are known to be at least this far."""
        self._edge = -1
        """The place at which the last building stopped."""
        self.work = 0
        self._built = 0
        self._cursor = 0
        self._grown = len(weights.compiled.growths)

    def prepare(self, situation: Situation) -> None:
        """Bring the distances up to date for a search from `situation`."""
        weights = self.weights
        self.grow()
        if self.work > REBUILD * self._built or (self.radius < NEVER and not self._reaches(situation)):
            self._build(situation)
        changed = weights.changed_since(self._cursor)
        self._cursor = weights.cursor
        if changed is None:
            self._build(situation)
            changed = ()
        facts = situation.problem.facts
        if facts:
            changed = {*changed, *facts}
        if changed:
            self._repair(situation, changed)

    def ahead(self, place: int) -> Ahead:
        """The ways on from a place to tools that wait for nothing else, cheapest first, at the shared prices."""
        found = self.known.get(place)
        if found is None:
            values, distance = self.weights.values, self.distance
            found = [(values[s] + distance[place], tool, s) for tool, s, place in self.weights.compiled.onward(place)]
            found.sort()
            while found and found[-1][0] >= NEVER:
                found.pop()
            self.known[place] = found
        return found

    def ways(self, place: int, over: Mapping[int, int]) -> Ahead:
        """The same where the starts in `over` cost something else."""
        values, distance = self.weights.values, self.distance
        onward = self.weights.compiled.onward(place)
        ways = [(over.get(s, values[s]) + distance[place], tool, s) for tool, s, place in onward]
        ways.sort()
        while ways and ways[-1][0] >= NEVER:
            ways.pop()
        return ways

    def learn(self, places: dict[int, int], found: int) -> None:
        """Raise the distances of places (place -> cost from the start): the goal is `found` from the start."""
        distance = self.distance
        for place, before in places.items():
            d = NEVER if found >= NEVER else found - before
            if d > distance[place]:
                self._raise(place, d)

    def _raise(self, place: int, d: int) -> None:
        c, known = self.weights.compiled, self.known
        self.distance[place] = d
        if place < c.tools:
            for tool, k in c.folded[place]:
                if k in known:
                    self._change(k, tool)
        elif place < c.begin:
            self._forget(place - c.tools)

    def _forget(self, tool: int) -> None:
        """The ways on by this tool have changed."""
        c, known = self.weights.compiled, self.known
        for place in c.into[tool] or c.needs[tool] or (c.begin,):
            if place in known:
                self._change(place, tool)
        if c.into[tool]:
            for place in c.needs[tool]:
                known.pop(place, None)

    def _change(self, place: int, tool: int) -> None:
        """Bring one of the ways on from a place up to date: of few, all are worked out again when they are asked
        for."""
        found = self.known[place]
        if len(found) <= FEW:
            del self.known[place]
            return
        c = self.weights.compiled
        into = c.into[tool]
        start = c.first[tool] + into.index(place) if into else tool
        cost = self.weights.values[start] + self.distance[c.target[tool]]
        changed = [way for way in found if way[1] != tool]
        if cost < NEVER and not (c.needs[tool] if into else place < c.tools and not c.alone[tool]):
            insort(changed, (cost, tool, start))
        self.known[place] = changed

    def _reaches(self, situation: Situation) -> bool:
        if not self.distance:
            return False
        distance, radius = self.distance, self.radius
        if distance[self.weights.compiled.begin] < radius:
            return True
        for places in (situation.passed, situation.free):
            if self._edge in places:
                return True
            for place in places:
                if distance[place] < radius:
                    return True
        return self._edge == self.weights.compiled.begin

    def _build(self, situation: Situation) -> None:
        """Compute all distances at the current prices, in one sweep if there is no cycle."""
        self._cursor = self.weights.cursor
        self._grown = len(self.weights.compiled.growths)
        self.known = {}
        self.work = 0
        order = self.weights.compiled.backwards
        if order is None:
            self._spread({self.weights.compiled.begin, *situation.free, *situation.passed})
        else:
            self._sweep(order)

    def _sweep(self, order: list[int]) -> None:
        """Distances in the order given: of each place after those that it leads to."""
        c, values = self.weights.compiled, self.weights.values
        needs, into, first, tools, folded, unfolded = c.needs, c.into, c.first, c.tools, c.folded, c.unfolded
        begin = (c.begin,)
        distance = [NEVER] * (c.begin + 1)
        distance[self.goal] = 0
        for place in chain((self.goal,), order):
            d = distance[place]
            if d >= NEVER:
                continue
            if place < tools:
                for tool, k in folded[place]:
                    e = d + values[tool]
                    if e < distance[k]:
                        distance[k] = e
                for here in unfolded[place]:
                    if d < distance[here]:
                        distance[here] = d
                continue
            tool = place - tools
            if place == c.begin:
                continue
            if into[tool]:
                start = first[tool]
                costs = values[start : start + len(into[tool])]
                for before, w in zip(into[tool], costs, strict=True):
                    e = d + w
                    if e < distance[before]:
                        distance[before] = e
                e = d + min(costs) if needs[tool] else NEVER
            else:
                e = d + values[tool]
            for k in needs[tool] or (() if into[tool] else begin):
                if e < distance[k]:
                    distance[k] = e
        self.distance = distance
        self.radius = NEVER
        self._built = len(values) // SWEPT + 1

    def _spread(self, stops: set[int]) -> None:
        """Dijkstra backwards from the goal until one of `stops` is met, from which a run could continue."""
        c, values = self.weights.compiled, self.weights.values
        needs, into, first, tools, folded, unfolded = c.needs, c.into, c.first, c.tools, c.folded, c.unfolded
        distance = [NEVER] * (c.begin + 1)
        distance[self.goal] = 0
        heap = [(0, self.goal)]
        radius, edge, built = NEVER, -1, 1
        while heap:
            d, place = heappop(heap)
            if d > distance[place]:
                continue
            if place in stops:
                edge = place
                break
            built += 1
            if place >= tools:
                near = [place - tools]
            else:
                near = [here - tools for here in unfolded[place] if d < distance[here]]
                for tool, k in folded[place]:
                    e = d + values[tool]
                    if e < distance[k] and e <= radius:
                        distance[k] = e
                        heappush(heap, (e, k))
                        if k in stops:
                            radius = e
            for tool in near:
                distance[tools + tool] = d
                start, places = first[tool], into[tool]
                costs = values[start : start + (len(places) or 1)]
                for before, w in zip(places, costs, strict=False):
                    e = d + w
                    if e < distance[before] and e <= radius:
                        distance[before] = e
                        heappush(heap, (e, before))
                        if before in stops:
                            radius = e
                keys = needs[tool] or (() if places else (c.begin,))
                e = d + min(costs) if keys else NEVER
                for k in keys:
                    if e < distance[k] and e <= radius:
                        distance[k] = e
                        heappush(heap, (e, k))
                        if k in stops:
                            radius = e
        self.radius, self._edge, self._built = radius, edge, built
        if radius < NEVER:
            distance = [d if d < radius else radius for d in distance]
            for key, takers in enumerate(c.consumers):
                if not takers and key != self.goal:
                    distance[key] = NEVER
            for unused in (range(len(c.keys), c.tools), range(c.tools + len(c.nodes), c.begin)):
                distance[unused.start : unused.stop] = [NEVER] * len(unused)
        self.distance = distance

    def _repair(self, situation: Situation, names: Iterable[str]) -> None:
        """Lower the distances that have decreased since the last search, here or for this run only."""
        c, over = self.weights.compiled, situation.over
        lowered: list[tuple[int, int]] = []
        for name in names:
            tool = c.tool.get(name)
            if tool is not None:
                self._forget(tool)
                self._lower(tool, lowered, over)
        if lowered:
            self._propagate(lowered, over)

    def grow(self) -> None:
        """Add new tools and transitions: places from which the goal has come nearer are lowered.

        Where something is gone the distances stay, as they do where a price has risen.
        """
        c, distance, values = self.weights.compiled, self.distance, self.weights.values
        if not distance or self._grown == len(c.growths):
            return
        lowered: list[tuple[int, int]] = []
        for tools, places, new in c.growths[self._grown :]:
            for place in places:
                self.known.pop(place, None)
            for tool in (*tools, *new):
                if c.tool.get(c.names[tool]) != tool:
                    self._leave_out(tool)
                    continue
                place = c.target[tool]
                if place >= c.tools:
                    onward = [distance[k] for k in c.gives[tool]]
                    onward += [values[start] + distance[c.target[target]] for target, start in c.out[tool]]
                    distance[place] = min(distance[place], *onward)
                if distance[place] < NEVER or tool not in new:
                    self._forget(tool)
                self._lower(tool, lowered, {})
        self._grown = len(c.growths)
        if lowered:
            self._propagate(lowered, {})

    def _leave_out(self, tool: int) -> None:
        """Remove a tool from the known successors."""
        for place in self.weights.compiled.places_before(tool):
            found = self.known.get(place)
            if found and any(way[1] == tool for way in found):
                self.known[place] = [way for way in found if way[1] != tool]

    def _propagate(self, lowered: list[tuple[int, int]], over: Mapping[int, int]) -> None:
        """Propagate lowered distances backwards."""
        c = self.weights.compiled
        heapify(lowered)
        distance, values, known = self.distance, self.weights.values, self.known
        tools, folded, unfolded = c.tools, c.folded, c.unfolded
        while lowered:
            d, place = heappop(lowered)
            if d > distance[place] or place == c.begin:
                continue
            self.work += 1
            if place >= tools:
                self._forget(place - tools)
                self._lower(place - tools, lowered, over)
                continue
            for tool, k in folded[place]:
                if k in known:
                    self._change(k, tool)
                e = d + (min(values[tool], over.get(tool, NEVER)) if over else values[tool])
                if e < distance[k]:
                    distance[k] = e
                    heappush(lowered, (e, k))
            for here in unfolded[place]:
                if d < distance[here]:
                    distance[here] = d
                    self._forget(here - tools)
                    self._lower(here - tools, lowered, over)

    def _lower(self, tool: int, lowered: list[tuple[int, int]], over: Mapping[int, int]) -> None:
        """Lower the places before a tool where going on by it has become the nearer way.

        Of the shared cost and this run's the lower one counts: a distance must hold for both.
        """
        c, distance, values = self.weights.compiled, self.distance, self.weights.values
        d = distance[c.target[tool]]
        if d >= NEVER:
            return
        start, places, needs = c.first[tool], c.into[tool], c.needs[tool]
        if not places:
            least = d + (min(values[tool], over.get(tool, NEVER)) if over else values[tool])
            for k in needs or (c.begin,):
                if least < distance[k]:
                    distance[k] = least
                    heappush(lowered, (least, k))
            return
        costs = values[start : start + len(places)]
        if over:
            costs = [min(cost, over.get(start + i, NEVER)) for i, cost in enumerate(costs)]
        for before, cost in zip(places, costs, strict=True):
            if d + cost < distance[before]:
                distance[before] = d + cost
                heappush(lowered, (d + cost, before))
        least = d + min(costs) if needs else NEVER
        for k in needs:
            if least < distance[k]:
                distance[k] = least
                heappush(lowered, (least, k))
