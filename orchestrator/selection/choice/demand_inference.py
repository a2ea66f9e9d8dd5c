"""Infers the demand of a text: its nearest neighbours among the descriptions of the skills."""

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
"""Maximum number of skills in the demand of a text."""
FLOOR = 0.08
"""Minimum similarity that counts."""
SURE = 0.3
"""Similarity from which a text is confidently about a skill."""
SHARPNESS = 0.04
"""Temperature of the softmax: this difference in similarity makes a skill e times as likely."""


@dataclass(frozen=True, slots=True)
class Inference:
    """How strongly a text is about one skill, and the evidence."""

    skill: str
    score: float
    """At least 0; 1 for a text that repeats an example or contains every indicator."""
    because: tuple[str, ...]
    """The indicators found in the text, or the nearest example."""


class SkillIndex:
    """An index of skills by name, description, indicators, examples, and the prototypes of discovered skills.

    A skill's score is the maximum of: the share of its rarest indicators in the text, the similarity to its nearest
    example, and the similarity to its prototype. A text that is about none of the skills has a neutral demand.
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
        """Every skill (or those `among` the given ones) with its score, best first."""
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
        """The demand of a text: its nearest skills, weighted by a softmax over their scores; and its length, if the
        handbook has a scale of lengths.
        """
        near = [item for item in self.scores(text, among)[:NEIGHBOURS] if item.score > FLOOR]
        weights = {item.skill: math.exp((item.score - near[0].score) / SHARPNESS) for item in near}
        demanded = {skill: weight for skill, weight in weights.items() if weight > 0.01}
        return Demand(demanded, source="inferred", size=self._size(text))

    def sure(self, text: str, among: Iterable[str] | None = None) -> bool:
        """Whether a text is confidently about a skill: it is similar to one, and to few others."""
        near = [item for item in self.scores(text, among)[:NEIGHBOURS] if item.score > FLOOR]
        if not near or near[0].score < SURE:
            return False
        return sum(math.exp((item.score - near[0].score) / SHARPNESS) for item in near) <= 2

    def refined(self, demand: Demand, text: str) -> Demand:
        """A declared demand in which each split skill is replaced by those of its parts that the text is about, with
        the size of the text.
        """
        weights: dict[str, float] = {}
        for skill, weight in demand.items:
            parts = self.demand(text, self.handbook.parts.get(skill, ()))
            for name, share in parts.items or ((skill, 1.0),):
                weights[name] = weights.get(name, 0.0) + weight * share
        return Demand(weights, source=demand.source, size=self._size(text))

    def _size(self, text: str) -> float | None:
        """The length of a text without boilerplate, from 0 to 1; `None` if the handbook has no scale of lengths."""
        return size_of(without_boilerplate(text, self._runs), self.handbook.sizes)

    def _lexical(self, skill: Skill, tokens: Sequence[str]) -> tuple[float, tuple[str, ...]]:
        """The rarity of the two rarest indicators in the text, divided by that of the two rarest of the skill."""
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
    """The embedding of a handbook's skills, without what the texts of that handbook share."""
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
