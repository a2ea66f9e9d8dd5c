"""How well an agent is expected to do what is demanded: a Beta posterior per skill, from a prior that it declares."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .demand import Demand
from .evidence import NOTHING, Evidence
from .handbook import Handbook

STRENGTH = 5.0
"""What a declaration is worth, in observed calls."""
UNDECLARED = (1.0, 3.0)
"""Prior of a skill that an agent passed over in what it declares: it may have it, and probably has not."""
UNKNOWN = (1.0, 1.0)
"""Prior of a skill that an agent could not have declared."""
TRANSFER = 8.0
"""What an agent's record in other skills counts for at most, in calls, in a skill that it does not declare."""
Z90 = 1.6449
"""Standard deviations on either side that hold 90 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected competence in [0, 1] with a 90 % interval, and how many calls of late it rests on."""

    mean: float
    low: float
    high: float
    evidence: float

    @classmethod
    def of(cls, mean: float, variance: float, evidence: float) -> "Estimate":
        """From mean and variance, by the normal approximation, kept within [0, 1]."""
        spread = Z90 * math.sqrt(max(0.0, variance))
        return cls(mean, max(0.0, mean - spread), min(1.0, mean + spread), evidence)


def prior(declared: float | None, elsewhere: Evidence = NOTHING, *, passed_over: bool = True) -> tuple[float, float]:
    """The Beta prior (a, b) of one skill.

    A declaration d in [0, 1] is worth five calls: d = 1 is Beta(4, 1), d = 0 is Beta(0.5, 4.5). Where nothing is
    declared, the agent's record `elsewhere` counts, as at most eight calls (a power prior: Ibrahim and Chen, 2000); and
    beside it, if the agent passed the skill over in what it declares, the doubt that this raises.
    """
    if declared is not None:
        a = 0.5 + 3.5 * declared
        return a, STRENGTH - a
    total = elsewhere.total
    factor = min(1.0, TRANSFER / total) if total > 0 else 0.0
    doubt = 1.0 if passed_over else max(0.25, 1.0 - total / TRANSFER)
    a, b = UNDECLARED if passed_over else UNKNOWN
    return doubt * a + factor * elsewhere.successes, doubt * b + factor * elsewhere.failures


def could_declare(skill: str, declared: Mapping[str, float], handbook: Handbook) -> bool:
    """Whether an agent that does not declare a skill passed it over: it declares others, and the skill was not found
    in what was observed, where nobody could have known its name."""
    known = handbook.skills.get(skill)
    return bool(declared) and (known is None or known.provenance in ("declared", "demanded"))


def declared_for(skill: str, declared: Mapping[str, float], handbook: Handbook) -> float | None:
    """What an agent declares for a skill, one merged into it, or the nearest broader skill; `None` for nothing."""
    for name in (skill, *handbook.members.get(skill, ()), *handbook.ancestors(skill)):
        if name in declared:
            return declared[name]
    return None


def prior_of(agent: str, skill: str, declared: Mapping[str, float], handbook: Handbook) -> tuple[float, float]:
    """The Beta prior (a, b) of an agent in one skill, from what it declares or has shown elsewhere."""
    stated = declared_for(skill, declared, handbook)
    if stated is not None:
        return prior(stated)
    record, seen = handbook.record(agent), handbook.evidence(agent, skill)
    elsewhere = Evidence.model_construct(
        successes=max(0.0, record.successes - seen.successes), failures=max(0.0, record.failures - seen.failures)
    )
    return prior(None, elsewhere, passed_over=could_declare(skill, declared, handbook))


def neutral_prior(declared: Mapping[str, float]) -> tuple[float, float]:
    """The Beta prior (a, b) of an agent when nothing is known of the demand: the mean of what it declares.

    An agent that declares nothing was still put forward for the work and is trusted like one that declares it.
    """
    return prior(math.fsum(declared.values()) / len(declared) if declared else 1.0)


def competence(agent: str, declared: Mapping[str, float], demand: Demand, handbook: Handbook) -> Estimate:
    """What to expect of an agent under a demand: posterior means weighed by the demand.

    A neutral demand does not tell skills apart and takes the agent's whole record.
    """
    demand = handbook.resolved(demand)
    if demand.neutral:
        a, b = neutral_prior(declared)
        seen = handbook.record(agent)
        a, b = a + seen.successes, b + seen.failures
        return Estimate.of(a / (a + b), beta_variance(a, b), seen.total)
    mean = variance = evidence = concentration = 0.0
    for skill, weight in demand.items:
        a, b = prior_of(agent, skill, declared, handbook)
        seen = handbook.evidence(agent, skill)
        a, b = a + seen.successes, b + seen.failures
        mean += weight * (a / (a + b))
        variance += weight * weight * beta_variance(a, b)
        evidence += weight * seen.total
        concentration += weight * weight
    return Estimate.of(mean, variance, evidence / concentration)


def beta_variance(a: float, b: float) -> float:
    """Variance of Beta(a, b)."""
    return a * b / ((a + b) * (a + b) * (a + b + 1))
