"""Exact shortest paths: goal-rooted A* from where a run stands.

A path is a plan in which every step waits for one thing only; all else it needs is free. The search also notes the
least that a plan with a real join could cost: where that is more than the path found, the path is the best of all
plans.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace

from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER, SHIFT

from .distances import Ahead, Rooted


class AStarSearch:
    """One search. Beside the places of the graph there is one for each tool that runs although it counts as done.

    The heap holds (f, cost so far, place, n): the n-th way on from a place that is closed; with n = -1 a key to close;
    below that, a tool to close, which was started by start -2 - n.
    """

    def __init__(self, rooted: Rooted, situation: Situation) -> None:
        self.situation = situation
        self.distance = rooted.distance
        self.rooted = rooted
        self.goal = rooted.goal
        self.heap: list[tuple[int, int, int, int]] = []
        self.before: dict[int, int] = {}
        """Closed place -> cost of the best way to it."""
        self.parent: dict[int, tuple[int, int]] = {}
        """Closed place -> the place before it, and the start taken (-1 for none)."""
        self.expected: dict[tuple[int, int], int] = {}
        """The place before what waits to be closed: (tool's place, start) or (key, its cost so far)."""
        self.joined = NEVER
        """No plan with a join costs less."""
        self.beside = NEVER
        """No chain that begins at a place where the run is, by a tool that it cannot start yet, costs less."""
        self.limit: int | None = None
        """The search is over where everything left costs more; `None`: more than `joined`."""
        self.tied = False
        c = situation.compiled
        self.special = {place for start in situation.over for place in self._places_before(start)}
        """Places from which some way on has another cost in this run."""
        self.odd = bool(situation.rerun) or not c.plain
        self.known = {} if self.special else rooted.known
        """The ways on from a place, cheapest first, where that was asked for."""

    def _places_before(self, start: int) -> tuple[int, ...]:
        c = self.situation.compiled
        tool = c.tool_of(start)
        return (*(c.needs[tool] or (c.begin,)), *c.into[tool])

    def ways(self, place: int) -> Ahead:
        """The ways on from a place, cheapest first."""
        if not self.special:
            return self.rooted.ahead(place)
        special = place in self.special
        found = self.rooted.ways(place, self.situation.over) if special else self.rooted.ahead(place)
        self.known[place] = found
        return found

    def place_of(self, tool: int) -> int:
        """Where a run is when it has started `tool`: apart from having it for done without."""
        c = self.situation.compiled
        return c.begin + 1 + tool if tool in self.situation.rerun else c.tools + tool

    def tool_at(self, place: int) -> int:
        """The tool of a place."""
        c = self.situation.compiled
        return place - c.begin - 1 if place > c.begin else place - c.tools


_OUTSIDE = -1
"""Stands for every place that the run is at already."""


def first_by_names(search: AStarSearch) -> Iterator[tuple[int, int]]:
    """Of all best paths the one whose tools' names, sorted, come first."""
    onward = _onward(search)
    names = search.situation.compiled.names
    tools = sorted({step[0] for steps in onward.values() for step in steps}, key=names.__getitem__)
    bit = {tool: i for i, tool in enumerate(tools)}
    ways: dict[int, _Way] = {}
    far_first = sorted(onward, key=lambda place: search.before[place] if place != _OUTSIDE else -1, reverse=True)
    for place in far_first:
        for tool, start, places in sorted(onward[place], key=lambda way: (bit[way[0]], way[1])):
            later = None if search.goal in places else _first_of([ways[p] for p in places if p in ways])
            way = (1 << bit[tool] | (later[0] if later else 0), tool, start, later)
            ways[place] = _first_of([ways[place], way]) if place in ways else way
    rest: _Way | None = ways[_OUTSIDE]
    while rest is not None:
        _, tool, start, rest = rest
        yield tool, start


_Way = tuple[int, int, int, "_Way | None"]
"""The tools of a way on to the goal as bits; its first tool, with the start; the rest of it."""


def _first_of(ways: list[_Way]) -> _Way:
    """The one whose tools come first; all have the same number of them."""
    first = ways[0]
    for way in ways[1:]:
        differ = first[0] ^ way[0]
        if differ & -differ & way[0]:
            first = way
    return first


_Onward = dict[int, list[tuple[int, int, list[int]]]]
"""Place -> (tool, start, where that leads to)."""


def _onward(search: AStarSearch) -> _Onward:
    """For every place on a best path what goes on from it along one."""
    onward: _Onward = {}
    seen = {search.goal}
    stack = [search.goal]
    while stack:
        place = stack.pop()
        for tool, g in _givers(search, place):
            for previous, start in _tight(search, g, tool):
                steps = onward.setdefault(previous, [])
                if all(step[:2] != (tool, start) for step in steps):
                    steps.append((tool, start, _reached(search, tool, g)))
                if previous != _OUTSIDE and previous not in seen:
                    seen.add(previous)
                    stack.append(previous)
    return onward


def _givers(search: AStarSearch, place: int) -> list[tuple[int, int]]:
    """The tools by which a best path may have come to a place, and the cost after them."""
    c, before = search.situation.compiled, search.before
    g = before[place]
    if place >= c.tools:
        return [(search.tool_at(place), g)]
    return [(t, g) for t in c.producers[place] if c.target[t] == place or before.get(search.place_of(t)) == g]


def _reached(search: AStarSearch, tool: int, g: int) -> list[int]:
    """Where a best path is after a tool."""
    c, before = search.situation.compiled, search.before
    keys = [k for k in c.gives[tool] if before.get(k) == g]
    return keys if c.target[tool] < c.tools else [search.place_of(tool), *keys]


def _tight(search: AStarSearch, g: int, tool: int) -> Iterator[tuple[int, int]]:
    """The places from which `tool` is started on a path that has cost `g` with it, with the start."""
    situation, before = search.situation, search.before
    c, passed = situation.compiled, situation.passed
    if tool in situation.shut:
        return
    lacking = [k for k in c.needs[tool] if k not in situation.free]
    if not c.into[tool]:
        cost = situation.cost(tool)
        places = lacking or c.needs[tool] or (c.begin,)
        if len(lacking) < 2 and any(before.get(p, NEVER) + cost == g for p in places):
            yield lacking[0] if lacking else _OUTSIDE, tool
        return
    for source, start in zip(c.into[tool], c.starts(tool), strict=True):
        cost = situation.cost(start)
        if len(lacking) == 1 and source in passed:
            if before.get(lacking[0], NEVER) + cost == g:
                yield lacking[0], start
        elif not lacking and before.get(source, NEVER) + cost == g:
            yield (_OUTSIDE if source in passed else source), start


MAX_CORRECTIONS = 16
"""Distances that one walk may correct; a search is the quicker way where there are more."""

Walked = tuple[int, list[tuple[int, int]]]
"""What a path costs, and its (tool, start), first to last."""


def walk(rooted: Rooted, situation: Situation) -> Walked | None:
    """From the nearest place always to the nearest next.

    Where the way on is longer than the distance of a place says, the distance is corrected and the step before is
    looked at again (learning real-time A*: Korf, Artificial Intelligence 42, 1990). A walk that needs no correction is
    a best path. `None` when there are several of them, when this run may not start one of the tools, or when there is
    too much to correct. The distances must be up to date, and no tool may wait for two things.
    """
    c, shut, distance, known = situation.compiled, situation.shut, rooted.distance, rooted.known
    tools, target, gives = c.tools, c.target, c.gives
    passed: Collection[int] = situation.passed or (c.begin,)
    if len(passed) > MAX_CORRECTIONS:
        passed = [place for place in passed if _goes_on(situation, place)]
    places = [*situation.free, *passed]
    behind: list[list[int]] = []
    steps: list[tuple[int, int]] = []
    found = corrected = 0
    while left := min([distance[place] for place in places], default=NEVER):
        step: tuple[int, int] | None = None
        for place in places:
            if distance[place] == left:
                ways = known.get(place) or rooted.ahead(place)
                if ways and ways[0][0] == left:
                    if step or (len(ways) > 1 and ways[1][0] == left):
                        return None
                    step = ways[0][1:]
        if step is None:
            corrected += 1
            if left >= NEVER or corrected > MAX_CORRECTIONS:
                return None
            rooted.correct([place for place in places if distance[place] == left])
            if behind:
                places = behind.pop()
                steps.pop()
            continue
        if step[0] in shut:
            return None
        if not behind:
            found = left
        behind.append(places)
        steps.append(step)
        place = target[step[0]]
        places = [place] if place < tools else [place, *gives[step[0]]]
    return found, steps


@dataclass(slots=True)
class Path:
    """What a search found."""

    cost: int = NEVER
    """Of the best path, penalty for what it abandons included; `NEVER` when there is none."""
    starts: Sequence[tuple[int, int]] = ()
    """(tool, start), first to last."""
    joined: int = NEVER
    """No plan that is no path costs less."""


def shortest(rooted: Rooted, situation: Situation, goal_mask: int, limit: int | None = None) -> Path:
    """The best path from where the run stands to the root's goal.

    Where a plan with a join could cost less than any path, the search stops; with a `limit`, where no path costs less.
    """
    rooted.prepare(situation)
    if situation.compiled.plain and not (situation.rerun or situation.over or situation.stakes.names):
        walked = walk(rooted, situation)
        if walked is not None:
            return Path(*walked)
    search = AStarSearch(rooted, situation)
    search.limit = limit
    _begin(search, goal_mask)
    found = _run(search)
    rooted.work += len(search.before)
    if _teaches(situation):
        least = min(found, search.joined, search.beside)
        rooted.learn(_held(search), least if limit is None else min(least, limit))
    starts: tuple[tuple[int, int], ...] = ()
    if found < NEVER:
        starts = tuple(first_by_names(search) if search.tied else _trace(search))
    return Path(found, starts, search.joined)


def _begin(search: AStarSearch, goal_mask: int) -> None:
    """Put in every place from which the run can go on."""
    situation, distance, heap = search.situation, search.distance, search.heap
    c, stakes = situation.compiled, situation.stakes
    begin = situation.passed or (c.begin,)
    if not stakes.names:
        heap += [(distance[k], 0, k, -1) for k in situation.free if distance[k] < NEVER]
        heap += [(distance[p], 0, p, -1) for p in begin if distance[p] < NEVER and _goes_on(situation, p)]
    else:
        for place, origin in (*situation.free.items(), *((p, c.place_name(p)) for p in begin)):
            penalty = stakes.penalty(goal_mask | stakes.of_tool(origin))
            if penalty is not None and distance[place] < NEVER:
                heap.append((distance[place] + (penalty << SHIFT), penalty << SHIFT, place, -1))
    heapify(heap)


def _goes_on(situation: Situation, place: int) -> bool:
    """Whether a place that was passed leads to a tool that may start: most of a long run's do not."""
    c, shut = situation.compiled, situation.shut
    for tool, _, _ in c.onward(place):
        if tool not in shut:
            return True
    return bool(c.odd(place))


def _run(search: AStarSearch) -> int:
    """A*. Goes on until everything that could tie with the best path has been looked at; the cost of that path.

    Written as one loop: it is what a reroute consists of. What is nearest anyway is gone after without the heap.
    """
    heap, before, parent, distance = search.heap, search.before, search.parent, search.distance
    situation, odd, goal, known = search.situation, search.odd, search.goal, search.known
    c, shut, free = situation.compiled, situation.shut, situation.free
    tools, gives, out, target, limit, best = c.tools, c.gives, c.out, c.target, search.limit, NEVER
    follow: tuple[int, int, int, int] | None = None
    while heap or follow:
        if follow is None:
            f, g, place, n = heap[0]
        else:
            f, g, place, n = follow
        if f > best or f > (search.joined if limit is None else limit):
            break
        if n == -1:
            heappop(heap)
            best = _close(search, place, g, best)
            continue
        if n >= 0:
            here = known.get(place) or search.ways(place)
            e, tool, start = here[n]
            n += 1
            if follow is not None:
                follow = None
                if n < len(here):
                    heappush(heap, (g + here[n][0], g, place, n))
            elif n < len(here):
                heapreplace(heap, (g + here[n][0], g, place, n))
            else:
                heappop(heap)
            if tool in shut:
                continue
            source, place = place, target[tool]
            g += e - distance[place]
            if place < tools:
                if place in free:
                    continue
                if place not in before:
                    before[place] = g
                    parent[place] = (source, start)
                    if place == goal:
                        best = g
                        continue
                    here = known.get(place) or search.ways(place)
                    if odd:
                        _open_odd(search, place, g)
                    if here:
                        f = g + here[0][0]
                        if heap and f > heap[0][0]:
                            heappush(heap, (f, g, place, 0))
                        else:
                            follow = (f, g, place, 0)
                elif g == before[place]:
                    search.tied = True
                continue
            if odd:
                place = search.place_of(tool)
        else:
            heappop(heap)
            start = -2 - n
            source = search.expected[place, start]
            tool = search.tool_at(place)
        if place in before:
            if g == before[place]:
                search.tied = True
            continue
        before[place] = g
        parent[place] = (source, start)
        for k in gives[tool]:
            if k in free:
                continue
            if k in before:
                if before[k] == g:
                    search.tied = True
            elif k == goal:
                before[k] = best = g
                parent[k] = (place, -1)
            elif g + distance[k] <= f:
                before[k] = g
                parent[k] = (place, -1)
                here = known.get(k) or search.ways(k)
                if here:
                    heappush(heap, (g + here[0][0], g, k, 0))
                if odd:
                    _open_odd(search, k, g)
            elif distance[k] < NEVER:
                search.expected.setdefault((k, g), place)
                heappush(heap, (g + distance[k], g, k, -1))
        if out[tool] and place < c.begin:
            if odd:
                _open_odd(search, place, g)
            here = known.get(place) or search.ways(place)
            if here:
                f = g + here[0][0]
                if heap and f > heap[0][0]:
                    heappush(heap, (f, g, place, 0))
                else:
                    follow = (f, g, place, 0)
    return best


def _close(search: AStarSearch, place: int, g: int, best: int) -> int:
    """Close a place from which the run goes on, or a key that a tool had better ways on than; the best path so far."""
    if place in search.before:
        if g == search.before[place] and place in search.parent:
            search.tied = True
        return best
    search.before[place] = g
    if (place, g) in search.expected:
        search.parent[place] = (search.expected[place, g], -1)
    if place == search.goal:
        return g
    _open(search, place, g)
    return best


def _open(search: AStarSearch, place: int, g: int) -> None:
    """Put in the ways on from a place that is closed."""
    ways = search.ways(place)
    if ways:
        heappush(search.heap, (g + ways[0][0], g, place, 0))
    if search.odd:
        _open_odd(search, place, g)


def _open_odd(search: AStarSearch, place: int, g: int) -> None:
    """Put in the ways on to tools that wait for more than this place."""
    for tool, start in search.situation.compiled.odd(place):
        if tool in search.situation.shut:
            continue
        if start >= 0:
            _by_transition(search, tool, start, place, g)
        else:
            _from_one_of(search, tool, place, g)


def _reach(search: AStarSearch, tool: int, start: int, place: int, g: int) -> None:
    """Put in a tool to be closed."""
    g += search.situation.cost(start)
    f = g + search.distance[search.situation.compiled.target[tool]]
    if f < NEVER:
        here = search.place_of(tool)
        search.expected[here, start] = place
        heappush(search.heap, (f, g, here, -2 - start))


def _by_transition(search: AStarSearch, tool: int, start: int, place: int, g: int) -> None:
    """Go on by a transition to a tool that needs keys too."""
    situation = search.situation
    if all(k in situation.free for k in situation.compiled.needs[tool]):
        _reach(search, tool, start, place, g)
    else:
        _note_join(search, tool, g + situation.cost(start), place in situation.passed)


def _from_one_of(search: AStarSearch, tool: int, key: int, g: int) -> None:
    """Go on from a key to a tool that waits for more.

    What waits for this key only, and for a transition that leaves a place passed, is a path. From a free key the
    tools with transitions are left to the places that these leave.
    """
    situation = search.situation
    c, free = situation.compiled, situation.free
    alone = True
    for k in c.needs[tool]:
        if k != key and k not in free:
            alone = False
            break
    if not c.into[tool]:
        if alone:
            _reach(search, tool, tool, key, g)
        else:
            _note_join(search, tool, g + situation.cost(tool), key in free)
        return
    for place, start in zip(c.into[tool], c.starts(tool), strict=True):
        if alone and place in situation.passed and key not in free:
            _reach(search, tool, start, key, g)
        else:
            _note_join(search, tool, g + situation.cost(start), key in free)


def _note_join(search: AStarSearch, tool: int, g: int, free: bool) -> None:
    """A chain goes on here, but not a path. From a `free` place it is no plan: that one comes by what is lacking."""
    g += search.distance[search.situation.compiled.target[tool]]
    if free:
        search.beside = min(search.beside, g)
    else:
        search.joined = min(search.joined, g)


def _teaches(situation: Situation) -> bool:
    """Whether what a search found holds for every run: nothing was out for this run alone."""
    if situation.problem.unusable or situation.over or situation.stakes.names:
        return False
    gives, free = situation.compiled.gives, situation.free
    return all(k in free for t in situation.started for k in gives[t])


def _held(search: AStarSearch) -> dict[int, int]:
    """The places whose cost from the start says how far they are from the goal."""
    before, rerun, c = search.before, search.situation.rerun, search.situation.compiled
    if not rerun:
        return before
    return {place: g for place, g in before.items() if place <= c.begin and place - c.tools not in rerun}


def _trace(search: AStarSearch) -> Iterator[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    place = search.goal
    while place in search.parent:
        before, start = search.parent[place]
        if start >= 0:
            found.append((search.situation.compiled.tool_of(start), start))
        place = before
    return reversed(found)
