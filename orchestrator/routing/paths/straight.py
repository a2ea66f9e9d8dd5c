"""The rest of a shortest path, read off the distances to the goal where these are exact; no search."""

from orchestrator.routing.weights import NEVER

from .search import AStarSearch

Steps = list[tuple[int, int]]
"""(tool, start), first to last."""


def ends_straight(search: AStarSearch, place: int, f: int) -> bool:
    """Whether the search is over: from this place, the nearest, the rest of the one best path is known.

    A search that found none looks for one again only after it has closed as many places as were looked at. One that has
    reached the goal goes on: the path found costs as much as this one, or less.
    """
    if search.tied or search.goal in search.before or (search.heap and search.heap[0][0] <= f):
        return False
    steps, whole = straight(search, place)
    if whole:
        search.end, search.rest = place, steps
    else:
        search.tried = len(search.before) + len(steps)
    return whole


def straight(search: AStarSearch, place: int) -> tuple[Steps, bool]:
    """The one shortest path from a place that is closed, always by the nearest next; whether it leads to the goal.

    Each distance on the way must be what the nearest way on says; then no other path is as short. The steps end before
    the goal where one is not, where two ways are as near, or where this run cannot continue by the nearest. No tool may
    wait for two things.
    """
    situation, distance, known = search.situation, search.distance, search.known
    before, goal = search.before, search.goal
    c, shut, free = situation.compiled, situation.shut, situation.free
    tools, target, out, gives = c.tools, c.target, c.out, c.gives
    steps: Steps = []
    here = known.get(place) or search.ways(place)
    expected = here[0][0] if here else NEVER
    while here:
        left, tool, start = here[0]
        if left != expected or (len(here) > 1 and here[1][0] == left) or tool in shut:
            return steps, False
        steps.append((tool, start))
        place = target[tool]
        if place in before:
            return steps, False
        expected = distance[place]
        if place < tools:
            if place == goal:
                return steps, True
            if place in free:
                return steps, False
        else:
            if not expected:
                return steps, True
            onward = place if out[tool] else -1
            for k in gives[tool]:
                if distance[k] <= expected:
                    if onward >= 0 or k in free or k in before:
                        return steps, False
                    onward = k
            if onward < 0:
                return steps, False
            place = onward
        here = known.get(place) or search.ways(place)
    return steps, False
