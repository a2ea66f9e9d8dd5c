"""Groups of texts: spherical k-means, a cut in two, and the words that tell a group from the rest."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .embedding import unit_rows, words_of
from .table import Floats

Labels = NDArray[np.intp]


def spherical_kmeans(vectors: Floats, groups: int, *, seed: int = 0, rounds: int = 20) -> tuple[Floats, Labels]:
    """Centres of length 1 and the group of each row (Dhillon and Modha, Machine Learning, 2001).

    Started by k-means++ under `seed`, so the same rows give the same groups. Empty groups are left out.
    """
    centres = _spread_out(vectors, min(groups, len(vectors)), np.random.default_rng(seed))
    labels: Labels = np.argmax(vectors @ centres.T, axis=1)
    for _ in range(rounds):
        present = np.unique(labels)
        centres = unit_rows(np.stack([vectors[labels == group].mean(axis=0) for group in present]))
        after: Labels = np.argmax(vectors @ centres.T, axis=1)
        if np.array_equal(after, labels):
            break
        labels = after
    return centres, labels


def _spread_out(vectors: Floats, groups: int, random: np.random.Generator) -> Floats:
    """First centres: rows drawn with a chance that grows with their distance from those drawn before."""
    chosen = [int(random.integers(len(vectors)))]
    distance: Floats = 1 - vectors @ vectors[chosen[0]]
    while len(chosen) < groups:
        weights = np.maximum(distance, 0) ** 2
        total = float(weights.sum())
        if total <= 0:
            break
        chosen.append(int(random.choice(len(vectors), p=weights / total)))
        distance = np.minimum(distance, 1 - vectors @ vectors[chosen[-1]])
    return vectors[chosen].copy()


def widest_direction(vectors: Floats, rounds: int = 30) -> Floats:
    """The direction in which rows differ most (first principal component, by power iteration from a fixed start)."""
    centred = vectors - vectors.mean(axis=0)
    direction: Floats = centred[int(np.argmax(np.linalg.norm(centred, axis=1)))].copy()
    for _ in range(rounds):
        length = float(np.linalg.norm(direction))
        if length <= 0:
            break
        direction = centred.T @ (centred @ (direction / length))
    length = float(np.linalg.norm(direction))
    return direction / length if length > 0 else direction


def telling_words(texts: Sequence[str], others: Sequence[str], count: int = 8) -> tuple[str, ...]:
    """The words that tell some texts from others: log-odds of document frequency, smoothed; best first."""
    here = Counter(word for text in texts for word in set(words_of(text)))
    there = Counter(word for text in others for word in set(words_of(text)))

    def odds(word: str) -> float:
        inside = (here[word] + 0.5) / (len(texts) + 1)
        outside = (there[word] + 0.5) / (len(others) + 1)
        return math.log(inside / outside) * math.sqrt(here[word])

    common = [word for word, seen in here.items() if seen >= max(2, 0.02 * len(texts)) and not word.isdigit()]
    ranked = sorted(common, key=lambda word: (-odds(word), word))
    return tuple(word for word in ranked[:count] if odds(word) > 0)


def typical_texts(texts: Sequence[str], vectors: Floats, count: int = 5) -> tuple[str, ...]:
    """The texts nearest to the middle of their group."""
    near = vectors @ unit_rows(vectors.mean(axis=0, keepdims=True))[0]
    nearest: list[int] = np.argsort(-near, kind="stable")[:count].tolist()
    return tuple(texts[row] for row in nearest)
