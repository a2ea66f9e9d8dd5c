"""What an agent's price tells before anything else is known of it."""

import math
from collections.abc import Iterable

from orchestrator.agent import Agent


def standings(agents: Iterable[Agent]) -> dict[str, float]:
    """Agent -> how dear it is among those that give the same keys, in [-1, 1].

    The decimal logarithm of its cost per call over the geometric mean of theirs: 1 is ten times as dear, or more. An
    agent that states no cost has the standing 0, and so has one without rivals.
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
