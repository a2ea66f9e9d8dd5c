"""Nearest examples of a text, by words and parts of words: deterministic, without a model; and default examples."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from orchestrator.graph.revision import GraphRevision

Vector = Mapping[str, float]

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_VALUES: Final = re.compile(
    r"[\"“„«][^\"”“»]{1,400}[\"”“»]|https?://\S+|[\w.+-]+@[\w-]+\.[\w.-]+|\S*/\S+|\b[\w-]+\.[a-z]\w{1,4}\b|\d[\d.,:-]*",
    re.IGNORECASE,
)
"""Pieces of a text that are values, not the request itself: quotations, addresses, files, numbers."""
GRAMS: Final = (3,)
"""Lengths of the parts of words, in characters."""
WORD_SHARE: Final = 0.2
"""Weight of whole words against parts of words."""


def folded_words(text: str) -> list[str]:
    """The words of a text without its values, folded so that case and composition make no difference."""
    folded = unicodedata.normalize("NFKC", _VALUES.sub(" ", text)).casefold()
    return [word.replace("’", "'") for word in _WORD.findall(folded)]


def grams(found: Iterable[str]) -> list[str]:
    """The parts of words, with their edges marked. Scripts without spaces are covered by them, too."""
    parts: list[str] = []
    for word in found:
        marked = f"^{word}$"
        for size in GRAMS:
            parts += [marked[at : at + size] for at in range(max(1, len(marked) - size + 1))]
    return parts


class Neighbours:
    """Texts with labels; `scores` says how near a new text is to each label.

    TF-IDF with sublinear term frequency and smoothed inverse document frequency (Manning, Raghavan, Schütze,
    Introduction to Information Retrieval, 2008, chapter 6), cosine similarity, over words and over parts of words.
    """

    def __init__(self, examples: Sequence[tuple[int, str]]) -> None:
        self._labels = [label for label, _ in examples]
        split = [folded_words(text) for _, text in examples]
        self._words = _Space(split)
        self._grams = _Space([grams(found) for found in split])

    def scores(self, text: str) -> dict[int, float]:
        """Label -> similarity in [0, 1] of its nearest example, supported by its second nearest."""
        found = folded_words(text)
        near: dict[int, list[float]] = {}
        by_word, by_gram = self._words.similarities(found), self._grams.similarities(grams(found))
        for place, label in enumerate(self._labels):
            score = WORD_SHARE * by_word[place] + (1 - WORD_SHARE) * by_gram[place]
            near.setdefault(label, []).append(score)
        return {label: _supported(sorted(scores, reverse=True)) for label, scores in near.items()}


def _supported(scores: Sequence[float]) -> float:
    return scores[0] if len(scores) == 1 else 0.8 * scores[0] + 0.2 * scores[1]


class _Space:
    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        counts = Counter(term for document in documents for term in set(document))
        size = len(documents)
        self._rarity = {term: math.log((1 + size) / (1 + counts[term])) + 1 for term in sorted(counts)}
        self._unseen = math.log(1 + size) + 1
        self._vectors = [self._vector(document) for document in documents]

    def similarities(self, document: Sequence[str]) -> list[float]:
        vector = self._vector(document)
        return [_dot(vector, other) for other in self._vectors]

    def _vector(self, document: Sequence[str]) -> Vector:
        """Terms that no example has count, too: a text of which little is known is near to nothing."""
        terms = Counter(document)
        weights = {t: (1 + math.log(n)) * self._rarity.get(t, self._unseen) for t, n in sorted(terms.items())}
        length = math.sqrt(math.fsum(weight * weight for weight in weights.values()))
        return {term: weight / length for term, weight in weights.items()} if length else {}


def _dot(one: Vector, other: Vector) -> float:
    if len(other) < len(one):
        one, other = other, one
    return math.fsum(weight * other[term] for term, weight in one.items() if term in other)


def examples_of(view: GraphRevision) -> dict[str, list[str]]:
    """For each key that a tool gives: its name in words, and what the tools that give it say they do."""
    found: dict[str, list[str]] = {}
    for key in sorted(view.keys):
        producers = view.producers(key)
        if producers:
            descriptions = [view.tools[name].description.split("\n\n")[0] for name in producers]
            found[key] = [_words(key), *(text for text in descriptions if text), *(_words(name) for name in producers)]
    return found


def _words(name: str) -> str:
    return name.replace("_", " ").replace(".", " ")
