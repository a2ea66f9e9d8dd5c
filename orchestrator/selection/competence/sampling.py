"""Draws from Beta posteriors that depend only on the seed, the turn, the agent and the skill.

An agent's draw depends neither on the other agents nor on their order, so a record of its posterior is enough to draw
it again. Streams are SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) under a key for each agent and skill; a Beta is
computed from two Gammas (Marsaglia and Tsang, ACM TOMS 26, 2000).
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.selection.learning.updates import Observation
from orchestrator.selection.skills.evidence import NOTHING, Evidence

STRONG = 3.0
"""Logarithm of a Bayes factor that is strong evidence (Kass and Raftery, JASA, 1995)."""


def log_evidence(seen: Evidence) -> float:
    """Logarithm of the Beta-binomial evidence of some counts under a uniform prior."""
    a, b = 1 + seen.successes, 1 + seen.failures
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def separation(one: Mapping[str, Evidence], other: Mapping[str, Evidence]) -> float:
    """Logarithm of the Bayes factor for two groups over one, from each agent's counts in them.

    Above `STRONG` the agents' rates differ between the groups; below `-STRONG` they are indistinguishable.
    """
    total = 0.0
    for agent in sorted({*one, *other}):
        a, b = one.get(agent, NOTHING), other.get(agent, NOTHING)
        total += log_evidence(a) + log_evidence(b) - log_evidence(a.plus(b))
    return total


def counts_by_agent(observations: Iterable[Observation]) -> dict[str, Evidence]:
    """The counts of each agent, undecayed."""
    totals: dict[str, Evidence] = {}
    for seen in observations:
        totals[seen.agent] = totals.get(seen.agent, NOTHING).observe(seen.success, seen.weight, decay=1.0)
    return totals


DrawKeys = NDArray[np.uint64]
Floats = NDArray[np.float64]

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_MASK: Final = (1 << 64) - 1


def keys_of(names: Iterable[str]) -> DrawKeys:
    """A key for each name, the same on every machine."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)


def beta(a: Floats, b: Floats, skills: DrawKeys, agents: DrawKeys, seed: int, number: int) -> Floats:
    """One draw from Beta(a, b) for each skill (row) and agent (column), in turn `number` under `seed`."""
    turn = _mixed(np.array([seed & _MASK], dtype=np.uint64)) ^ np.uint64(number & _MASK)
    keys = _mixed(_mixed(turn) ^ _mixed(skills)[:, None] ^ agents[None, :])
    x, y = _gamma(a, keys), _gamma(b, _mixed(keys))
    with np.errstate(invalid="ignore"):
        drawn: Floats = x / (x + y)
    return np.where(np.isfinite(drawn), drawn, a / (a + b))  # both underflowed: a and b are very small


def _mixed(keys: DrawKeys) -> DrawKeys:
    """The next output of SplitMix64 for each state."""
    z = keys + _STEP
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    mixed: DrawKeys = z ^ (z >> np.uint64(31))
    return mixed


def _uniform(keys: DrawKeys, number: int) -> Floats:
    """Uniform in (0, 1), the `number`th of each stream."""
    bits = _mixed(keys ^ np.uint64((number * int(_STEP)) & _MASK)) >> np.uint64(11)
    spread: Floats = (bits.astype(np.float64) + 0.5) * 2.0**-53
    return spread


def _gamma(shape: Floats, keys: DrawKeys) -> Floats:
    """A draw from Gamma(shape, 1) for each stream, by rejection; a shape below 1 is drawn at shape + 1 and scaled."""
    small = shape < 1
    d = np.where(small, shape + 1, shape) - 1 / 3
    c = 1 / np.sqrt(9 * d)
    drawn, open_ones, number = np.zeros_like(d), np.ones(d.shape, dtype=np.bool_), 1
    while open_ones.any():
        radius = np.sqrt(-2 * np.log(_uniform(keys, number)))
        z = radius * np.cos(2 * np.pi * _uniform(keys, number + 1))
        v = np.maximum(1 + c * z, 0.0) ** 3
        with np.errstate(divide="ignore"):
            within = np.log(_uniform(keys, number + 2)) < 0.5 * z * z + d - d * v + d * np.log(v)
        taken = open_ones & (v > 0) & within
        drawn = np.where(taken, d * v, drawn)
        open_ones &= ~taken
        number += 3
    brought_back: Floats = np.where(small, drawn * _uniform(keys, 0) ** (1 / np.maximum(shape, 1e-12)), drawn)
    return brought_back


__all__ = ["beta", "keys_of"]
