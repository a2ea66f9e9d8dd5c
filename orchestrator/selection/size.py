"""How the size of a piece of work moves what is expected of an agent.

How long a text is needs no label, and tells how hard the work is. An agent's rates in short and in long work are Beta
posteriors as those in skills are; how far they lie from its rate over all work is added to its competence.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from .evidence import Evidence
from .prior import TRANSFER, by_price, price_tells

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


def size_shifts(short: Evidence, long: Evidence, standing: float) -> tuple[float, float]:
    """What short and what long work add to an agent's competence, from what was seen of either.

    The priors lie at the agent's rate over both and are worth eight calls; its `standing` by price moves them apart,
    for dear agents are believed to earn their price in long work.
    """
    total, won = short.total + long.total, short.successes + long.successes
    level = won / total if total > 0 else by_price(standing)
    shifts: list[float] = []
    for sign, seen in ((-1, short), (1, long)):
        expected = min(0.99, max(0.01, level + sign * price_tells(standing)))
        rate = (TRANSFER * expected + seen.successes) / (TRANSFER + seen.total)
        shifts.append(rate - level)
    return shifts[0], shifts[1]


def size_shift(shifts: tuple[float, float], size: float | None) -> float:
    """What the size of a piece of work adds to an agent's competence; nothing where the size is not known."""
    if size is None:
        return 0.0
    short, long = size_weights(size)
    return short * shifts[0] + long * shifts[1]
