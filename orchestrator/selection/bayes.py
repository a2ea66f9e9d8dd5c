"""Whether agents tell two groups of work apart: a Bayes factor over their counts."""

import math
from collections.abc import Iterable, Mapping

from .evidence import NOTHING, Evidence
from .learning import Observation

STRONG = 3.0
"""Logarithm of a Bayes factor that is strong evidence (Kass and Raftery, JASA, 1995)."""


def log_evidence(seen: Evidence) -> float:
    """Logarithm of the Beta-binomial evidence of some counts under a uniform prior."""
    a, b = 1 + seen.successes, 1 + seen.failures
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def separation(one: Mapping[str, Evidence], other: Mapping[str, Evidence]) -> float:
    """Logarithm of the Bayes factor for two groups over one, from each agent's counts in them.

    Above `STRONG` the agents' rates differ between the groups; below `-STRONG` nobody tells them apart.
    """
    total = 0.0
    for agent in sorted({*one, *other}):
        a, b = one.get(agent, NOTHING), other.get(agent, NOTHING)
        total += log_evidence(a) + log_evidence(b) - log_evidence(a.plus(b))
    return total


def counts(observations: Iterable[Observation]) -> dict[str, Evidence]:
    """The counts of each agent, undecayed."""
    totals: dict[str, Evidence] = {}
    for seen in observations:
        totals[seen.agent] = totals.get(seen.agent, NOTHING).observe(seen.success, seen.weight, decay=1.0)
    return totals
