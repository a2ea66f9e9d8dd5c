"""How the size of a piece of work changes the expected competence of an agent.

The length of a text needs no label and indicates the difficulty of the work. Counted is the difference between the
outcomes of short and long work and those expected by the demanded skills, so that an effect of the skills is not
counted twice.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from orchestrator.selection.skills.evidence import Surplus

from .priors import TRANSFER, price_prior

ENDS: Final = (10, 90)
"""Percentiles of text lengths that count as short and as long."""


def measured(texts: Sequence[str]) -> tuple[float, float] | None:
    """Characters of short and of long texts among these; `None` when they do not differ."""
    if not texts:
        return None
    short, long = np.percentile([len(text) for text in texts], ENDS).tolist()
    return (float(short), float(long)) if short < long else None


def size_of(text: str, sizes: tuple[float, float] | None) -> float | None:
    """The length of a text from 0 (short) to 1 (long), by the logarithm of its characters."""
    if sizes is None:
        return None
    short, long = (math.log1p(size) for size in sizes)
    return min(1.0, max(0.0, (math.log1p(len(text)) - short) / (long - short)))


def size_weights(size: float) -> tuple[float, float]:
    """The weights of short and of long work for work of a size."""
    return 1 - size, size


def size_shifts(short: Surplus, long: Surplus, relative_price: float) -> tuple[float, float]:
    """The effects of short and of long work on an agent's competence, from its outcomes in either.

    Each is the surplus per call over that of all work, shrunk towards a prior with the weight of eight calls. The prior
    depends on the agent's `relative_price`, because an expensive agent is expected to be better in long work.
    """
    calls = short.calls + long.calls
    common = (short.successes + long.successes) / calls if calls > 0 else 0.0
    low, high = (
        (TRANSFER * sign * price_prior(relative_price) + seen.successes - seen.calls * common) / (TRANSFER + seen.calls)
        for sign, seen in ((-1, short), (1, long))
    )
    return low, high


def size_shift(shifts: tuple[float, float], size: float | None) -> float:
    """The effect of the size of a piece of work on an agent's competence; 0 if the size is unknown."""
    if size is None:
        return 0.0
    short, long = size_weights(size)
    return short * shifts[0] + long * shifts[1]
