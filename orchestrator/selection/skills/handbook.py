"""`Handbook`: the skills, the record of each agent in them, and insights about the phases of work.

One versioned JSON document. It is never changed in place: each operation returns the next version, which can be rolled
back.
"""

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from orchestrator.core.errors import DefinitionError, nearest
from orchestrator.core.types.schema import explain
from orchestrator.selection.choice.demand import Demand
from orchestrator.selection.learning.cusum import Cusum, DriftSignal

from .evidence import UNSEEN, Evidence, Profile, Surplus
from .revision import Change, Revision, apply_changes, changes_between, inverse_changes

Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S")]


class Skill(BaseModel):
    """A named kind of work that steps demand and agents declare."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Id
    name: str = ""
    """The display name; default: the id."""
    description: str = ""
    indicators: tuple[str, ...] = ()
    """Words and phrases in a text that indicate this skill."""
    examples: tuple[str, ...] = ()
    """Texts that demand it."""
    parent: str | None = None
    """The broader skill of which this is a part."""
    mode: str = ""
    """The phase of work it belongs to; empty for any."""
    provenance: str = "declared"
    """Its source: declared, demanded, discovered, split, proposed by a model."""
    merged_into: str | None = None
    """The skill into which this one was merged, because outcomes do not distinguish them."""
    prototype: tuple[tuple[Annotated[int, Field(ge=0)], float], ...] = ()
    """Its prototype: the largest coordinates of the centre of its texts in the handbook's embedding."""

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name or self.id

    @property
    def says_something(self) -> bool:
        """Whether it has more than a name, so that demands can be inferred from text."""
        body = self.description or self.indicators or self.examples or self.prototype
        return bool(body) and self.merged_into is None


