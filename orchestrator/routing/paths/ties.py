"""Breaks ties between shortest paths: the one whose tool names come first."""

from collections.abc import Iterator

from orchestrator.routing.weights import NEVER

from .search import AStarSearch

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
    """For every place on a best path, the steps that lead on from it along one."""
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
