"""Discovers skills in texts, splits a skill within which agents differ, merges skills that outcomes do not distinguish.
No evidence is lost: a split skill becomes the parent of its parts, a merged one points to the other.
"""

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.selection.choice.boilerplate import boilerplate_of, without_boilerplate
from orchestrator.selection.choice.demand import Demand
from orchestrator.selection.choice.demand_inference import SkillIndex, embedding_of
from orchestrator.selection.choice.embedding import (
    Embedding,
    HashedEmbedding,
    embedding_name,
    shared_direction,
    unit_rows,
    without_shared,
    words_of,
)
from orchestrator.selection.choice.pool import Bools
from orchestrator.selection.competence.sampling import STRONG, Floats, counts_by_agent, separation
from orchestrator.selection.competence.task_size import measured
from orchestrator.selection.skills.evidence import Evidence, Profile
from orchestrator.selection.skills.handbook import Handbook, Insight, Skill

from .updates import Observation, learn

Labels = NDArray[np.intp]


def spherical_kmeans(vectors: Floats, groups: int, *, seed: int = 0, rounds: int = 20) -> tuple[Floats, Labels]:
    """Centres of norm 1 and the group of each row (Dhillon and Modha, Machine Learning, 2001).

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
    """Initial centres: rows drawn with a probability that grows with the distance from those drawn before
    (k-means++).
    """
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
    """The first principal component of the rows, by power iteration from a fixed start."""
    centred = vectors - vectors.mean(axis=0)
    direction: Floats = centred[int(np.argmax(np.linalg.norm(centred, axis=1)))].copy()
    for _ in range(rounds):
        length = float(np.linalg.norm(direction))
        if length <= 0:
            break
        direction = centred.T @ (centred @ (direction / length))
    length = float(np.linalg.norm(direction))
    return direction / length if length > 0 else direction


def distinctive_words(texts: Sequence[str], others: Sequence[str], count: int = 8) -> tuple[str, ...]:
    """The words that distinguish some texts from others: log-odds of document frequency, smoothed; best first."""
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


LEAST = 12
"""Minimum number of observations of each part in the validation half."""


@dataclass(frozen=True)
class Cut:
    """A cut through a set of texts."""

    direction: Floats
    border: float
    proposed_by: str
    """Its source: the texts, an agent's outcomes, or a model."""

    def first(self, vectors: Floats) -> Bools:
        """Which texts are in the first part."""
        side: Bools = vectors @ self.direction > self.border
        return side


