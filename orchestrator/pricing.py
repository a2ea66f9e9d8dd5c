"""The one price: facts about a tool in, US dollars out, whole picodollars inside."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from .errors import DefinitionError
from .policy import Policy

PICO: Final = 10**12
"""Picodollars in a US dollar. Prices are summed as whole picodollars, so the order of addition never decides."""


@dataclass(frozen=True, slots=True)
class PriceFacts:
    """Everything a price is made of, for one tool by one transition."""

    tool: str
    money: float
    """US dollars: the tool's cost plus the cost of the transition that leads to it."""
    latency: float
    """Seconds."""
    risk: float
    """In [0, 1]."""
    competence: float
    """In [0, 1]; 1 for plain tools."""
    pressure: float
    """At least 1; grows as a quota or rate limit comes near."""
    success: float
    """Posterior mean probability of success in [0, 1]; 0 for an open circuit."""


Pricing = Callable[[PriceFacts], float]
"""A pure function of the facts: US dollars, `inf` for unusable."""


def standard(policy: Policy) -> Pricing:
    """The formula of the framework under a policy's weights.

    price = (step_cost + money + time_value * latency + risk_value * risk + quality_value * (1 - competence))
            * pressure / success

    Dividing by the probability of success is no heuristic: for independent alternatives tried one after another until
    one succeeds, ascending cost/p minimises the expected cost (Mitten, Operations Research, 1960).
    """

    def price(facts: PriceFacts) -> float:
        if facts.success <= 0:
            return math.inf
        spent = (
            policy.step_cost
            + facts.money
            + policy.time_value * facts.latency
            + policy.risk_value * facts.risk
            + policy.quality_value * (1 - facts.competence)
        )
        return spent * facts.pressure / facts.success

    return price


def self_healing_router(policy: Policy) -> Pricing:
    """The formula of the published Self-Healing Router (arXiv 2603.01548).

    base * max(.5, latency_ms / 100) / max(.01, reliability) * (1 + 5 * rate_limit_proximity), where the base is the
    cost of the edge and the last factor is our pressure.
    """
    del policy

    def price(facts: PriceFacts) -> float:
        if facts.success <= 0:
            return math.inf
        return facts.money * max(0.5, facts.latency * 10) / max(0.01, facts.success) * facts.pressure

    return price


PRICINGS: Final[dict[str, Callable[[Policy], Pricing]]] = {
    "standard": standard,
    "self_healing_router": self_healing_router,
}
"""The pricings that a policy may name."""


def picodollars(usd: Any, tool: str) -> int | None:
    """A price as whole picodollars; `None` for an infinite one. Raises `DefinitionError` for negative or NaN."""
    if not isinstance(usd, int | float) or math.isnan(usd) or usd < 0:
        raise DefinitionError(f"The pricing gave {usd!r} for {tool!r}. A price is a number of US dollars, at least 0.")
    return None if math.isinf(usd) else round(usd * PICO)
