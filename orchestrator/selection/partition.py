"""Ways to see the texts of one skill as two, proposed by one half of what was seen and judged by the other."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .bayes import STRONG, counts, separation
from .clustering import widest_direction
from .learning import Observation
from .pool import Bools
from .table import Floats

LEAST = 12
"""Observations that each part must hold in the judging half."""


@dataclass(frozen=True)
class Cut:
    """A cut through a set of texts."""

    direction: Floats
    border: float
    proposed_by: str
    """Where it comes from: the texts, an agent's outcomes, or a model."""

    def first(self, vectors: Floats) -> Bools:
        """Which texts lie in the first part."""
        side: Bools = vectors @ self.direction > self.border
        return side


def proposals(observations: Sequence[Observation], vectors: Floats) -> list[Cut]:
    """Cuts where the texts differ most, and where each agent's outcomes differ most over the texts."""
    middle = vectors.mean(axis=0)
    widest = widest_direction(vectors)
    cuts = [Cut(widest, float(middle @ widest), "texts")]
    for agent, seen in counts(observations).items():
        mine: Bools = np.array([o.agent == agent for o in observations], dtype=np.bool_)
        won: Bools = mine & np.array([o.success for o in observations], dtype=np.bool_)
        lost: Bools = mine & ~won
        if min(seen.successes, seen.failures) < LEAST / 2:
            continue
        good, bad = vectors[won].mean(axis=0), vectors[lost].mean(axis=0)
        direction = good - bad
        cuts.append(Cut(direction, float(direction @ (good + bad) / 2), f"outcomes of {agent}"))
    return cuts


def best_cut(
    observations: Sequence[Observation], vectors: Floats, extra: Sequence[Cut] = ()
) -> tuple[Cut, float] | None:
    """The cut that explains the judging half best, with the logarithm of its Bayes factor; `None` when none is strong.

    Halves are by a hash of the text, so the same text is never in both, and chance is not mistaken for structure.
    """
    judging: Bools = np.array([zlib.crc32((o.text or "").encode()) % 2 == 0 for o in observations], dtype=np.bool_)
    if judging.sum() < 2 * LEAST or (~judging).sum() < 2 * LEAST:
        return None
    proposing = [o for o, judges in zip(observations, judging.tolist(), strict=True) if not judges]
    best: tuple[Cut, float] | None = None
    for cut in (*extra, *proposals(proposing, vectors[~judging])):
        side = cut.first(vectors)
        inside = [o for o, here in zip(observations, (side & judging).tolist(), strict=True) if here]
        outside = [o for o, here in zip(observations, (~side & judging).tolist(), strict=True) if here]
        if min(len(inside), len(outside)) < LEAST:
            continue
        gain = separation(counts(inside), counts(outside))
        if gain > STRONG and (best is None or gain > best[1]):
            best = (cut, gain)
    return best
