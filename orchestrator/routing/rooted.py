"""`Rooted`: the distance of everything to one goal, kept as a lower bound while prices change.

One Dijkstra backwards from the goal gives every key and tool its distance. It stays a consistent heuristic for A* as
long as prices only rise; when one falls, what is now nearer is lowered again, from there backwards. After a search the
tools that it looked at are raised to what it found out. Both keep the heuristic consistent for the current prices
(generalized adaptive A*: Sun, Koenig, Yeoh, AAMAS 2008), so that every search is exact.

A tool that needs several keys is nearer to the goal by any of them: distances are along single chains. They bound what
any plan through that place still has to pay.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from .compiled import BEGIN
from .situation import Situation
from .weights import NEVER, Weights

REBUILD = 4
"""A root is made anew when searches have looked at this many times the places that making it took."""


class Rooted:
    """Distances to `goal` (a key's number). Places: keys, then tools, then `START`."""

    def __init__(self, weights: Weights, goal: int) -> None:
        self.weights = weights
        self.goal = goal
        c = weights.compiled
        self.tools = len(c.keys)
        """The place of tool 0."""
        self.begin = len(c.keys) + len(c.nodes)
        """The place of `START`."""
        self.distance: list[int] = []
        self.radius = 0
        """Places farther than this are known to be at least this far."""
        self.work = 0
        self._built = 0
        self._cursor = 0

    def prepare(self, situation: Situation) -> list[int]:
        """Bring the distances up to date for a search from `situation`; the distances of all places."""
        if self.work > REBUILD * self._built or not self._reaches(situation):
            self._build(situation)
        self._repair(situation)
        return self.distance

    def learn(self, places: Iterable[tuple[int, int]], found: int) -> None:
        """Raise the distances of places at (place, cost from the start): the goal is `found` from the start."""
        distance = self.distance
        if found >= NEVER:
            for place, _ in places:
                distance[place] = NEVER
            return
        for place, before in places:
            if found - before > distance[place]:
                distance[place] = found - before

    def _reaches(self, situation: Situation) -> bool:
        if not self.distance:
            return False
        if self.radius >= NEVER:
            return True
        distance, radius = self.distance, self.radius
        return (
            distance[self.begin] < radius
            or any(distance[k] < radius for k in situation.free)
            or any(distance[self.tools + t] < radius for t in situation.passed)
        )

    def _build(self, situation: Situation) -> None:
        """Dijkstra backwards from the goal until a place is met from which a run in `situation` could go on."""
        c, values, learn = self.weights.compiled, self.weights.values, self.weights.learn
        needs, into, producers = c.needs, c.into, c.producers
        self._cursor, _ = self.weights.prices.changes_since(self._cursor)
        tools, begin = self.tools, self.begin
        distance = [NEVER] * (begin + 1)
        stops = situation.free | {tools + t for t in situation.passed if c.out[t]} | {begin}
        distance[self.goal] = 0
        heap = [(0, self.goal)]
        radius = NEVER
        settled = 0
        while heap:
            d, place = heappop(heap)
            if d > distance[place]:
                continue
            if place in stops:
                radius = d
                break
            near = [place - tools] if place >= tools else [t for t in producers[place] if d < distance[tools + t]]
            for tool in near:
                distance[tools + tool] = d
                settled += 1
                if not into[tool]:
                    w = values[tool]
                    e = d + (w if w >= 0 else learn(tool))
                    if e < NEVER:
                        for k in needs[tool] or (begin,):
                            if e < distance[k]:
                                distance[k] = e
                                heappush(heap, (e, k))
                    continue
                least = NEVER
                for source, start in into[tool]:
                    w = values[start]
                    e = d + (w if w >= 0 else learn(start))
                    if e < NEVER:
                        least = min(least, e)
                        before = begin if source == BEGIN else tools + source
                        if e < distance[before]:
                            distance[before] = e
                            heappush(heap, (e, before))
                for k in needs[tool]:
                    if least < distance[k]:
                        distance[k] = least
                        heappush(heap, (least, k))
        self.radius = radius
        self.distance = distance if radius >= NEVER else [d if d < radius else radius for d in distance]
        self.work = 0
        self._built = settled + 1

    def _repair(self, situation: Situation) -> None:
        """Lower what has come nearer since the last search, here or for this run only."""
        self._cursor, changed = self.weights.prices.changes_since(self._cursor)
        if changed is None:
            self._build(situation)
            changed = ()
        tool = self.weights.compiled.tool
        touched = {tool[name] for name in changed if name in tool}
        touched.update(tool[name] for name in situation.problem.facts if name in tool)
        lowered: list[tuple[int, int]] = []
        for t in touched:
            self._lower(t, lowered, situation)
        heapify(lowered)
        distance, tools, producers = self.distance, self.tools, self.weights.compiled.producers
        while lowered:
            d, place = heappop(lowered)
            if d > distance[place] or place == self.begin:
                continue
            self.work += 1
            if place >= tools:
                self._lower(place - tools, lowered, situation)
                continue
            for t in producers[place]:
                if d < distance[tools + t]:
                    distance[tools + t] = d
                    self._lower(t, lowered, situation)

    def _lower(self, tool: int, lowered: list[tuple[int, int]], situation: Situation) -> None:
        """Lower the places before a tool where going on by it has become the nearer way."""
        c, distance, tools = self.weights.compiled, self.distance, self.tools
        d = distance[tools + tool]
        if d >= NEVER:
            return
        least = NEVER
        for source, start in c.into[tool]:
            e = d + self._cost(start, situation)
            least = min(least, e)
            before = self.begin if source == BEGIN else tools + source
            if e < distance[before]:
                distance[before] = e
                heappush(lowered, (e, before))
        if not c.into[tool]:
            least = d + self._cost(tool, situation)
        for k in c.needs[tool] or (() if c.into[tool] else (self.begin,)):
            if least < distance[k]:
                distance[k] = least
                heappush(lowered, (least, k))

    def _cost(self, start: int, situation: Situation) -> int:
        """The lower of the shared cost and this run's: a distance must hold for both."""
        shared = self.weights.values[start]
        if shared < 0:
            shared = self.weights.learn(start)
        return min(shared, situation.over.get(start, shared)) if situation.over else shared
