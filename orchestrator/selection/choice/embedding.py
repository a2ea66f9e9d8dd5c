"""Text embedding without a download: hashed words, word pairs and letter groups. Any other embedding can be used
instead.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from orchestrator.selection.competence.sampling import Floats

WORD = re.compile(r"\w+")
STOP = frozenset(
    """
    a an and are as at be been but by can could did do does for from had has have he her his how i if in
    into is it its me my not of on or our she should so such than that the their them then there these
    they this to was we were what when where which who why will with would you your
    """.split()  # noqa: SIM905
)
"""Stop words, which say nothing about the demand of a text."""


class Embedding(Protocol):
    """Maps texts to one row of norm 1 per text, shape (texts, dimensions); the row of a text without words is zero."""

    def __call__(self, texts: Sequence[str], /) -> Floats:
        """The embeddings of these texts."""
        ...


@dataclass(frozen=True)
class HashedEmbedding:
    """Feature hashing (Weinberger et al., ICML 2009) of words, word pairs and groups of `letters` letters.

    The same text gives the same vector on every machine. Similar words share letter groups, so inflections and typing
    errors change a vector little.
    """

    dimensions: int = 2048
    letters: int = 4

    @property
    def name(self) -> str:
        """The name that is stored with prototypes in this embedding."""
        return f"hashed-{self.dimensions}-{self.letters}"

    def __call__(self, texts: Sequence[str], /) -> Floats:
        """One row per text."""
        rows: Floats = np.zeros((len(texts), self.dimensions))
        for row, text in zip(rows, texts, strict=True):
            for feature, count in Counter(self._features(text)).items():
                code = zlib.crc32(feature.encode())
                sign = 1.0 if code & 1 else -1.0
                row[(code >> 1) % self.dimensions] += sign * _weight(feature) * (1 + math.log(count))
        return unit_rows(rows)

    def _features(self, text: str) -> Iterator[str]:
        words = words_of(text)
        yield from words
        for one, other in pairwise(words):
            yield f"{one} {other}"
        for word in words:
            padded = f"<{word}>"
            for start in range(len(padded) - self.letters + 1):
                yield f"#{padded[start : start + self.letters]}"


def _weight(feature: str) -> float:
    """The weight of a feature: words weigh most, pairs and letter groups about half as much."""
    return 0.6 if feature.startswith("#") else 0.5 if " " in feature else 1.0


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without stop words."""
    return [word for word in WORD.findall(text.lower()) if word not in STOP]


def unit_rows(rows: Floats) -> Floats:
    """Every row scaled to norm 1; zero rows stay zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Floats = rows / np.where(length > 0, length, 1.0)
    return scaled


def shared_direction(rows: Floats) -> Floats:
    """The direction that all texts share, of norm 1: the mean of their vectors; zero without texts."""
    if not len(rows):
        return np.zeros(int(rows.shape[1]))
    direction: Floats = unit_rows(rows.mean(axis=0, keepdims=True))[0]
    return direction


@dataclass(frozen=True)
class WithoutShared:
    """An embedding without the common direction of all texts: every vector is projected onto the complement of
    `direction`.

    A fixed prefix (a system prompt, a template) would otherwise dominate the similarity of all texts. Removing the
    common direction is the first step of "all but the top" (Mu and Viswanath, ICLR 2018).
    """

    embedding: Embedding
    direction: Floats

    @property
    def name(self) -> str:
        """The name of the embedding underneath."""
        return embedding_name(self.embedding)

    def __call__(self, texts: Sequence[str], /) -> Floats:
        """One row per text."""
        rows = self.embedding(texts)
        if rows.shape[1] != len(self.direction):
            return rows
        return unit_rows(rows - np.outer(rows @ self.direction, self.direction))


def without_shared(embedding: Embedding, direction: Sequence[float]) -> Embedding:
    """The embedding without a direction; the embedding itself for an empty one."""
    return WithoutShared(embedding, np.array(direction)) if len(direction) else embedding


def embedding_name(embedding: Embedding) -> str:
    """The name of an embedding: its `name`, or its class."""
    return str(getattr(embedding, "name", type(embedding).__name__))
