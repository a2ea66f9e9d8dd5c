"""Exact shortest paths: goal-rooted A* from the state of a run.

A path is a plan in which every step waits for one thing only; all else it needs is free. The search also notes the
least that a plan with a real join could cost: if that is more than the path found, the path is the best of all plans.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace

from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER, SHIFT

from .distances import Rooted
from .search import AStarSearch
from .straight import ends_straight
from .ties import first_by_names

FEW = 8
"""Up to this number of start places, successors are not checked."""


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
    """The best path from the current state of the run to the root's goal.

    Where a plan with a join could cost less than any path, the search stops; with a `limit`, where no path costs less.
    """
    rooted.prepare(situation)
    search = AStarSearch(rooted, situation, limit)
    _begin(search, goal_mask)
    found = _run(search)
    rooted.work += len(search.before)
    if (len(search.before) > 1 or found >= NEVER) and _teaches(situation):  # else the path was read off the distances
        least = min(found, search.joined, search.beside)
        rooted.learn(_held(search), least if limit is None else min(least, limit))
    starts: Sequence[tuple[int, int]] = ()
    if found < NEVER:
        starts = tuple(first_by_names(search)) if search.tied else _trace(search)
    return Path(found, starts, search.joined)


def _begin(search: AStarSearch, goal_mask: int) -> None:
    """Add every place from which the run can continue."""
    situation, distance, heap = search.situation, search.distance, search.heap
    c, stakes = situation.compiled, situation.stakes
    begin: Collection[int] = situation.passed or (c.begin,)
    if stakes.names:
        for place, origin in (*situation.free.items(), *((p, c.place_name(p)) for p in begin)):
            penalty = stakes.penalty(goal_mask | stakes.of_tool(origin))
            if penalty is not None and distance[place] < NEVER:
                heap.append((distance[place] + (penalty << SHIFT), penalty << SHIFT, place, -1))
    else:
        heap += [(distance[k], 0, k, -1) for k in situation.free if distance[k] < NEVER]
        if len(begin) > FEW:  # most places of a long run have no usable successor
            successors, shut = c.successors, situation.shut
            begin = [p for p in begin if not successors(p) <= shut]
        heap += [(distance[p], 0, p, -1) for p in begin if distance[p] < NEVER]
    if len(heap) > 1:
        heapify(heap)


def _run(search: AStarSearch) -> int:
    """A*. Goes on until everything that could tie with the best path has been looked at; the cost of that path.

    Written as one loop: it is what a reroute consists of. The nearest place is expanded without the heap, and the
    search ends where the rest of the path is known.
    """
    heap, before, parent, distance = search.heap, search.before, search.parent, search.distance
    situation, odd, goal, known, direct = search.situation, search.odd, search.goal, search.known, search.direct
    c, shut, free, expected = situation.compiled, situation.shut, situation.free, search.expected
    tools, out, target, limit, best = c.tools, c.out, c.target, search.limit, NEVER
    follow: tuple[int, int, int, int] | None = None
    while heap or follow:
        f, g, place, n = follow or heap[0]
        if f > best or f > (search.joined if limit is None else limit):
            break
        if n == -1:
            heappop(heap)
            if place in before:
                if g == before[place] and place in parent:
                    search.tied = True
                continue
            before[place] = g
            if expected and (place, g) in expected:
                parent[place] = (expected[place, g], -1)
            if place == goal:
                best = g
                continue
        else:
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
                if odd and place >= tools:
                    place = search.place_of(tool)
            else:
                heappop(heap)
                start = -2 - n
                source = expected[place, start]
                tool = search.tool_at(place)
            if place in before:
                if g == before[place]:
                    search.tied = True
                continue
            if place < tools:
                if place in free:
                    continue
                before[place] = g
                parent[place] = (source, start)
                if place == goal:
                    best = g
                    continue
            else:
                before[place] = g
                parent[place] = (source, start)
                best = _give(search, tool, place, f, g, best)
                if not out[tool] or place > c.begin:
                    continue
        if odd:
            _open_odd(search, place, g)
        here = known.get(place) or search.ways(place)
        if here:
            f = g + here[0][0]
            if heap and (f > heap[0][0] or (direct and f == heap[0][0])):
                heappush(heap, (f, g, place, 0))
            elif direct and len(before) > search.tried and ends_straight(search, place, f):
                return f
            else:
                follow = (f, g, place, 0)
    return best


def _give(search: AStarSearch, tool: int, place: int, f: int, g: int, best: int) -> int:
    """Close the keys that a tool gives, or put them in; the best path so far."""
    situation, before, parent, distance = search.situation, search.before, search.parent, search.distance
    for k in situation.compiled.gives[tool]:
        if distance[k] >= NEVER or k in situation.free:
            continue
        if k in before:
            if before[k] == g:
                search.tied = True
        elif k == search.goal:
            before[k] = best = g
            parent[k] = (place, -1)
        elif g + distance[k] <= f:
            before[k] = g
            parent[k] = (place, -1)
            here = search.known.get(k) or search.ways(k)
            if here:
                heappush(search.heap, (g + here[0][0], g, k, 0))
            if search.odd:
                _open_odd(search, k, g)
        else:
            search.expected.setdefault((k, g), place)
            heappush(search.heap, (g + distance[k], g, k, -1))
    return best


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
    """Extend the path by a transition to a tool that needs keys too."""
    situation = search.situation
    if all(k in situation.free for k in situation.compiled.needs[tool]):
        _reach(search, tool, start, place, g)
    else:
        _note_join(search, tool, g + situation.cost(start), place in situation.passed)


def _from_one_of(search: AStarSearch, tool: int, key: int, g: int) -> None:
    """Extend the path from a key to a tool that waits for more.

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
    """A chain continues here, but not a path. From a `free` place it is no plan: that one comes by what is lacking."""
    g += search.distance[search.situation.compiled.target[tool]]
    if free:
        search.beside = min(search.beside, g)
    else:
        search.joined = min(search.joined, g)


def _teaches(situation: Situation) -> bool:
    """Whether the result of a search holds for every run: no tool was unusable only for this run."""
    if situation.problem.unusable or situation.over or situation.stakes.names:
        return False
    gives, free = situation.compiled.gives, situation.free
    for tool in situation.started:
        for k in gives[tool]:
            if k not in free:
                return False
    return True


def _held(search: AStarSearch) -> dict[int, int]:
    """The places whose cost from the start determines their distance to the goal."""
    before, rerun, c = search.before, search.situation.rerun, search.situation.compiled
    if not rerun:
        return before
    return {place: g for place, g in before.items() if place <= c.begin and place - c.tools not in rerun}


def _trace(search: AStarSearch) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    place = search.end
    while place in search.parent:
        before, start = search.parent[place]
        if start >= 0:
            found.append((search.situation.compiled.tool_of(start), start))
        place = before
    found.reverse()
    return found + search.rest