class Insight(BaseModel):
    """Something learned about a phase of work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: str
    text: Annotated[str, StringConstraints(min_length=1)]
    provenance: str = "declared"


KEPT_DRIFT = 100
"""Maximum number of drift signals that wait to be recorded by a run."""
KEPT_REVISIONS = 20
"""Number of versions that can be rolled back."""


class Handbook(BaseModel):
    """Skills, profiles and insights in one version. Raises `DefinitionError` for inconsistent contents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    version: Annotated[int, Field(ge=1)] = 1
    embedding: str = ""
    """Name of the embedding of the prototypes."""
    shared: tuple[float, ...] = ()
    """The common direction, of norm 1, of the texts from which skills were discovered."""
    boilerplate: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Hashes of the word sequences that all these texts repeat, which comparisons ignore; see `boilerplate_of`."""
    sizes: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0, le=1e12)]] | None = None
    """Characters of a short and of a long text; `None` without texts."""
    skills: dict[str, Skill] = {}
    profiles: dict[str, Profile] = {}
    """Profiles by agent."""
    ticks: dict[str, Annotated[int, Field(ge=0)]] = {}
    """Skill -> number of outcomes of all agents in it; the empty name for the total."""
    insights: dict[str, Insight] = {}
    """Insights by id."""
    watched: dict[str, dict[str, Cusum]] = {}
    """Agent -> metric -> the sums of the drift detector. They are not rolled back."""
    drifted: tuple[DriftSignal, ...] = ()
    """Drift that no run has recorded yet."""
    turns: Annotated[int, Field(ge=0)] = 0
    """Number of turns of all processes that use this handbook; each process continues from it."""
    revisions: tuple[Revision, ...] = ()
    """The inverse changes to earlier versions, newest last."""

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        for key, skill in self.skills.items():
            if key != skill.id:
                raise ValueError(f"skill {key!r} calls itself {skill.id!r}")
            if skill.parent is not None and skill.parent not in self.skills:
                raise ValueError(f"skill {key!r} has an unknown parent {skill.parent!r}")
            if key in self.ancestors(key):
                raise ValueError(f"skill {key!r} is its own ancestor")
            if skill.merged_into is not None and (
                skill.merged_into not in self.skills or self.skills[skill.merged_into].merged_into is not None
            ):
                raise ValueError(f"skill {key!r} is merged into {skill.merged_into!r}, which is no skill in use")
        if self.sizes is not None and not self.sizes[0] < self.sizes[1]:
            raise ValueError(f"short texts are shorter than long ones, not {self.sizes[0]:g} to {self.sizes[1]:g}")
        for agent, profile in self.profiles.items():
            unknown = sorted(set(profile.skills) - set(self.skills))
            if unknown:
                raise ValueError(f"profile {agent!r} has evidence for unknown skills: {', '.join(unknown)}")
        return self

    def ancestors(self, skill: str) -> tuple[str, ...]:
        """The broader skills of a skill, nearest first."""
        found: list[str] = []
        current = self.skills.get(skill)
        while current is not None and current.parent is not None and current.parent not in found:
            found.append(current.parent)
            current = self.skills.get(current.parent)
        return tuple(found)

    @cached_property
    def members(self) -> Mapping[str, tuple[str, ...]]:
        """Skill -> the skills that were merged into it."""
        found: dict[str, list[str]] = {}
        for skill in self.skills.values():
            if skill.merged_into is not None:
                found.setdefault(skill.merged_into, []).append(skill.id)
        return {key: tuple(sorted(names)) for key, names in found.items()}

    @cached_property
    def described(self) -> tuple[str, ...]:
        """Skills with more than a name, for which demands can be inferred from text."""
        return tuple(s.id for _, s in sorted(self.skills.items()) if s.says_something)

    @cached_property
    def _merged(self) -> frozenset[str]:
        """Skills that were merged and are pointers now."""
        return frozenset(name for names in self.members.values() for name in names)

    @cached_property
    def parts(self) -> Mapping[str, tuple[str, ...]]:
        """Skill -> the narrower skills of which it is the parent."""
        found: dict[str, list[str]] = {}
        for skill in self.skills.values():
            if skill.parent is not None:
                found.setdefault(skill.parent, []).append(skill.id)
        return {key: tuple(sorted(names)) for key, names in found.items()}

    def resolved(self, demand: Demand) -> Demand:
        """The demand with each merged skill replaced by the one it was merged into."""
        if self._merged.isdisjoint(demand.skills):
            return demand
        weights: dict[str, float] = {}
        for name, weight in demand.items:
            skill = self.skills.get(name)
            target = (skill.merged_into if skill else None) or name
            weights[target] = weights.get(target, 0.0) + weight
        return Demand(weights, source=demand.source, size=demand.size)

    def under(self, embedding: str) -> "Handbook":
        """The handbook for prototypes in this embedding. Raises `DefinitionError` when it has prototypes of another
        one.
        """
        if self.embedding == embedding:
            return self
        if self.embedding and any(skill.prototype for skill in self.skills.values()):
            raise DefinitionError(f"The handbook's prototypes are in {self.embedding!r}, not in {embedding!r}.")
        return self.model_copy(update={"embedding": embedding})

    def skill(self, skill: str) -> Skill:
        """A skill by id. Raises `DefinitionError` when there is none."""
        if skill not in self.skills:
            raise DefinitionError(f"The handbook has no skill {skill!r}.{nearest(skill, self.skills)}")
        return self.skills[skill]

    def profile(self, agent: str) -> Profile:
        """The profile of an agent; an empty one for an unknown agent."""
        return self.profiles.get(agent) or UNSEEN

    def evidence(self, agent: str, skill: str) -> Evidence:
        """The counts of an agent in a skill, decayed to now."""
        return self.profile(agent).evidence(skill).aged(self.ticks.get(skill, 0))

    def record(self, agent: str) -> Evidence:
        """The counts of an agent under any demand, decayed to now."""
        return self.profile(agent).general.aged(self.ticks.get("", 0))

    def by_size(self, agent: str) -> tuple[Surplus, Surplus]:
        """The surplus of an agent in short and in long work, decayed to now."""
        profile, now = self.profile(agent), self.ticks.get("", 0)
        return profile.short.aged(now), profile.long.aged(now)

    def with_skills(self, *skills: Skill, note: str = "") -> "Handbook":
        """The handbook with these skills, each added or replacing the one with its id."""
        added = {**self.skills, **{skill.id: skill for skill in skills}}
        return self.next(note or f"skills {', '.join(s.id for s in skills)}", {"skills": added})

    def without_skill(self, skill: str) -> "Handbook":
        """The handbook without a skill and its evidence. Raises `DefinitionError` while it has parts."""
        self.skill(skill)
        children = sorted(s.id for s in self.skills.values() if s.parent == skill)
        if children:
            raise DefinitionError(f"Skill {skill!r} is the parent of {', '.join(children)}; remove those first.")
        profiles = {
            agent: profile.model_copy(update={"skills": {s: e for s, e in profile.skills.items() if s != skill}})
            if skill in profile.skills
            else profile
            for agent, profile in self.profiles.items()
        }
        skills = {key: value for key, value in self.skills.items() if key != skill}
        return self.next(f"without skill {skill}", {"skills": skills, "profiles": profiles})

    def without_profile(self, agent: str) -> "Handbook":
        """The handbook without the record of an agent. Raises `DefinitionError` when there is none."""
        if agent not in self.profiles:
            raise DefinitionError(f"The handbook has no profile of {agent!r}.{nearest(agent, self.profiles)}")
        rest = {key: value for key, value in self.profiles.items() if key != agent}
        made = self.next(f"without profile {agent}", {"profiles": rest}).with_drift_recorded(agent)
        return made.model_copy(update={"watched": {k: v for k, v in self.watched.items() if k != agent}})

    def with_watch(self, watched: Mapping[str, Mapping[str, Cusum]], found: Iterable[DriftSignal]) -> "Handbook":
        """This version with these sums and drift signals, the latest of each agent and metric."""
        drifted = {(signal.agent, signal.metric): signal for signal in (*self.drifted, *found)}
        return self.model_copy(update={"watched": dict(watched), "drifted": tuple(drifted.values())[-KEPT_DRIFT:]})

    def with_drift_recorded(self, agent: str) -> "Handbook":
        """This version without the drift of an agent, which a run has recorded."""
        rest = tuple(signal for signal in self.drifted if signal.agent != agent)
        return self if rest == self.drifted else self.model_copy(update={"drifted": rest})

    def merge(self, other: "Handbook") -> "Handbook":
        """This handbook merged with another.

        Evidence is added, so the two must come from different runs. Raises `DefinitionError` when they describe a skill
        or an insight differently.
        """
        for word, mine, theirs in (("skill", self.skills, other.skills), ("insight", self.insights, other.insights)):
            differing = sorted(key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key])
            if differing:
                raise DefinitionError(
                    f"The handbooks describe {word} {differing[0]!r} differently; make them agree before the merge."
                )
        if self.sizes != other.sizes and self.sizes is not None and other.sizes is not None:
            raise DefinitionError("The handbooks differ in what a long text is; discover both in the same texts.")
        profiles = dict(self.profiles)
        for agent, profile in other.profiles.items():
            profiles[agent] = profiles[agent].plus(profile) if agent in profiles else profile
        skills, insights = {**self.skills, **other.skills}, {**self.insights, **other.insights}
        note = f"merged with version {other.version} of another"
        ticks = {name: self.ticks.get(name, 0) + other.ticks.get(name, 0) for name in {*self.ticks, *other.ticks}}
        ticks = dict(sorted(ticks.items()))
        made = self.next(note, {"skills": skills, "profiles": profiles, "insights": insights, "ticks": ticks})
        return made.model_copy(update={"sizes": self.sizes or other.sizes})

    def diff(self, other: "Handbook") -> tuple[Change, ...]:
        """The changes from this handbook to `other`, sorted by path."""
        return changes_between(self._sections(), other._sections())

    def roll_back(self, version: int) -> "Handbook":
        """The next version, with the contents of an earlier one. Raises `DefinitionError` when that is not kept any
        more.
        """
        kept = [revision.version for revision in self.revisions]
        if version not in kept:
            known = ", ".join(map(str, kept)) or "none"
            raise DefinitionError(f"Version {version} cannot be rolled back to. Kept: {known}.")
        data = self._plain_sections()
        for revision in reversed([r for r in self.revisions if r.version >= version]):
            data = apply_changes(data, revision.undo)
        earlier = Handbook.model_validate(data)
        return self.next(f"rolled back to version {version}", earlier._sections())

    def with_changes(self, changes: Iterable[Change], note: str) -> "Handbook":
        """The handbook with the changes of a `diff` of two others. Raises `DefinitionError` when the result is
        inconsistent.
        """
        return self.replaced_by(_validated(apply_changes(self._plain_sections(), changes)), note)

    def with_missing(self, other: "Handbook") -> "Handbook":
        """The handbook with those skills, insights and profiles of another that it lacks; unchanged if there are
        none.
        """
        mine, theirs = self._sections(), other._sections()
        missing = [name for name in ("skills", "profiles", "insights") if theirs[name].keys() - mine[name].keys()]
        if not missing:
            return self
        try:
            made = self.next("what was given beside", {name: {**theirs[name], **mine[name]} for name in missing})
        except DefinitionError:  # the broader skills of the other were removed here
            return self
        kept = {"embedding": self.embedding or other.embedding, "sizes": self.sizes or other.sizes}
        return made.model_copy(update=kept)

    def replaced_by(self, other: "Handbook", note: str) -> "Handbook":
        """The next version, with the contents of another handbook."""
        made = self.next(note, other._sections())
        kept = {"embedding": other.embedding or self.embedding, "sizes": other.sizes or self.sizes}
        return made.model_copy(update=kept)

    def next(self, note: str, sections: Mapping[str, Mapping[str, Any]], *, check: bool = True) -> "Handbook":
        """The next version with these sections replaced, and with the inverse changes.

        Raises `DefinitionError` when the result is inconsistent; `check=False` skips the check for changes that are
        always valid.
        """
        after = {**self._sections(), **sections}
        revision = Revision(
            version=self.version, note=note, undo=inverse_changes(changes_between(self._sections(), after))
        )
        kept = {name: getattr(self, name) for name in ("embedding", "sizes", "turns", "watched", "drifted")}
        revisions = (*self.revisions, revision)[-KEPT_REVISIONS:]
        fields = {**kept, **after, "version": self.version + 1, "revisions": revisions}
        return _validated(fields) if check else self.model_copy(update=fields)

    def _plain_sections(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"skills", "profiles", "insights", "ticks"})

    def _sections(self) -> dict[str, Mapping[str, Any]]:
        return {"skills": self.skills, "profiles": self.profiles, "insights": self.insights, "ticks": self.ticks}

    @classmethod
    def of(cls, skills: Iterable[Skill | str]) -> "Handbook":
        """A first version with these skills."""
        made = [Skill(id=skill) if isinstance(skill, str) else skill for skill in skills]
        return _validated({"skills": {skill.id: skill for skill in made}})

    @classmethod
    def from_json(cls, text: str | bytes) -> "Handbook":
        """Parse a JSON text. Raises `DefinitionError` with the place and the problem."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DefinitionError(f"This is no handbook: {explain(error)}") from None

    def to_json(self) -> str:
        """The JSON text, the same for the same handbook."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> "Handbook":
        """Read a file. Raises `DefinitionError` when it cannot be read or is no handbook."""
        try:
            return cls.from_json(Path(path).read_bytes())
        except OSError as error:
            raise DefinitionError(f"{path}: cannot be read ({type(error).__name__}).") from None
        except DefinitionError as error:
            raise DefinitionError(f"{path}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write a file of mode 0600 atomically: a reader finds the old or the new version, never a part of one."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(self.to_json())
        draft.replace(target)


def _validated(fields: Mapping[str, Any]) -> Handbook:
    try:
        return Handbook(**fields)
    except ValidationError as error:
        raise DefinitionError(f"The handbook would make no sense: {explain(error)}") from None
