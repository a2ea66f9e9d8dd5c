"""The candidate agents, and their prices as arrays."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.agents.agent import Agent
from orchestrator.core.policy import Policy
from orchestrator.core.price import standard
from orchestrator.graph.price_table import PICO, PRICINGS, PriceFacts, Pricing, picodollars
from orchestrator.selection.competence.priors import relative_prices
from orchestrator.selection.competence.sampling import Floats
from orchestrator.selection.competence.table import CompetenceTable
from orchestrator.selection.skills.handbook import Handbook

Bools = NDArray[np.bool_]
BaseFacts = Callable[[Agent], PriceFacts]


@dataclass(frozen=True, slots=True)
class Costs:
    """The terms of prices besides competence, one value per agent. Never changed in place."""

    money: Floats
    latency: Floats
    risk: Floats
    pressure: Floats
    success: Floats

    def facts(self, name: str, row: int, competence: float) -> PriceFacts:
        """The price facts of one agent."""
        return PriceFacts(
            tool=name,
            money=float(self.money[row]),
            latency=float(self.latency[row]),
            risk=float(self.risk[row]),
            competence=competence,
            pressure=float(self.pressure[row]),
            success=float(self.success[row]),
        )

    def standard(self, competence: Floats, policy: Policy) -> Floats:
        """The standard price formula for all agents at once, in picodollars."""
        with np.errstate(divide="ignore", invalid="ignore"):
            usd: Floats = standard(policy).price(
                self.money, self.latency, self.risk, competence, self.pressure / self.success
            )
        price: Floats = np.where(self.success > 0, usd, math.inf)
        return np.rint(price * PICO)


class Pool:
    """Agents sorted by name, with arrays of the terms of their prices."""

    def __init__(self, agents: Mapping[str, Agent], handbook: Handbook) -> None:
        self.agents = [agents[name] for name in sorted(agents)]
        declared = {agent.name: agent.skills for agent in self.agents}
        self.table = CompetenceTable(declared, handbook, relative_prices(self.agents))
        self.costs = _declared(self.agents, handbook)
        self.founding: Bools = self._founding(handbook)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the agents, sorted."""
        return self.table.names

    def refreshed(self, names: Iterable[str], skills: Iterable[str], handbook: Handbook) -> "Pool":
        """A copy with the handbook's current values of some agents, and of all agents in some skills.

        This pool is unchanged, because another thread may be selecting from it.
        """
        fresh = copy(self)
        fresh.table = self.table.copy()
        fresh.table.refresh(names, skills, handbook)
        fresh.costs = _declared(self.agents, handbook)
        fresh.founding = self._founding(handbook)
        return fresh

    def _founding(self, handbook: Handbook) -> Bools:
        return np.array([handbook.profile(agent.name).founding for agent in self.agents], dtype=np.bool_)

    def current_costs(self, base: BaseFacts | None) -> Costs:
        """The current terms of prices: declared and observed values, or those of `base` (which knows the agents'
        health).
        """
        if base is None:
            return self.costs
        facts = [base(agent) for agent in self.agents]
        return Costs(
            money=np.array([f.money for f in facts], dtype=np.float64),
            latency=np.array([f.latency for f in facts], dtype=np.float64),
            risk=np.array([f.risk for f in facts], dtype=np.float64),
            pressure=np.array([f.pressure for f in facts], dtype=np.float64),
            success=np.array([f.success for f in facts], dtype=np.float64),
        )

    def prices(self, costs: Costs, competence: Floats, policy: Policy, pricing: Pricing | None) -> Floats:
        """Whole picodollars per agent, `inf` for unusable: the standard formula at once, any other one by one."""
        if pricing is None and policy.pricing == "standard":
            return costs.standard(competence, policy)
        priced = pricing or PRICINGS[policy.pricing](policy)
        pico: list[int | None] = []
        for row, name in enumerate(self.names):
            facts = costs.facts(name, row, float(competence[row]))
            pico.append(picodollars(priced(facts), name) if facts.success > 0 else None)
        return np.array([math.inf if price is None else float(price) for price in pico])


def _declared(agents: Sequence[Agent], handbook: Handbook) -> Costs:
    profiles = [handbook.profile(agent.name) for agent in agents]
    pairs = list(zip(agents, profiles, strict=True))
    return Costs(
        money=np.array([profile.usd.expected(agent.planned_cost()) for agent, profile in pairs], dtype=np.float64),
        latency=np.array(
            [profile.seconds.expected(agent.planned_latency()) for agent, profile in pairs], dtype=np.float64
        ),
        risk=np.array([agent.risk for agent in agents], dtype=np.float64),
        pressure=np.ones(len(agents)),
        success=np.ones(len(agents)),
    )
