"""Price formulas: from facts about a tool to US dollars. Prices are added in whole picodollars (`picodollars`)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .errors import DefinitionError
from .policy import Policy

PICO: Final = 10**12
"""Picodollars in a US dollar."""
UNPAYABLE: Final = 1e30
"""US dollars; a price of at least this counts as infinite."""


def picodollars(usd: Any, tool: str) -> int | None:
    """A price as whole picodollars; `None` for an infinite one, which is any from `UNPAYABLE` on.

    Raises `DefinitionError` for negative or NaN.
    """
    if not isinstance(usd, int | float) or not usd >= 0:
        raise DefinitionError(f"The pricing gave {usd!r} for {tool!r}. A price is a number of US dollars, at least 0.")
    return round(usd * PICO) if usd < UNPAYABLE else None


@dataclass(frozen=True, slots=True)
class PriceFacts:
    """The facts of a price, for one tool by one transition."""

    tool: str
    money: float
    """US dollars: the tool's cost plus the cost of the transition that leads to it."""
    latency: float
    """Seconds for an attempt, known waits included."""
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


def price_by(pricing: Pricing, facts: PriceFacts) -> int | None:
    """The price of a tool by a pricing, in whole picodollars; `None` for infinite.

    Raises `DefinitionError` for a pricing that raises, or gives no number of at least 0.
    """
    try:
        usd = pricing(facts)
    except (DefinitionError, KeyboardInterrupt):
        raise
    except BaseException as error:  # `SystemExit` too: a pricing must not end the process
        raise DefinitionError(f"The pricing raised {type(error).__name__} for {facts.tool!r}: {error}") from error
    return picodollars(usd, facts.tool)


class Formula(ABC):
    """A pricing that can be called with facts like any other, or with the numbers themselves, which is faster."""

    def __call__(self, facts: PriceFacts) -> float:
        """The price in US dollars."""
        return self.usd(facts.money, facts.latency, facts.risk, facts.competence, facts.pressure, facts.success)

    @abstractmethod
    def usd(
        self, money: float, latency: float, risk: float, competence: float, pressure: float, success: float
    ) -> float:
        """The price in US dollars."""


class WeightedFormula(Formula):
    """A formula under a policy's weights, linear in money, seconds, risk and quality.

    `price` is the formula itself, written once: it takes numbers, or numpy arrays of them, with `success` above 0.
    """

    def __init__(self, policy: Policy) -> None:
        self.step_cost, self.time_value = policy.step_cost, policy.time_value
        self.risk_value, self.quality_value = policy.risk_value, policy.quality_value

    def usd(
        self, money: float, latency: float, risk: float, competence: float, pressure: float, success: float
    ) -> float:
        """The price in US dollars; infinite where `success` is 0."""
        if success <= 0:
            return math.inf
        return self.price(money, latency, risk, competence, pressure / success)  # type: ignore[no-any-return]

    @abstractmethod
    def price(self, money: Any, latency: Any, risk: Any, competence: Any, attempts: Any) -> Any:
        """US dollars; `attempts` is pressure / success, the expected number of attempts that are paid."""

    def terms(self, facts: PriceFacts) -> dict[str, float]:
        """The terms of step, money, time, risk and quality in US dollars, before multiplication."""
        return {
            "step": self.step_cost,
            "money": facts.money,
            "time": self.time_value * facts.latency,
            "risk": self.risk_value * facts.risk,
            "quality": self.quality_value * (1 - facts.competence),
        }


class QualityOnce(WeightedFormula):
    """The current formula: attempts are paid until one succeeds, the quality of the answer counts once."""

    name = "quality_once"

    def price(self, money: Any, latency: Any, risk: Any, competence: Any, attempts: Any) -> Any:
        """(step_cost + money + time_value * latency + risk_value * risk) * attempts + quality_value * (1 - c)."""
        attempt = self.step_cost + money + self.time_value * latency + self.risk_value * risk
        return attempt * attempts + self.quality_value * (1 - competence)


class QualityPerAttempt(WeightedFormula):
    """The formula of records that name none: quality is multiplied by the number of attempts, like money."""

    name = "quality_per_attempt"

    def price(self, money: Any, latency: Any, risk: Any, competence: Any, attempts: Any) -> Any:
        """(step_cost + money + time_value * latency + risk_value * risk + quality_value * (1 - c)) * attempts."""
        spent = self.step_cost + money + self.time_value * latency
        return (spent + self.risk_value * risk + self.quality_value * (1 - competence)) * attempts

    def usd(
        self, money: float, latency: float, risk: float, competence: float, pressure: float, success: float
    ) -> float:
        """In the order of operations of the old records, so that their prices are reproduced to the picodollar."""
        if success <= 0:
            return math.inf
        return self.price(money, latency, risk, competence, 1.0) * pressure / success  # type: ignore[no-any-return]


def standard(policy: Policy) -> WeightedFormula:
    """The formula of the framework under a policy's weights.

    price = (step_cost + money + time_value * latency + risk_value * risk) * pressure / success
            + quality_value * (1 - competence)

    The division by the probability of success is exact: for independent alternatives tried one after another until one
    succeeds, ascending cost/p minimises the expected cost (Mitten, Operations Research, 1960). If a success has a loss
    q of its own, the same interchange argument gives cost/p + q.
    """
    return QualityOnce(policy)


class _SelfHealingRouter(Formula):
    name = "self_healing_router"

    def usd(
        self, money: float, latency: float, risk: float, competence: float, pressure: float, success: float
    ) -> float:
        del risk, competence
        if success <= 0:
            return math.inf
        return money * max(0.5, latency * 10) / max(0.01, success) * pressure


def self_healing_router(policy: Policy) -> Formula:
    """The formula of the published Self-Healing Router (arXiv 2603.01548).

    base * max(.5, latency_ms / 100) / max(.01, reliability) * (1 + 5 * rate_limit_proximity), where the base is the
    cost of the edge and the last factor is our pressure.
    """
    del policy
    return _SelfHealingRouter()


PRICINGS: Final[dict[str, Callable[[Policy], Pricing]]] = {
    "standard": standard,
    QualityOnce.name: QualityOnce,
    QualityPerAttempt.name: QualityPerAttempt,
    _SelfHealingRouter.name: self_healing_router,
}
"""The pricings that a policy may name; `standard` is the current formula, which records name exactly."""


def formula_name(policy: Policy) -> str:
    """The name of a price formula in a record, so that the record replays after `standard` has changed."""
    return QualityOnce.name if policy.pricing == "standard" else policy.pricing


def recorded_formula(record: Mapping[str, Any], policy: Policy) -> Policy:
    """The policy with the formula that a record names; a record without one was made by `QualityPerAttempt`."""
    if policy.pricing != "standard":
        return policy
    return policy.model_copy(update={"pricing": record.get("formula", QualityPerAttempt.name)})
