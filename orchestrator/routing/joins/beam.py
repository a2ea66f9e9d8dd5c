"""The search of a `Frontier`: decision by decision, the most promising states of each."""

from dataclasses import dataclass, field
from heapq import heappop, heappush

from orchestrator.routing.weights import NEVER

from .bounds import Frontier, Live

Trail = tuple["Trail", int] | None
"""The starts of a partial plan, last first."""
State = tuple[int, int, int, Trail]
"""(Cost so far, value of what is open, least that its decisions cost one by one, starts)."""


@dataclass
class Beam:
    """One search: `width` states are kept for each decision."""

    frontier: Frontier
    values: list[int]
    width: int
    best: int
    """The price of the best plan known."""
    plan: tuple[int, ...] | None
    """That plan; `None` when there is none."""
    dropped: int = NEVER
    """Lower bound of the price of plans through dropped states."""
    went: int = 0
    """Number of dropped states."""
    looked_at: int = 0
    waiting: dict[int, dict[int, State]] = field(default_factory=dict[int, dict[int, State]])
    """For each decision the states for which it is next, by what is open."""

    def run(self) -> None:
        """Search."""
        frontier = self.frontier
        self.effects = effects = len(frontier.situation.stakes.names)
        self.bits = [1 << (node + effects) for node in range(len(self.values))]
        """The bit of each decision in a state."""
        opened = sum(self.bits[node] for node in frontier.goal)
        value = sum(self.values[node] for node in frontier.goal)
        least = sum(frontier.least[node] for node in frontier.goal)
        first = max(frontier.goal)
        order = [-first]
        self.waiting[first] = {opened | frontier.goal_mask: (0, value, least, None)}
        while order:
            node = -heappop(order)
            for fresh in self._decide(node, self._keep(node)):
                heappush(order, -fresh)

    def _keep(self, node: int) -> list[tuple[int, State]]:
        """The states that are kept."""
        states = list(self.waiting.pop(node).items())
        if len(states) <= self.width:
            return states
        chain = self.frontier.chains[node]
        states.sort(key=self._promise if self.effects else lambda item: (item[1][0] + item[1][1], item[0]))
        self.went += len(states) - self.width
        least = min([cost + (least if least > chain else chain) for _, (cost, _, least, _) in states[self.width :]])
        self.dropped = min(self.dropped, least)
        return states[: self.width]

    def _promise(self, item: tuple[int, State]) -> tuple[bool, int, int]:
        state, (cost, value, _, _) = item
        price = self.frontier.price(cost + value, state & ((1 << self.effects) - 1))
        return price >= NEVER, price if price < NEVER else cost + value, state

    def _decide(self, node: int, states: list[tuple[int, State]]) -> list[int]:
        """Expand one decision by all its options; returns the newly opened decisions."""
        frontier, values, effects, best, waiting = self.frontier, self.values, self.effects, self.best, self.waiting
        leasts, chains, bits = frontier.least, frontier.chains, self.bits
        own_value, own_least, bit = values[node], leasts[node], bits[node]
        ways = [self._way(option) for option in frontier.live[node]]
        floor = 1 << effects
        fresh: list[int] = []
        self.looked_at += len(states)
        for state, (cost, value, least, trail) in states:
            state ^= bit
            value -= own_value
            least -= own_least
            for price, opens, v, m, needs, start in ways:
                c = cost + price
                m += least
                v += value
                both = state & opens
                if both:
                    for q in needs:
                        if both & bits[q]:
                            v -= values[q]
                            m -= leasts[q]
                if c + m > best:
                    continue
                after = state | opens
                if after < floor:
                    self._finish(c, after, (trail, start) if start >= 0 else trail)
                    best = self.best
                    continue
                top = after.bit_length() - 1 - effects
                if c + chains[top] > best:
                    continue
                if top not in waiting:
                    waiting[top] = {}
                    fresh.append(top)
                into = waiting[top]
                known = into.get(after)
                if known is None or c <= known[0]:
                    longer = (trail, start) if start >= 0 else trail
                    if known is None or c < known[0] or self._earlier(longer, known[3]):
                        into[after] = (c, v, m, longer)
        return fresh

    def _way(self, option: Live) -> tuple[int, int, int, int, tuple[int, ...], int]:
        """An option with the bits, the value and the least cost of what it opens."""
        cost, needs, start = option
        opens = self.frontier.effects_of(start) if self.effects else 0
        value = least = 0
        for q in needs:
            opens |= self.bits[q]
            value += self.values[q]
            least += self.frontier.least[q]
        return cost, opens, value, least, needs, start

    def _finish(self, cost: int, used: int, trail: Trail) -> None:
        cost = self.frontier.price(cost, used)
        if cost >= NEVER or cost > self.best:
            return
        plan = _starts(trail)
        if cost < self.best or self.plan is None or self._names(plan) < self._names(self.plan):
            self.best, self.plan = cost, plan

    def _earlier(self, one: Trail, other: Trail) -> bool:
        """Whether the one's names come before the other's."""
        return self._names(_starts(one)) < self._names(_starts(other))

    def _names(self, starts: tuple[int, ...]) -> tuple[list[str], list[tuple[str, int]]]:
        return self.frontier.situation.compiled.named(starts)


def _starts(trail: Trail) -> tuple[int, ...]:
    found: list[int] = []
    while trail is not None:
        trail, start = trail
        found.append(start)
    return tuple(found)
