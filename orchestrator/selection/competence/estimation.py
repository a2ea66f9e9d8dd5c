"""The expected competence of an agent under a demand: Beta posteriors of its skills, adjusted by the size of the
work.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.selection.choice.demand import Demand
from orchestrator.selection.skills.evidence import Evidence
from orchestrator.selection.skills.handbook import Handbook

from .priors import prior
from .task_size import size_shift, size_shifts

Z90 = 1.6449
"""Half width of the central 90 % interval of a normal distribution, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected competence in [0, 1] with a 90 % interval, and the number of recent calls behind it."""

    mean: float
    low: float
    high: float
    evidence: float

    @classmethod
    def of(cls, mean: float, variance: float, evidence: float) -> "Estimate":
        """An estimate from mean and variance by the normal approximation, clipped to [0, 1]."""
        spread = Z90 * math.sqrt(max(0.0, variance))
        mean = max(0.0, min(1.0, mean))
        return cls(mean, max(0.0, mean - spread), min(1.0, mean + spread), evidence)


def could_declare(skill: str, declared: Mapping[str, float], handbook: Handbook) -> bool:
    """Whether an agent that does not declare a skill could have: it declares others, and the skill was not discovered
    from outcomes, so its name was known.
    """
    known = handbook.skills.get(skill)
    return bool(declared) and (known is None or known.provenance in ("declared", "demanded"))


def declared_for(skill: str, declared: Mapping[str, float], handbook: Handbook) -> float | None:
    """The declared competence in a skill, in one merged into it, or in the nearest broader skill; `None` if
    undeclared.
    """
    for name in (skill, *handbook.members.get(skill, ()), *handbook.ancestors(skill)):
        if name in declared:
            return declared[name]
    return None


def prior_of(
    agent: str, skill: str, declared: Mapping[str, float], handbook: Handbook, relative_price: float = 0.0
) -> tuple[float, float]:
    """The Beta prior (a, b) of an agent in one skill: from its declaration, its record in other skills, or its
    price.
    """
    stated = declared_for(skill, declared, handbook)
    if stated is not None:
        return prior(stated)
    record, seen = handbook.record(agent), handbook.evidence(agent, skill)
    elsewhere = Evidence.model_construct(
        successes=max(0.0, record.successes - seen.successes), failures=max(0.0, record.failures - seen.failures)
    )
    return prior(None, elsewhere, passed_over=could_declare(skill, declared, handbook), relative_price=relative_price)


def neutral_prior(declared: Mapping[str, float]) -> tuple[float, float]:
    """The Beta prior (a, b) of an agent under a neutral demand: the mean of its declared competences.

    An agent that declares nothing was registered for the work all the same, and is trusted like one that declares it.
    """
    return prior(math.fsum(declared.values()) / len(declared) if declared else 1.0)


def competence(
    agent: str, declared: Mapping[str, float], demand: Demand, handbook: Handbook, relative_price: float = 0.0
) -> Estimate:
    """The expected competence of an agent under a demand: posterior means weighted by the demand, and adjusted by the
    size of the work if known. `relative_price`: the agent's price relative to its alternatives (`relative_prices`).

    A neutral demand uses the agent's whole record.
    """
    demand = handbook.resolved(demand)
    if demand.neutral:
        a, b = neutral_prior(declared)
        seen = handbook.record(agent)
        a, b = a + seen.successes, b + seen.failures
        mean, variance, calls = a / (a + b), beta_variance(a, b), seen.total
    else:
        mean, variance, calls = _by_skill(agent, declared, demand, handbook, relative_price)
    if demand.size is not None:
        mean += size_shift(size_shifts(*handbook.by_size(agent), relative_price), demand.size)
    return Estimate.of(mean, variance, calls)


def _by_skill(
    agent: str, declared: Mapping[str, float], demand: Demand, handbook: Handbook, relative_price: float
) -> tuple[float, float, float]:
    """Mean, variance, and the number of calls behind them."""
    mean = variance = evidence = concentration = 0.0
    for skill, weight in demand.items:
        a, b = prior_of(agent, skill, declared, handbook, relative_price)
        seen = handbook.evidence(agent, skill)
        a, b = a + seen.successes, b + seen.failures
        mean += weight * (a / (a + b))
        variance += weight * weight * beta_variance(a, b)
        evidence += weight * seen.total
        concentration += weight * weight
    return mean, variance, evidence / concentration


def beta_variance(a: float, b: float) -> float:
    """Variance of Beta(a, b)."""
    return a * b / ((a + b) * (a + b) * (a + b + 1))
