"""What a text demands: its nearest neighbours among the bodies of the skills."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.selection.competence.sampling import Floats
from orchestrator.selection.competence.task_size import size_of
from orchestrator.selection.skills.handbook import Handbook, Skill

from .boilerplate import WithoutBoilerplate, without_boilerplate
from .demand import Demand
from .embedding import Embedding, HashedEmbedding, embedding_name, unit_rows, without_shared, words_of

NEIGHBOURS = 8
"""Skills that a text may demand at one time."""
FLOOR = 0.08
"""The least similarity that means anything."""
SURE = 0.3
"""The similarity from which a text is taken to be about a skill with some certainty."""
SHARPNESS = 0.04
"""Difference in similarity that makes one skill e times as likely as another."""


@dataclass(frozen=True, slots=True)
class Inference:
    """How strongly a text is about one skill, and which words say so."""

    skill: str
    score: float
    """At least 0; 1 is a text that repeats an example or says every indicator."""
    because: tuple[str, ...]
    """The indicators found in the text, or the nearest example."""


class SkillIndex:
    """Skills by their bodies: name, description, indicators, examples, and where the texts of a found skill lie.

    A skill's score is the best of: the share of its rarest indicators that the text says, the similarity to its
    nearest example, and the similarity to its prototype. A text that is about none of the skills demands nothing.
    """

    def __init__(self, handbook: Handbook, embedding: Embedding | None = None) -> None:
        self.handbook = handbook
        self.embedding = embedding_of(handbook, embedding)
        self._runs = frozenset(handbook.boilerplate)
        self._skills = [s for _, s in sorted(handbook.skills.items()) if s.merged_into is None]
        bodies = [(row, text) for row, skill in enumerate(self._skills) for text in body_of(skill)]
        self._owner = np.array([row for row, _ in bodies], dtype=np.intp)
        self._texts = [text for _, text in bodies]
        self._vectors: Floats = self.embedding(self._texts) if bodies else np.zeros((0, 1))
        use_prototypes = handbook.embedding == embedding_name(self.embedding)
        self._prototypes = _prototypes(self._skills, self._vectors.shape[1]) if use_prototypes else None
        self._rarity = _rarity(self._skills)

    def scores(self, text: str, among: Iterable[str] | None = None) -> list[Inference]:
        """Every skill (or those `among` which to look) with its score, best first."""
        if not self._texts:
            return []
        vector: Floats = self.embedding([text])[0]
        near: Floats = self._vectors @ vector
        middle: Floats = np.zeros(len(self._skills)) if self._prototypes is None else self._prototypes @ vector
        tokens = words_of(without_boilerplate(text, self._runs))
        allowed = None if among is None else set(among)
        found: list[Inference] = []
        for row, skill in enumerate(self._skills):
            if allowed is not None and skill.id not in allowed:
                continue
            mine = np.flatnonzero(self._owner == row)
            nearest = int(mine[int(np.argmax(near[mine]))])
            lexical, hits = self._lexical(skill, tokens)
            ways = (
                (lexical, hits),
                (float(near[nearest]), (self._texts[nearest],)),
                (float(middle[row]), ("prototype",)),
            )
            score, because = max(ways, key=lambda way: way[0])
            found.append(Inference(skill.id, max(0.0, score), because))
        return sorted(found, key=lambda item: (-item.score, item.skill))

    def demand(self, text: str, among: Iterable[str] | None = None) -> Demand:
        """What a text demands: its nearest skills, weighed by how near they are (a softmax over the scores); and how
        long it is, where the handbook knows what is long."""
        near = [item for item in self.scores(text, among)[:NEIGHBOURS] if item.score > FLOOR]
        weights = {item.skill: math.exp((item.score - near[0].score) / SHARPNESS) for item in near}
        demanded = {skill: weight for skill, weight in weights.items() if weight > 0.01}
        return Demand(demanded, source="inferred", size=self._size(text))

    def sure(self, text: str, among: Iterable[str] | None = None) -> bool:
        """Whether a text is about a skill with some certainty: it is near to one, and to few others."""
        near = [item for item in self.scores(text, among)[:NEIGHBOURS] if item.score > FLOOR]
        if not near or near[0].score < SURE:
            return False
        return sum(math.exp((item.score - near[0].score) / SHARPNESS) for item in near) <= 2

    def refined(self, demand: Demand, text: str) -> Demand:
        """A declared demand with each skill that was split replaced by those of its parts that the text is about, and
        with the size of the text."""
        weights: dict[str, float] = {}
        for skill, weight in demand.items:
            parts = self.demand(text, self.handbook.parts.get(skill, ()))
            for name, share in parts.items or ((skill, 1.0),):
                weights[name] = weights.get(name, 0.0) + weight * share
        return Demand(weights, source=demand.source, size=self._size(text))

    def _size(self, text: str) -> float | None:
        """How long a text is without what all texts repeat; `None` where the handbook does not know what is long."""
        return size_of(without_boilerplate(text, self._runs), self.handbook.sizes)

    def _lexical(self, skill: Skill, tokens: Sequence[str]) -> tuple[float, tuple[str, ...]]:
        """The rarity of the two rarest indicators that the text says, out of that of the rarest two there are."""
        words, plain = set(tokens), f" {' '.join(tokens)} "
        worth: list[tuple[float, str]] = []
        for indicator in skill.indicators:
            parts = words_of(indicator)
            there = parts and (parts[0] in words if len(parts) == 1 else f" {' '.join(parts)} " in plain)
            if there:
                worth.append((max(self._rarity[part] for part in parts), indicator))
        if not worth:
            return 0.0, ()
        worth.sort(reverse=True)
        best = sum(sorted((self._rarity[w] for i in skill.indicators for w in set(words_of(i))), reverse=True)[:2])
        return min(1.0, sum(value for value, _ in worth[:2]) / best), tuple(name for _, name in worth)


def embedding_of(handbook: Handbook, embedding: Embedding | None = None) -> Embedding:
    """The embedding in which the skills of a handbook lie: without what the texts of that handbook share."""
    plain = embedding or HashedEmbedding()
    shared = handbook.shared if handbook.embedding == embedding_name(plain) else ()
    if handbook.boilerplate:
        plain = WithoutBoilerplate(plain, frozenset(handbook.boilerplate))
    return without_shared(plain, shared)


def body_of(skill: Skill) -> list[str]:
    """The texts that describe a skill: examples one by one, the rest together."""
    about = " ".join((skill.title.replace("_", " ").replace("-", " "), skill.description, *skill.indicators))
    return [about, *skill.examples]


def _prototypes(skills: Sequence[Skill], dimensions: int) -> Floats:
    rows: Floats = np.zeros((len(skills), dimensions))
    for row, skill in zip(rows, skills, strict=True):
        for place, value in skill.prototype:
            if place < dimensions:
                row[place] = value
    return unit_rows(rows)


def _rarity(skills: Sequence[Skill]) -> dict[str, float]:
    """Inverse document frequency of every word in the skills' bodies (a skill is a document)."""
    counts = Counter(word for skill in skills for word in {w for text in body_of(skill) for w in words_of(text)})
    return {word: 1 + math.log((1 + len(skills)) / (1 + count)) for word, count in sorted(counts.items())}
