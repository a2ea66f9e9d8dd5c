"""A shortest path read off the distances to the goal, where these are exact; no search."""

from collections.abc import Collection

from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER

from .distances import Rooted
from .search import goes_on

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
        passed = [place for place in passed if goes_on(situation, place)]
    places = [*situation.free, *passed]
    behind: list[list[int]] = []
    steps: list[tuple[int, int]] = []
    found = corrected = 0
    while left := distance[places[0]] if len(places) == 1 else min([distance[p] for p in places], default=NEVER):
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
