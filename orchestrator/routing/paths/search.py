"""The state of one A* search, and the places where a run can continue."""

from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER

from .distances import Ahead, Rooted


class AStarSearch:
    """One search. Beside the places of the graph there is one for each tool that runs although it counts as done.

    The heap holds (f, cost so far, place, n): the n-th way on from a place that is closed; with n = -1 a place to
    close; below that, a tool to close, which was started by start -2 - n.
    """

    __slots__ = (
        "before",
        "beside",
        "direct",
        "distance",
        "end",
        "expected",
        "goal",
        "heap",
        "joined",
        "known",
        "limit",
        "odd",
        "parent",
        "rest",
        "rooted",
        "situation",
        "special",
        "tied",
        "tried",
        "ways",
    )

    def __init__(self, rooted: Rooted, situation: Situation, limit: int | None = None) -> None:
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
        self.limit = limit
        """The search is over where everything left costs more; `None`: more than `joined`."""
        self.tied = False
        self.special: set[int] | None = None
        """Places from which some way on has another cost in this run."""
        if situation.over:
            self.special = {place for start in situation.over for place in self._places_before(start)}
        self.odd = bool(situation.rerun or situation.compiled.double)
        """Whether a tool may wait for two things, or run although it counts as done."""
        self.known = rooted.known if self.special is None else {}
        """The ways on from a place, cheapest first, where that was asked for."""
        self.ways = rooted.ahead if self.special is None else self._ways
        """The ways on from a place, cheapest first."""
        self.direct = not self.odd and self.special is None and limit is None
        """Whether the rest of the best path may be read off the distances."""
        self.end = rooted.goal
        """The place at which the search ended: the goal, or one from which the rest is known ..."""
        self.rest: list[tuple[int, int]] = []
        """... and is this."""
        self.tried = -1
        """The rest is not looked for again before more than so many places are closed."""

    def _places_before(self, start: int) -> tuple[int, ...]:
        c = self.situation.compiled
        tool = c.tool_of(start)
        return (*(c.needs[tool] or (c.begin,)), *c.into[tool])

    def _ways(self, place: int) -> Ahead:
        special = self.special is not None and place in self.special
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
