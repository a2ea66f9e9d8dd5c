"""`Frontier`: the open decisions of a search state, each with a lower bound of its cost."""

from collections.abc import Mapping, Sequence

from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER

from .cycles import untangled
from .decisions import ProducerOption, Skeleton

ENOUGH = 1 << 190
"""Sums may double with every layer; they are cut off here."""

Live = tuple[int, tuple[int, ...], int]
"""An option that is open to this run: (cost, nodes it opens that are not free, start or -1)."""
Picks = list[Live | None]
"""For each node the option taken."""


class Frontier:
    """A skeleton without free parts, with lower bounds of values.

    Decisions are taken from the goal, so that every possible consumer of a node is decided before it. If options had to
    be left out for such an order, because tools produce each other's inputs, the frontier is not `whole`: a plan found
    on it proves no bound.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        situation: Situation,
        goal: Sequence[int],
        goal_mask: int,
        costs: Mapping[int, int] | None = None,
    ) -> None:
        self.situation = situation
        self.goal_mask = goal_mask
        over = situation.over if costs is None else costs
        self.whole = True
        wanted = [skeleton.key_node[k] for k in goal]
        nodes: list[int] | None = wanted
        options = skeleton.options
        self.free = bytearray(len(options))
        if not skeleton.acyclic:
            options, nodes, self.whole = untangled(skeleton, situation, wanted, over)
            self.free = bytearray(len(options))
        else:
            for k in situation.free:
                node = skeleton.key_node.get(k)
                if node is not None:
                    self.free[node] = 1
        size = len(options)
        self.live: list[list[Live]] = [[] for _ in range(size)]
        self.sums = [0] * size
        """The cost of each node by sums."""
        self.chains = [0] * size
        """The least cost of each node: the longest chain."""
        self.least = [0] * size
        """The cheapest option of each node."""
        self.by_sum: Picks = [None] * size
        self.by_chain: Picks = [None] * size
        self._read(options, over)
        self.goal = nodes or []
        self.solvable = nodes is not None and all(self.chains[node] < NEVER for node in nodes)
        """Whether the goal can be reached."""

    def _read(self, skeleton: list[list[ProducerOption]], over: Mapping[int, int]) -> None:
        """What is open to this run, with all values, from below."""
        situation, free, sums, chains = self.situation, self.free, self.sums, self.chains
        values, shut, passed = situation.weights.values, situation.shut, situation.passed
        before, any_free = situation.compiled.before, any(free)
        for node, options in enumerate(skeleton):
            if free[node]:
                continue
            least_sum = least_chain = least_cost = NEVER
            live = self.live[node]
            for start, tool, opens, source in options:
                if tool in shut:
                    continue
                cost = 0
                if start >= 0:
                    cost = over.get(start, values[start]) if over else values[start]
                    if source >= 0 and before(start) not in passed:
                        opens = (*opens, source)
                chain = 0
                total = cost
                for q in opens:
                    total += sums[q]
                    if chains[q] > chain:
                        chain = chains[q]
                chain += cost
                if chain >= NEVER:
                    continue
                option = (cost, tuple([q for q in opens if not free[q]]) if any_free else opens, start)
                live.append(option)
                if total < least_sum:
                    least_sum = total
                    self.by_sum[node] = option
                if chain < least_chain:
                    least_chain = chain
                    self.by_chain[node] = option
                if cost < least_cost:
                    least_cost = cost
            sums[node] = least_sum if least_sum < ENOUGH or least_chain >= NEVER else ENOUGH
            chains[node], self.least[node] = least_chain, least_cost

    def effects_of(self, start: int) -> int:
        """The completed effects on which this start depends."""
        return self.situation.effects_of(start) if start >= 0 else 0

    def price(self, cost: int, used: int) -> int:
        """A cost with what leaving the effects outside `used` adds; `NEVER` when they cannot be left."""
        return self.situation.with_penalty(cost, used | self.goal_mask)

    def follow(self, picks: Picks) -> tuple[int, tuple[int, ...], list[int]]:
        """The plan that these picks are: its price, its starts, and how many take from each node."""
        takers = [0] * len(self.free)
        for node in self.goal:
            takers[node] = 1
        cost = used = 0
        starts: list[int] = []
        for node in range(max(self.goal, default=-1), -1, -1):
            if takers[node] and not self.free[node]:
                option = picks[node]
                assert option is not None, "only what can be had is taken"
                cost += option[0]
                if option[2] >= 0:
                    starts.append(option[2])
                    used |= self.effects_of(option[2])
                for q in option[1]:
                    takers[q] += 1
        return self.price(cost, used), tuple(starts), takers

    def divided(self, takers: Sequence[int]) -> tuple[list[int], Picks]:
        """Values by sums where what several take is divided among them, and the picks that they lead to."""
        values = [0] * len(self.free)
        picks: Picks = [None] * len(self.free)
        for node, live in enumerate(self.live):
            least = NEVER
            for option in live:
                total = option[0]
                for q in option[1]:
                    total += values[q] // takers[q] if takers[q] > 1 else values[q]
                if total < least:
                    least = total
                    picks[node] = option
            values[node] = min(least, ENOUGH) if picks[node] is not None else 0
        return values, picks
