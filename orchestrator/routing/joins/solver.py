"""Plans with joins: good ones fast, the optimum if the search may examine enough states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.routing.situation import Situation
from orchestrator.routing.weights import NEVER

from .beam import Beam
from .bounds import Frontier
from .branch_and_bound import build_instance, cheapest, lower_bound
from .decisions import Skeleton

FIRST = 400
"""Divisor of the state limit: at first, this part of it is kept for each decision ..."""
LEAST = 2
"""... and at least this number."""
SHARE = 32
"""The search is completed if the first search makes it likely that this part of the states is enough."""
LAST_RESORT = 2000
"""States kept when no plan was found that abandons only permitted effects."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The best plan found."""

    cost: int
    starts: tuple[int, ...]
    bound: int
    """No plan costs less."""


def best_plan(
    skeleton: Skeleton, situation: Situation, states: int, costs: Mapping[int, int] | None = None
) -> Joined | None:
    """The cheapest plan that a search of about so many states finds; `None` when there is none.

    `costs` are costs by start in place of the situation's own.
    """
    goal, mask = situation.open_goal()
    frontier = Frontier(skeleton, situation, goal, mask, costs)
    found: Joined | None = None
    if frontier.solvable:
        found = _search(frontier, states) if goal else _nothing_to_do(frontier)
    if frontier.whole:
        return found
    return _prove(situation, states, found, costs)


def _nothing_to_do(frontier: Frontier) -> Joined | None:
    cost = frontier.price(0, 0)
    return None if cost >= NEVER else Joined(cost, (), cost)


def _search(frontier: Frontier, states: int) -> Joined | None:
    cost, starts, takers = _first_plan(frontier)
    values, picks = frontier.divided(takers)
    again = frontier.follow(picks)
    if again[0] < cost:
        cost, starts, takers = again
        values, _ = frontier.divided(takers)
    promise = [(value + 3 * least) // 4 for value, least in zip(values, frontier.least, strict=True)]
    narrow = max(LEAST, states // FIRST)
    beam = Beam(frontier, promise, narrow, cost, None if cost >= NEVER else starts)
    beam.run()
    width = states if beam.looked_at + 2 * beam.went <= states // SHARE else 0
    if beam.plan is None:
        width = max(states, LAST_RESORT)
    if beam.went and width > narrow:
        beam = Beam(frontier, promise, width, beam.best, beam.plan)
        beam.run()
    if beam.plan is None:
        return None
    chain = max(frontier.chains[node] for node in frontier.goal)
    return Joined(beam.best, beam.plan, min(beam.best, max(beam.dropped, chain)))


def _first_plan(frontier: Frontier) -> tuple[int, tuple[int, ...], list[int]]:
    by_sum = frontier.follow(frontier.by_sum)
    by_chain = frontier.follow(frontier.by_chain)
    return by_chain if by_chain[0] < by_sum[0] else by_sum


def _prove(situation: Situation, states: int, found: Joined | None, costs: Mapping[int, int] | None) -> Joined | None:
    """If tools produce each other's inputs: examine all plans if they are few, else bound the quality of this one."""
    instance = build_instance(situation, None if costs is None else costs.__getitem__)
    if not instance.solvable:
        return None
    if found is not None and len(instance.tool) ** 2 > states:
        return Joined(found.cost, found.starts, min(found.cost, lower_bound(instance)))
    number = {start: a for a, start in enumerate(instance.start)}
    known = None if found is None else (found.cost, tuple(sorted(number[start] for start in found.starts)))
    best, proven = cheapest(instance, states, known)
    if best is None:
        return None
    starts = tuple(instance.start[a] for a in best[1])
    return Joined(best[0], starts, best[0] if proven else min(best[0], lower_bound(instance)))


def named(situation: Situation, starts: Sequence[int]) -> tuple[list[str], list[tuple[str, int]]]:
    """The key for ties: the tools in the order of their names, then how they are started."""
    return situation.compiled.named(starts)
