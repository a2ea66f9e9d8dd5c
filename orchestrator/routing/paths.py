"""Exact shortest paths: goal-rooted A* from where a run stands.

A path is a plan in which every step waits for one thing only; all else it needs is free. The search also notes the
least that a plan with a real join could cost: where that is more than the path found, the path is the best of all
plans.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from .compiled import BEGIN
from .rooted import Rooted
from .situation import Situation
from .weights import NEVER, SHIFT


@dataclass(slots=True)
class Path:
    """What a search found."""

    cost: int = NEVER
    """Of the best path, penalty for what it abandons included; `NEVER` when there is none."""
    starts: tuple[tuple[int, int], ...] = ()
    """(tool, start), first to last."""
    joined: int = NEVER
    """No plan that is no path costs less."""
    looked_at: int = 0
    """Places that were looked at."""


@dataclass(slots=True)
class _Search:
    situation: Situation
    distance: list[int]
    goal: int
    tools: int
    begin: int
    heap: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    before: dict[int, int] = field(default_factory=dict[int, int])
    """Place -> cost of the best way to it."""
    parent: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    """Place -> the place before it, and the start taken (-1 for none)."""
    opened: set[int] = field(default_factory=set[int])
    joined: int = NEVER
    tied: bool = False
    rerun: set[int] = field(default_factory=set[int])
    """Tools that count as done because their value was provided, and may run all the same for another key."""

    def place_of(self, tool: int) -> int:
        """Where a run is when it has started `tool`: apart from having it for done without."""
        return self.begin + 1 + tool if tool in self.rerun else self.tools + tool

    def tool_at(self, place: int) -> int:
        """The tool of a place."""
        return place - self.begin - 1 if place > self.begin else place - self.tools


def shortest(rooted: Rooted, situation: Situation, goal_mask: int) -> Path:
    """The best path from where the run stands to the root's goal."""
    distance = rooted.prepare(situation)
    search = _Search(situation, distance, rooted.goal, rooted.tools, rooted.begin)
    search.rerun = situation.passed - situation.started
    _begin(search, goal_mask)
    found = _run(search)
    rooted.work += len(search.opened)
    if _teaches(situation):
        before = search.before
        known = [p for p in search.opened if p <= search.begin and p - search.tools not in search.rerun]
        rooted.learn([(place, before[place]) for place in known], min(found, search.joined))
    path = Path(found, joined=search.joined, looked_at=len(search.opened))
    if found < NEVER:
        path.starts = tuple(_trace_tied(search) if search.tied else _trace(search))
    return path


def _begin(search: _Search, goal_mask: int) -> None:
    """Put in every place from which the run can go on."""
    situation, stakes, distance = search.situation, search.situation.stakes, search.distance
    c = situation.compiled
    names = c.names
    places = [(k, origin) for k, origin in situation.origin.items()]
    places += [(search.tools + t, names[t]) for t in situation.passed if c.out[t]]
    places.append((search.begin, None))
    for place, origin in places:
        if distance[place] < NEVER:
            penalty = stakes.penalty(goal_mask | stakes.of_tool(origin)) if stakes.names else 0
            if penalty is not None:
                search.before[place] = penalty << SHIFT
                heappush(search.heap, (distance[place] + (penalty << SHIFT), place))


def _run(search: _Search) -> int:
    """A*. Goes on until everything that could tie with the best path has been looked at; the cost of that path."""
    heap, before, distance, tools = search.heap, search.before, search.distance, search.tools
    begin, opened, gives = search.begin, search.opened, search.situation.compiled.gives
    free, parent = search.situation.free, search.parent
    best = NEVER
    while heap:
        f, place = heappop(heap)
        if f > best:
            break
        if place in opened:
            continue
        opened.add(place)
        g = before[place]
        if place < tools:
            best = _from_key(search, place, g, best)
        elif place == begin:
            for t in search.situation.compiled.rootless:
                _reach(search, t, t, place, g)
            for t, start in search.situation.compiled.entries:
                _by_transition(search, t, start, place, g)
        else:
            tool = search.tool_at(place)
            for k in gives[tool] if place > begin or tool not in search.situation.passed else ():
                if k in free:
                    continue
                known = before.get(k)
                if known is None or g < known:
                    before[k] = g
                    parent[k] = (place, -1)
                    if g + distance[k] <= f:
                        opened.add(k)
                        best = _from_key(search, k, g, best)
                    else:
                        heappush(heap, (g + distance[k], k))
                elif g == known:
                    search.tied = True
            for t, start in search.situation.compiled.out[tool] if place < begin else ():
                _by_transition(search, t, start, place, g)
    return best


def _from_key(search: _Search, key: int, g: int, best: int) -> int:
    """Go on from a key to the tools that take it; the cost of the best path so far."""
    if key == search.goal:
        return min(best, g)
    situation = search.situation
    c, free, shut, over = situation.compiled, situation.free, situation.shut, situation.over
    needs, into, values = c.needs, c.into, situation.weights.values
    before, parent, heap, distance, tools = search.before, search.parent, search.heap, search.distance, search.tools
    rerun = search.rerun
    for tool in c.consumers[key]:
        if tool in shut:
            continue
        if into[tool]:
            _gated_by_key(search, tool, key, g)
            continue
        if len(needs[tool]) > 1 and not all(k == key or k in free for k in needs[tool]):
            if key not in free:
                _note_join(search, tool, g + situation.cost(tool))
            continue
        w = values[tool]
        if w < 0 or over:
            w = situation.cost(tool)
        h = distance[tools + tool]
        place = tools + tool if tool not in rerun else search.place_of(tool)
        if h >= NEVER or w >= NEVER:
            continue
        w += g
        known = before.get(place)
        if known is None or w < known:
            before[place] = w
            parent[place] = (key, tool)
            heappush(heap, (w + h, place))
        elif w == known:
            search.tied = True
    return best


