"""The prior competence of an agent, from its price."""

import math
from collections.abc import Collection, Iterable
from typing import Protocol

from orchestrator.selection.skills.evidence import NOTHING, Evidence

STRENGTH = 5.0
"""Weight of a declaration, in observed calls."""
UNDECLARED = (1.0, 3.0)
"""Prior of a skill that an agent could have declared and did not: it may have it, but probably does not."""
UNKNOWN = 2.0
"""Weight of the prior of a skill that an agent could not have declared, in calls, before it has a record."""
TRANSFER = 8.0
"""Maximum weight, in calls, of an agent's record in other skills for a skill that it does not declare; also the weight
of its price beside that record.
"""
PRICE_TELLS = 0.2
"""Prior difference in competence of an agent that is ten times as expensive; twice that for the longest work, nothing
for the shortest.
"""


class Priced(Protocol):
    """What has a cost and gives keys: an agent, or its entry in the record of a run."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def gives(self) -> Collection[str]:
        """The keys that it gives."""
        ...

    def planned_cost(self) -> float:
        """Declared US dollars per call."""
        ...


def prior(
    declared: float | None, elsewhere: Evidence = NOTHING, *, passed_over: bool = True, relative_price: float = 0.0
) -> tuple[float, float]:
    """The Beta prior (a, b) of one skill.

    A declaration d in [0, 1] weighs five calls: d = 1 is Beta(4, 1), d = 0 is Beta(0.5, 4.5). Without a declaration,
    the agent's record `elsewhere` is used, as at most eight calls (a power prior: Ibrahim and Chen, 2000). If the agent
    could have declared the skill, the prior of an undeclared skill is added. If it could not, the record is first
    shrunk towards the prior of its `relative_price`, with the weight of eight calls.
    """
    if declared is not None:
        a = 0.5 + 3.5 * declared
        return a, STRENGTH - a
    total = elsewhere.total
    if passed_over:
        factor = min(1.0, TRANSFER / total) if total > 0 else 0.0
        return UNDECLARED[0] + factor * elsewhere.successes, UNDECLARED[1] + factor * elsewhere.failures
    mean = (TRANSFER * by_price(relative_price) + elsewhere.successes) / (TRANSFER + total)
    worth = min(TRANSFER, UNKNOWN + total)
    return worth * mean, worth * (1 - mean)


def by_price(relative_price: float) -> float:
    """The expected competence of an agent of which only the relative price, in [-1, 1], is known."""
    return 0.5 + price_prior(relative_price)


def price_prior(relative_price: float) -> float:
    """How much the price of an agent changes its expected competence."""
    return PRICE_TELLS * relative_price


def relative_prices(agents: Iterable[Priced]) -> dict[str, float]:
    """Agent -> its relative price among those that give the same keys, in [-1, 1].

    The decimal logarithm of its cost per call over the geometric mean of theirs: 1 is ten times as expensive, or more.
    An agent without a cost or without alternatives has the relative price 0.
    """
    stated = {agent.name: (agent, cost) for agent in agents if (cost := agent.planned_cost()) > 0}
    found: dict[str, float] = {}
    logs: dict[frozenset[str], float] = {}
    for name, (agent, cost) in sorted(stated.items()):
        keys = frozenset(agent.gives)
        if keys not in logs:
            rivals = [math.log10(other) for rival, other in stated.values() if not keys.isdisjoint(rival.gives)]
            logs[keys] = math.fsum(rivals) / len(rivals)
        found[name] = max(-1.0, min(1.0, math.log10(cost) - logs[keys]))
    return found