def proposals(observations: Sequence[Observation], vectors: Floats) -> list[Cut]:
    """Cuts where the texts differ most, and where each agent's outcomes differ most over the texts."""
    middle = vectors.mean(axis=0)
    widest = widest_direction(vectors)
    cuts = [Cut(widest, float(middle @ widest), "texts")]
    for agent, seen in counts_by_agent(observations).items():
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
    """The cut that explains the validation half best, with the logarithm of its Bayes factor; `None` when none is
    strong evidence.

    Halves are assigned by a hash of the text, so no text is in both, and chance is not mistaken for structure.
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
        gain = separation(counts_by_agent(inside), counts_by_agent(outside))
        if gain > STRONG and (best is None or gain > best[1]):
            best = (cut, gain)
    return best


KEPT_COORDINATES = 256


def discover(
    texts: Sequence[str],
    *,
    skills: int | None = None,
    embedding: Embedding | None = None,
    keep_texts: bool = True,
    shared: Sequence[float] | None = None,
    boilerplate: Sequence[int] | None = None,
) -> Handbook:
    """A handbook of skills discovered in texts: offline, without a model, deterministic.

    `skills` is the maximum number; default: one for every 50 texts, from 2 to 48. Without `keep_texts` the handbook
    holds no words of the texts, only their prototypes. `shared` is the direction of the embedding that is ignored
    because all texts have it (empty: none); default: the mean direction of `texts`. `boilerplate` are the runs of words
    that all texts repeat; default: those of `texts`.
    """
    plain = embedding or HashedEmbedding()
    distinct = list(dict.fromkeys(texts))
    runs = tuple(boilerplate_of(distinct) if boilerplate is None else boilerplate)
    own = [without_boilerplate(text, frozenset(runs)) for text in distinct]
    common = shared_direction(plain(own)).round(7).tolist() if shared is None else list(shared)
    embed = without_shared(plain, common)
    vectors = embed(own)
    wanted = skills or max(2, min(48, len(distinct) // 50))
    _, labels = spherical_kmeans(vectors, wanted)
    found: list[Skill] = []
    for group in np.unique(labels):
        inside: Bools = labels == group
        skill_id = f"skill-{len(found) + 1:02d}"
        found.append(_made(Skill(id=skill_id, provenance="discovered"), own, vectors, inside, keep_texts))
    return Handbook(
        skills={skill.id: skill for skill in found},
        embedding=embedding_name(embed),
        shared=tuple(common),
        boilerplate=runs,
        sizes=measured(own),
    )


def split(
    handbook: Handbook,
    skill: str,
    observations: Sequence[Observation],
    *,
    embedding: Embedding | None = None,
    keep_texts: bool = False,
    extra: Sequence[Cut] = (),
) -> Handbook:
    """The handbook with a skill split in two, if the agents differ within it; else the same handbook.

    Only observations with a text are used. The skill becomes the parent of its parts, whose evidence is counted again;
    an insight keeps the statistics.
    """
    embed = embedding_of(handbook, embedding)
    seen = [o for o in observations if o.text and skill in o.demand.skills]
    if len(seen) < 4 * LEAST or any(s.parent == skill for s in handbook.skills.values()):
        return handbook
    texts = [o.text or "" for o in seen]
    vectors = embed(texts)
    found = best_cut(seen, vectors, extra)
    if found is None:
        return handbook
    cut, gain = found
    side = cut.first(vectors)
    sides = {f"{skill}/1": side, f"{skill}/2": ~side}
    mode = handbook.skills[skill].mode
    bare = [Skill(id=name, parent=skill, mode=mode, provenance="split") for name in sides]
    parts = [_made(part, texts, vectors, sides[part.id], keep_texts) for part in bare]
    recounted = [
        Observation(o.agent, Demand(f"{skill}/{1 if first else 2}"), o.success, o.weight)
        for o, first in zip(seen, side.tolist(), strict=True)
    ]
    text = f"{skill} split by {cut.proposed_by}: log Bayes factor {gain:.1f} over {len(seen)} outcomes"
    sections: dict[str, Mapping[str, Any]] = {
        "skills": {**handbook.skills, **{part.id: part for part in parts}},
        "profiles": _with_parts(handbook, parts, recounted),
        "insights": {**handbook.insights, f"split {skill}": Insight(mode=mode, text=text, provenance="split")},
    }
    return handbook.next(text, sections).under(embedding_name(embed))


def merge_alike(handbook: Handbook) -> Handbook:
    """The handbook with skills merged that outcomes do not distinguish, if they have the same parent and mode and no
    parts.

    The merged skill is kept as a pointer, so that its name still works; its evidence is added to the other's.
    """
    parents = {s.parent for s in handbook.skills.values()}
    while True:
        live = [s for s in handbook.skills.values() if s.merged_into is None and s.id not in parents]
        pairs = [
            (separation(_counts(handbook, one.id), _counts(handbook, other.id)), one.id, other.id)
            for one, other in combinations(sorted(live, key=lambda s: s.id), 2)
            if one.parent == other.parent and one.mode == other.mode
        ]
        alike = min(pairs, default=None)
        if alike is None or alike[0] >= -STRONG:
            return handbook
        handbook = _merged(handbook, alike[1], alike[2], alike[0])


def restructure(
    handbook: Handbook,
    observations: Sequence[Observation],
    *,
    embedding: Embedding | None = None,
    keep_texts: bool = False,
) -> Handbook:
    """Merge skills that outcomes do not distinguish, then split where agents differ. Run it while no run is live."""
    handbook = merge_alike(handbook)
    for skill in sorted(handbook.skills):
        if handbook.skills[skill].merged_into is None:
            handbook = split(handbook, skill, observations, embedding=embedding, keep_texts=keep_texts)
    return handbook


def reassigned(observations: Sequence[Observation], index: SkillIndex) -> list[Observation]:
    """The observations with the demand of their texts in a handbook; those without a text are unchanged."""
    return [
        Observation(o.agent, index.demand(o.text), o.success, o.weight, o.seconds, o.usd, o.tokens) if o.text else o
        for o in observations
    ]


def learned_from(
    handbook: Handbook, observations: Sequence[Observation], embedding: Embedding | None = None
) -> Handbook:
    """The handbook after learning from recorded runs with the demand inferred from each text."""
    return learn(handbook, reassigned(observations, SkillIndex(handbook, embedding)))


def _between(one: Skill, other: Skill, weights: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """The common prototype of two skills, weighted by their numbers of observations."""
    if not one.prototype or not other.prototype:
        return one.prototype or other.prototype
    middle: dict[int, float] = {}
    for skill, weight in zip((one, other), weights, strict=True):
        for place, value in skill.prototype:
            middle[place] = middle.get(place, 0.0) + weight * value
    length = math.sqrt(math.fsum(value * value for value in middle.values())) or 1.0
    largest = sorted(sorted(middle), key=lambda place: -abs(middle[place]))[:KEPT_COORDINATES]
    return tuple((place, round(middle[place] / length, 6)) for place in sorted(largest) if middle[place] != 0)


def _made(skill: Skill, texts: Sequence[str], vectors: Floats, inside: Bools, keep_texts: bool) -> Skill:
    """A skill described by its texts."""
    middle = unit_rows(vectors[inside].mean(axis=0, keepdims=True))[0]
    largest = sorted(np.argsort(-np.abs(middle), kind="stable")[:KEPT_COORDINATES].tolist())
    prototype = tuple((int(place), round(float(middle[place]), 6)) for place in largest if middle[place] != 0)
    if not keep_texts:
        return skill.model_copy(update={"prototype": prototype})
    mine = [text for text, here in zip(texts, inside.tolist(), strict=True) if here]
    rest = [text for text, here in zip(texts, inside.tolist(), strict=True) if not here]
    words = distinctive_words(mine, rest)
    body = {"indicators": words, "examples": typical_texts(mine, vectors[inside]), "name": " ".join(words[:3])}
    return skill.model_copy(update={"prototype": prototype, **body})


def _with_parts(handbook: Handbook, parts: Sequence[Skill], recounted: Sequence[Observation]) -> dict[str, Profile]:
    scratch = learn(Handbook.of(part.model_copy(update={"parent": None}) for part in parts), recounted)
    profiles = dict(handbook.profiles)
    for agent, profile in scratch.profiles.items():
        before = handbook.profile(agent)
        profiles[agent] = before.model_copy(update={"skills": {**before.skills, **profile.skills}})
    return profiles


def _counts(handbook: Handbook, skill: str) -> dict[str, Evidence]:
    return {agent: profile.skills[skill] for agent, profile in handbook.profiles.items() if skill in profile.skills}


def _merged(handbook: Handbook, kept: str, gone: str, factor: float) -> Handbook:
    profiles: dict[str, Profile] = {}
    for agent, profile in handbook.profiles.items():
        both = profile.evidence(kept).plus(profile.evidence(gone))
        rest = {name: seen for name, seen in profile.skills.items() if name != gone}
        profiles[agent] = profile.model_copy(update={"skills": {**rest, kept: both}}) if both.total else profile
    one, other = handbook.skills[kept], handbook.skills[gone]
    seen = [sum(each.total for each in _counts(handbook, skill).values()) for skill in (kept, gone)]
    body = {
        "prototype": _between(one, other, seen),
        "indicators": tuple(dict.fromkeys((*one.indicators, *other.indicators))),
        "examples": tuple(dict.fromkeys((*one.examples, *other.examples))),
    }
    skills = {
        **handbook.skills,
        kept: one.model_copy(update=body),
        gone: other.model_copy(update={"merged_into": kept}),
    }
    text = f"{gone} merged into {kept}: log Bayes factor {-factor:.1f} for one skill"
    insights = {**handbook.insights, f"merge {gone}": Insight(mode=one.mode, text=text, provenance="merged")}
    return handbook.next(text, {"skills": skills, "profiles": profiles, "insights": insights})