def _reach(search: _Search, tool: int, start: int, place: int, g: int) -> None:
    """Note a way to a tool, if it is the best so far."""
    situation = search.situation
    if tool in situation.shut:
        return
    w = g + situation.cost(start)
    here = search.place_of(tool)
    h = search.distance[search.tools + tool]
    if w >= NEVER or h >= NEVER:
        return
    known = search.before.get(here)
    if known is None or w < known:
        search.before[here] = w
        search.parent[here] = (place, start)
        heappush(search.heap, (w + h, here))
    elif w == known:
        search.tied = True


def _by_transition(search: _Search, tool: int, start: int, place: int, g: int) -> None:
    """Go on by a transition; what else the tool needs must be free."""
    situation = search.situation
    if all(k in situation.free for k in situation.compiled.needs[tool]):
        _reach(search, tool, start, place, g)
    elif tool not in situation.shut and not _starts_free(search, place):
        _note_join(search, tool, g + situation.cost(start))


def _gated_by_key(search: _Search, tool: int, key: int, g: int) -> None:
    """Go on from a key to a tool with transitions: a path where one of them leaves a place that is passed."""
    situation = search.situation
    c, free = situation.compiled, situation.free
    if key in free:
        return
    alone = all(k == key or k in free for k in c.needs[tool])
    for source, start in c.into[tool]:
        if alone and (source == BEGIN or source in situation.passed):
            _reach(search, tool, start, key, g)
        else:
            _note_join(search, tool, g + situation.cost(start))


def _note_join(search: _Search, tool: int, g: int) -> None:
    search.joined = min(search.joined, g + search.distance[search.tools + tool])


def _starts_free(search: _Search, place: int) -> bool:
    return place == search.begin or place - search.tools in search.situation.passed


def _teaches(situation: Situation) -> bool:
    """Whether what a search found holds for every run: nothing was out for this run alone."""
    if situation.problem.unusable or situation.over or situation.stakes.names:
        return False
    c = situation.compiled
    return all(k in situation.free for t in situation.started for k in c.gives[t])


def _trace(search: _Search) -> Iterator[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    place = search.goal
    while place in search.parent:
        before, start = search.parent[place]
        if start >= 0:
            found.append((search.tool_at(place), start))
        place = before
    return reversed(found)


def _trace_tied(search: _Search) -> Iterator[tuple[int, int]]:
    """Of all best paths the one whose tools' names come first, read from the start."""
    onward = _onward(search)
    places = [_OUTSIDE]
    while search.goal not in places:
        tool, start = min(step for place in places for step in onward.get(place, ()))
        yield tool, start
        here = search.place_of(tool)
        g = search.before[here]
        places = [here, *(k for k in search.situation.compiled.gives[tool] if search.before.get(k) == g)]


_OUTSIDE = -1
"""Stands for every place that the run is at already."""


def _onward(search: _Search) -> dict[int, list[tuple[int, int]]]:
    """For every place on a best path the (tool, start) that go on from it along one."""
    c, before = search.situation.compiled, search.before
    onward: dict[int, list[tuple[int, int]]] = {}
    seen = {search.goal}
    stack = [search.goal]
    while stack:
        place = stack.pop()
        if place < search.tools:
            givers = [search.place_of(t) for t in c.producers[place]]
            here = [p for p in givers if before.get(p) == before[place] and p in search.opened]
        else:
            here = [place]
        for p in here:
            tool = search.tool_at(p)
            for previous, start in _tight(search, p, tool):
                steps = onward.setdefault(previous, [])
                if (tool, start) not in steps:
                    steps.append((tool, start))
                if previous != _OUTSIDE and previous not in seen:
                    seen.add(previous)
                    stack.append(previous)
    return onward


def _tight(search: _Search, place: int, tool: int) -> Iterator[tuple[int, int]]:
    """The places from which `tool` is started on a best path, with the start."""
    situation, before = search.situation, search.before
    c = situation.compiled
    lacking = [k for k in c.needs[tool] if k not in situation.free]
    for source, start in c.into[tool] or ((None, tool),):
        cost = situation.cost(start)
        passed = source is None or source == BEGIN or source in situation.passed
        if len(lacking) == 1 and passed:
            if before.get(lacking[0], NEVER) + cost == before[place]:
                yield lacking[0], start
        elif not lacking and source is not None:
            origin = search.begin if source == BEGIN else search.tools + source
            if before.get(origin, NEVER) + cost == before[place]:
                yield (_OUTSIDE if passed else origin), start
        elif not lacking:
            origins = list(c.needs[tool]) or [search.begin]
            if any(before.get(k, NEVER) + cost == before[place] for k in origins):
                yield _OUTSIDE, start
