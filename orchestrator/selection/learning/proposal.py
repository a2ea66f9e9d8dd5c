"""Proposes changes of skills from recorded work: discovery from texts without a declared demand, merges of skills that
outcomes do not distinguish, splits of skills within which agents differ. Statistics decide; an optional model may
propose splits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from orchestrator.selection.choice.demand_inference import SkillIndex
from orchestrator.selection.choice.embedding import Embedding, HashedEmbedding, embedding_name
from orchestrator.selection.competence.sampling import STRONG, counts_by_agent, log_evidence
from orchestrator.selection.skills.evidence import NOTHING, Profile
from orchestrator.selection.skills.handbook import Handbook, Insight, Skill
from orchestrator.selection.skills.revision import Change

from .llm_judge import split_by_model
from .skill_discovery import LEAST, discover, merge_alike, reassigned, split
from .updates import Observation, learn

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

LEAST_TEXTS: Final = 40
"""Minimum number of distinct texts without a declared demand, before skills are searched for in them."""


@dataclass(frozen=True)
class Proposal:
    """A proposed handbook, and the evidence for its changes."""

    before: Handbook
    after: Handbook
    notes: tuple[str, ...] = ()
    """What was examined and left unchanged, and why."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Discovered skill -> the words that distinguish its texts, for display; kept only on request."""

    @property
    def changed(self) -> bool:
        """Whether there is anything to change."""
        return self.after is not self.before

    @property
    def evidence(self) -> tuple[tuple[str, str], ...]:
        """The changes with their reasons: the new insights, by id."""
        known = self.before.insights
        return tuple((key, each.text) for key, each in self.after.insights.items() if known.get(key) != each)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every change of the handbook."""
        return self.before.diff(self.after)


async def propose(
    handbook: Handbook,
    observations: Sequence[Observation],
    *,
    model: "BaseChatModel | str | None" = None,
    embedding: Embedding | None = None,
    keep_texts: bool = False,
    on_problem: Callable[[str], None] = lambda _: None,
) -> Proposal:
    """Propose skills from recorded work; deterministic for the same handbook and work.

    With a `model`, one call for each skill with enough outcomes: it is shown texts of the work and proposes a split,
    which is used only if it explains the outcomes better than any other. A failing model is reported to `on_problem`.
    Raises `DefinitionError` when the handbook's prototypes are in another embedding.
    """
    embed = embedding or HashedEmbedding()
    after, notes, groups = _discovered(handbook, observations, embed, keep_texts=keep_texts)
    index = SkillIndex(after, embed)
    with_text = [o for o in reassigned_where_open(after, observations, index) if o.text]
    after = merge_alike(after)
    seen = [replace(o, demand=after.resolved(o.demand)) for o in with_text]
    for skill in sorted(after.skills):
        if after.skills[skill].merged_into is not None:
            continue
        mine = [o for o in seen if skill in o.demand.skills]
        if model is not None and len(mine) >= 4 * LEAST and not after.parts.get(skill):
            try:
                after = await split_by_model(model, after, skill, mine, embedding=embed, keep_texts=keep_texts)
                continue
            except Exception as error:
                on_problem(f"no split of {skill} was proposed by the model: {type(error).__name__}")
        after = split(after, skill, mine, embedding=embed, keep_texts=keep_texts)
    most = max((sum(skill in o.demand.skills for o in seen) for skill in after.skills), default=0)
    if after is handbook and 0 < most < 4 * LEAST:
        notes.append(
            f"A split is looked for in {4 * LEAST} or more outcomes of one skill; the most there are is {most}."
        )
    return Proposal(handbook, after, tuple(notes), groups)


def reassigned_where_open(
    handbook: Handbook, observations: Sequence[Observation], index: SkillIndex
) -> list[Observation]:
    """The observations with their recorded demand, else with the demand inferred from their texts."""
    described = handbook.described
    restored: list[Observation] = []
    for seen in observations:
        if seen.demand.neutral and seen.text and described:
            restored += reassigned([seen], index)
        else:
            restored.append(seen)
    return restored


def _discovered(
    handbook: Handbook, observations: Sequence[Observation], embed: Embedding, *, keep_texts: bool
) -> tuple[Handbook, list[str], dict[str, tuple[str, ...]]]:
    """The handbook with skills discovered in texts without a demand, if agents may differ in them; notes; and
    distinctive words.
    """
    seen = reassigned_where_open(handbook, observations, SkillIndex(handbook, embed))
    unexplained = [o for o in seen if o.demand.neutral and o.text]
    texts = list(dict.fromkeys(o.text or "" for o in unexplained))
    if len(texts) < LEAST_TEXTS:
        many = f"{len(texts)} distinct texts are about no known skill"
        return handbook, [f"{many}; skills are looked for in {LEAST_TEXTS} or more."] if texts else [], {}
    groupings = (_grouped(number, texts, unexplained, handbook, embed) for number in _sizes(len(texts)))
    best = max(groupings, key=lambda grouping: grouping.gain)
    if best.gain < -STRONG:
        note = f"{len(texts)} texts fall into {len(best.handbook.skills)} groups that outcomes do not distinguish"
        return handbook, [f"{note} (log Bayes factor {best.gain:.1f})."], {}
    words = {skill.id: skill.indicators for skill in best.handbook.skills.values()}
    made = _taken_in(handbook.under(embedding_name(embed)), best, len(texts), keep_texts=keep_texts)
    return made, [], words


def _taken_in(handbook: Handbook, found: "_Grouping", texts: int, *, keep_texts: bool) -> Handbook:
    """The handbook with discovered skills, and with the record of each agent in them."""
    skills = found.handbook.skills
    kept = skills if keep_texts else {key: _without_words(skill) for key, skill in skills.items()}
    profiles: dict[str, Profile] = dict(handbook.profiles)
    for agent, profile in learn(found.handbook, found.work).profiles.items():
        before = handbook.profile(agent)
        profiles[agent] = before.model_copy(update={"skills": {**before.skills, **profile.skills}})
    factor = f"log Bayes factor {found.gain:.1f} for {len(kept)} skills over one"
    why = f"texts of work that nothing was demanded for; {factor}"
    insights = {
        f"discovered {skill}": Insight(mode="", text=f"{skill} discovered among {texts} {why}", provenance="discovered")
        for skill in kept
    }
    sections: dict[str, Mapping[str, Any]] = {
        "skills": {**handbook.skills, **kept},
        "profiles": profiles,
        "insights": {**handbook.insights, **insights},
    }
    made = handbook.next(f"discovered {len(kept)} skills in {texts} texts", sections)
    space = handbook if _has_prototypes(handbook) else found.handbook
    same = {"shared": space.shared, "boilerplate": space.boilerplate}
    return made.model_copy(update={"sizes": handbook.sizes or found.handbook.sizes, **same})


def _has_prototypes(handbook: Handbook) -> bool:
    """Whether a skill has a prototype: then new ones use the same embedding space."""
    return any(skill.prototype for skill in handbook.skills.values())


@dataclass(frozen=True)
class _Grouping:
    """A grouping of texts, and the evidence that agents differ between the groups."""

    handbook: Handbook
    work: list[Observation]
    gain: float
    """Logarithm of the Bayes factor for this number of skills over one."""


def _sizes(texts: int) -> list[int]:
    """Numbers of groups that are tried: at least ten texts a group, at most 48 groups."""
    return [number for number in (2, 3, 4, 6, 8, 12, 16, 24, 32, 48) if number == 2 or number * 10 <= texts]


def _grouped(
    number: int, texts: Sequence[str], seen: Sequence[Observation], handbook: Handbook, embed: Embedding
) -> _Grouping:
    space: dict[str, Any] = {}
    if _has_prototypes(handbook):
        space = {"shared": handbook.shared, "boilerplate": handbook.boilerplate}
    found = _renamed(discover(texts, skills=number, embedding=embed, **space), handbook)
    work = [o for o in reassigned(seen, SkillIndex(found, embed)) if not o.demand.neutral]
    return _Grouping(found, work, _log_bayes_factor(work))


def _log_bayes_factor(work: Sequence[Observation]) -> float:
    """Logarithm of the Bayes factor for these skills over one, by the outcomes in the main skill of each text."""
    groups: dict[str, list[Observation]] = {}
    for seen in work:
        main = min(seen.demand.items, key=lambda item: (-item[1], item[0]))[0]
        groups.setdefault(main, []).append(seen)
    total = 0.0
    apart = {skill: counts_by_agent(seen) for skill, seen in sorted(groups.items())}
    for agent, together in sorted(counts_by_agent(work).items()):
        total -= log_evidence(together)
        total += sum(log_evidence(each[agent]) for each in apart.values() if each.get(agent, NOTHING).total)
    return total


def _renamed(found: Handbook, handbook: Handbook) -> Handbook:
    """Discovered skills under ids that the handbook does not use yet."""
    skills: dict[str, Skill] = {}
    number = 0
    for _, skill in sorted(found.skills.items()):
        number += 1
        while f"skill-{number:02d}" in handbook.skills:
            number += 1
        skills[f"skill-{number:02d}"] = skill.model_copy(update={"id": f"skill-{number:02d}"})
    return found.model_copy(update={"skills": skills})


def _without_words(skill: Skill) -> Skill:
    return skill.model_copy(update={"name": "", "indicators": (), "examples": ()})


__all__ = ["LEAST_TEXTS", "Proposal", "propose"]
