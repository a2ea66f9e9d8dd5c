"""What a choice saw, kept to explain it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orchestrator.policy import Policy
from orchestrator.pricing import PICO

from .demand import Demand
from .estimation import competence
from .handbook import Handbook
from .pool import Bools, Costs, Pool, parts_of
from .result import Scored
from .table import Floats


@dataclass(frozen=True)
class Seen:
    """Everything that one choice was made from."""

    pool: Pool
    costs: Costs
    demand: Demand
    policy: Policy
    counted: Floats
    prices: Floats
    bounded: Bools
    refusals: Mapping[int, str]
    handbook: Handbook

    def candidates(self) -> tuple[Scored, ...]:
        """Every agent as it was seen, cheapest first, then those left out."""
        scored = [self._scored(row) for row in range(len(self.prices))]
        return tuple(sorted(scored, key=lambda s: (s.price is None, s.price or 0.0, s.name)))

    def _scored(self, row: int) -> Scored:
        agent = self.pool.agents[row]
        facts = self.costs.facts(agent.name, row, float(self.counted[row]))
        price = float(self.prices[row]) / PICO if np.isfinite(self.prices[row]) else None
        reason = self.refusals.get(row, "" if price is not None else "cannot be used now")
        if not reason and self.bounded[row]:
            reason = f"a newcomer, counted at competence {facts.competence:g}"
        standing = self.pool.table.standing(agent.name)
        estimate = competence(agent.name, agent.skills, self.demand, self.handbook, standing)
        return Scored(agent.name, price, estimate, facts, parts_of(facts, self.policy), reason)

    def reason(self, row: int) -> str:
        """Why this one, in a line."""
        text = f"least price {self.prices[row] / PICO:.6g} USD for {self.demand}"
        if self.bounded[row]:
            text += "; a newcomer on trial"
        others = self.prices.copy()
        others[row] = np.inf
        second = int(np.argmin(others))
        if np.isfinite(others[second]):
            text += f"; next {self.pool.names[second]} at {others[second] / PICO:.6g} USD"
        return text


def nobody(pool: Pool, refusals: Mapping[int, str]) -> str:
    """Why there is nobody to choose."""
    if not pool.agents:
        return "There is no agent to choose. Add one."
    why = [f"{pool.names[row]} ({refusals.get(row, 'cannot be used now')})" for row in range(len(pool.agents))]
    return f"No agent may be chosen: {', '.join(why[:10])}."
