"""The result of a selection: the chosen agent, the candidates, and the reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from orchestrator.core.policy import Policy
from orchestrator.core.price import standard
from orchestrator.core.route import Candidate
from orchestrator.graph.price_table import PICO, PriceFacts
from orchestrator.selection.competence.estimation import Estimate, competence
from orchestrator.selection.competence.sampling import Floats
from orchestrator.selection.skills.handbook import Handbook

from .demand import Demand
from .exploration import ExplorationRound
from .pool import Bools, Costs, Pool


@dataclass(frozen=True, slots=True)
class ScoredAgent:
    """One candidate of a selection."""

    name: str
    price: float | None
    """US dollars; `None` for an agent that may not or cannot be chosen."""
    estimate: Estimate
    """Expected competence, with its 90 % interval and its evidence."""
    facts: PriceFacts
    """The price facts; the competence may be widened by exploration, and bounded for a newcomer."""
    parts: Mapping[str, float]
    """Terms in US dollars (step, money, time, risk, quality) and the factors pressure and success:
    (step + money + time + risk) * pressure / success + quality is the price."""
    reason: str = ""
    """Why it was excluded, or why its competence differs from the estimate."""

    @property
    def competence(self) -> float:
        """Expected competence in [0, 1]."""
        return self.estimate.mean

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of its competence."""
        return self.estimate.low, self.estimate.high

    @property
    def cost(self) -> float:
        """US dollars that the call is expected to cost."""
        return self.facts.money

    @property
    def candidate(self) -> Candidate:
        """The candidate for the record of a decision."""
        low, high = self.interval
        made_of = f"competence {self.competence:.3f} [{low:.2f}, {high:.2f}], {self.cost:g} USD"
        return Candidate(self.name, self.price, self.reason or made_of, self.facts)


@dataclass(frozen=True)
class Selection:
    """The chosen agent and the reason. `candidates` are computed on first access."""

    agent: str
    """Name of the chosen agent."""
    demand: Demand
    reason: str
    turn: ExplorationRound
    ties: tuple[str, ...] = ()
    """Agents at the same price, which lost by the order of names."""
    explain: Callable[[], tuple[ScoredAgent, ...]] = field(default=tuple, compare=False, repr=False)

    @cached_property
    def candidates(self) -> tuple[ScoredAgent, ...]:
        """All candidates, cheapest first, then the excluded agents."""
        return self.explain()

    @property
    def chosen(self) -> ScoredAgent:
        """The chosen agent among the candidates."""
        return next(candidate for candidate in self.candidates if candidate.name == self.agent)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {
            "agent": self.agent,
            "demand": self.demand.to_json(),
            "reason": self.reason,
            "turn": {"number": self.turn.number, "probe": self.turn.probe},
            "ties": list(self.ties),
            "candidates": [
                {
                    "name": c.name,
                    "price": c.price,
                    "competence": c.competence,
                    "interval": list(c.interval),
                    "evidence": c.estimate.evidence,
                    "cost": c.cost,
                    "parts": dict(c.parts),
                    "reason": c.reason,
                }
                for c in self.candidates
            ],
        }


@dataclass(frozen=True)
class Snapshot:
    """Everything that a selection was made from."""

    pool: Pool
    costs: Costs
    demand: Demand
    policy: Policy
    counted: Floats
    prices: Floats
    bounded: Bools
    refusals: Mapping[int, str]
    handbook: Handbook

    def candidates(self) -> tuple[ScoredAgent, ...]:
        """Every candidate, cheapest first, then the excluded agents."""
        scored = [self._scored(row) for row in range(len(self.prices))]
        return tuple(sorted(scored, key=lambda s: (s.price is None, s.price or 0.0, s.name)))

    def _scored(self, row: int) -> ScoredAgent:
        agent = self.pool.agents[row]
        facts = self.costs.facts(agent.name, row, float(self.counted[row]))
        price = float(self.prices[row]) / PICO if np.isfinite(self.prices[row]) else None
        reason = self.refusals.get(row, "" if price is not None else "cannot be used now")
        if not reason and self.bounded[row]:
            reason = f"a newcomer, counted at competence {facts.competence:g}"
        relative_price = self.pool.table.relative_price(agent.name)
        estimate = competence(agent.name, agent.skills, self.demand, self.handbook, relative_price)
        factors = {"pressure": facts.pressure, "success": facts.success}
        parts = {**standard(self.policy).terms(facts), **factors}
        return ScoredAgent(agent.name, price, estimate, facts, parts, reason)

    def reason(self, row: int) -> str:
        """The reason of the selection in one line."""
        text = f"least price {self.prices[row] / PICO:.6g} USD for {self.demand}"
        if self.bounded[row]:
            text += "; a newcomer on trial"
        others = self.prices.copy()
        others[row] = np.inf
        second = int(np.argmin(others))
        if np.isfinite(others[second]):
            text += f"; next {self.pool.names[second]} at {others[second] / PICO:.6g} USD"
        return text


def no_agent_reason(pool: Pool, refusals: Mapping[int, str]) -> str:
    """Why no agent can be chosen."""
    if not pool.agents:
        return "There is no agent to choose. Add one."
    why = [f"{pool.names[row]} ({refusals.get(row, 'cannot be used now')})" for row in range(len(pool.agents))]
    return f"No agent may be chosen: {', '.join(why[:10])}."
