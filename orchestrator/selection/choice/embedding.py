"""Texts as vectors without a download: hashed words, word pairs and letter groups. Any other embedding plugs in."""

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
"""Words that say nothing about what a text demands."""


class Embedding(Protocol):
    """Texts in, one row of length 1 per text out, shape (texts, dimensions); a text without words is all zero."""

    def __call__(self, texts: Sequence[str], /) -> Floats:
        """Embed."""
        ...


@dataclass(frozen=True)
class HashedEmbedding:
    """Feature hashing (Weinberger et al., ICML 2009) of words, word pairs and groups of `letters` letters.

    The same text gives the same vector on every machine. Similar words share letter groups, so endings and slips of
    the pen do little harm.
    """

    dimensions: int = 2048
    letters: int = 4

    @property
    def name(self) -> str:
        """What prototypes in this embedding are marked with."""
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
    """Words weigh most, pairs and letter groups about half as much each."""
    return 0.6 if feature.startswith("#") else 0.5 if " " in feature else 1.0


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without those that say nothing."""
    return [word for word in WORD.findall(text.lower()) if word not in STOP]


def unit_rows(rows: Floats) -> Floats:
    """Every row scaled to length 1; zero rows stay zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Floats = rows / np.where(length > 0, length, 1.0)
    return scaled


def shared_direction(rows: Floats) -> Floats:
    """The direction that all texts share, of length 1: the mean of their vectors; zero where there are none."""
    if not len(rows):
        return np.zeros(int(rows.shape[1]))
    direction: Floats = unit_rows(rows.mean(axis=0, keepdims=True))[0]
    return direction


@dataclass(frozen=True)
class WithoutShared:
    """An embedding without what all texts share: every vector is projected onto the complement of `direction`.

    A fixed prefix (a system prompt, a template) would otherwise decide the similarity of all texts. Removing the
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
    """What an embedding is called: its own `name`, or its class."""
    return str(getattr(embedding, "name", type(embedding).__name__))
