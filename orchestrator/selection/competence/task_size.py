"""How the size of a piece of work moves what is expected of an agent.

How long a text is needs no label, and shows how hard the work is. What is counted is how much better or worse short and
long work went than the skills it demands let one expect, so that nothing is counted twice where the length of a text
tells what it is about.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from orchestrator.selection.skills.evidence import Surplus

from .priors import TRANSFER, price_prior

ENDS: Final = (10, 90)
"""Percentiles of the lengths of texts that count as short and as long."""


def measured(texts: Sequence[str]) -> tuple[float, float] | None:
    """Characters of the short and of the long ones among texts; `None` when they do not differ."""
    if not texts:
        return None
    short, long = np.percentile([len(text) for text in texts], ENDS).tolist()
    return (float(short), float(long)) if short < long else None


def size_of(text: str, sizes: tuple[float, float] | None) -> float | None:
    """How long a text is, from 0 (as the short ones) to 1 (as the long ones), by the logarithm of its characters."""
    if sizes is None:
        return None
    short, long = (math.log1p(size) for size in sizes)
    return min(1.0, max(0.0, (math.log1p(len(text)) - short) / (long - short)))


def size_weights(size: float) -> tuple[float, float]:
    """How much of short and how much of long work there is in work of a size."""
    return 1 - size, size


def size_shifts(short: Surplus, long: Surplus, relative_price: float) -> tuple[float, float]:
    """What short and what long work add to an agent's competence, from how it went with either.

    Each is the surplus per call over that of all work, drawn towards a prior that is worth eight calls. The prior is
    set by the agent's `relative_price`, because an expensive agent is expected to be better in long work.
    """
    calls = short.calls + long.calls
    common = (short.successes + long.successes) / calls if calls > 0 else 0.0
    low, high = (
        (TRANSFER * sign * price_prior(relative_price) + seen.successes - seen.calls * common) / (TRANSFER + seen.calls)
        for sign, seen in ((-1, short), (1, long))
    )
    return low, high


def size_shift(shifts: tuple[float, float], size: float | None) -> float:
    """What the size of a piece of work adds to an agent's competence; nothing where the size is not known."""
    if size is None:
        return 0.0
    short, long = size_weights(size)
    return short * shifts[0] + long * shifts[1]
