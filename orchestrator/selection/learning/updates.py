"""Learning from outcomes: pure functions from a handbook and observations to the next handbook."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from orchestrator.core.errors import InputError
from orchestrator.selection.choice.demand import Demand
from orchestrator.selection.competence.priors import TRANSFER
from orchestrator.selection.competence.task_size import size_weights
from orchestrator.selection.skills.evidence import Evidence, Profile, Surplus
from orchestrator.selection.skills.handbook import Handbook, Skill

CHECKED = 0.25
"""Weight of an outcome that only validation and `ensure` have judged; a person's judgement weighs 1. It is low because
competence is about work that passes every check and is still not good.
"""


class Spent(TypedDict, total=False):
    """What a call consumed, as far as known."""

    seconds: float
    usd: float
    tokens: float
    tool_calls: float


@dataclass(frozen=True, slots=True)
class Observation:
    """The outcome of one piece of work by one agent."""

    agent: str
    demand: Demand
    success: bool
    weight: float = 1.0
    """Trust in the judgement, in (0, 1]."""
    seconds: float | None = None
    usd: float | None = None
    tokens: float | None = None
    tool_calls: float | None = None
    text: str | None = None
    """The text of the work; kept in memory only, for splits and discovery."""

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise InputError(f"The weight of an outcome is in (0, 1], not {self.weight!r}.")
        for label in ("seconds", "usd", "tokens", "tool_calls"):
            value = getattr(self, label)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{label} of an outcome is a finite number, not below zero; it was {value!r}.")


def credited(demand: Demand, handbook: Handbook) -> dict[str, float]:
    """Skill -> share of an outcome: each demanded skill gets its weight, and each broader skill the weight of its
    parts.
    """
    demand = handbook.resolved(demand)
    shares = demand.weights
    for skill, share in demand.items:
        for broader in handbook.ancestors(skill):
            shares[broader] = min(1.0, shares.get(broader, 0.0) + share)
    return shares


def observed(profile: Profile, seen: Observation, shares: Mapping[str, float], ticks: Mapping[str, int]) -> Profile:
    """A profile after one outcome, which counts in each skill by its share; `ticks`: the outcome counts of the skills
    after it.
    """
    skills = dict(profile.skills)
    for skill, share in shares.items():
        before = profile.evidence(skill).aged(ticks[skill] - 1)
        skills[skill] = before.observe(seen.success, seen.weight * share, at=ticks[skill])
    stats = {
        name: getattr(profile, name).observe(value)
        for name in ("usd", "seconds", "tokens")
        if (value := getattr(seen, name)) is not None
    }
    general = profile.general.aged(ticks[""] - 1).observe(seen.success, seen.weight, at=ticks[""])
    sized = {} if seen.demand.size is None else _by_size(profile, seen, seen.demand.size, ticks[""])
    return profile.model_copy(update={"skills": skills, "general": general, **sized, **stats})


def _by_size(profile: Profile, seen: Observation, size: float, tick: int) -> dict[str, Surplus]:
    """The surplus of short and of long work after an outcome, which counts in either by its size."""
    surplus = seen.success - expected_by_skill(profile, seen.demand)
    ends = zip(("short", "long"), (profile.short, profile.long), size_weights(size), strict=True)
    return {
        name: before.aged(tick - 1).observe(surplus, seen.weight * share, tick) for name, before, share in ends if share
    }


def expected_by_skill(profile: Profile, demand: Demand) -> float:
    """The probability of success in each demanded skill from the record alone, shrunk towards that of the whole record
    with the weight of eight calls.
    """
    general = profile.general
    overall = (TRANSFER / 2 + general.successes) / (TRANSFER + general.total)
    if demand.neutral:
        return overall
    parts = [(weight, profile.evidence(skill)) for skill, weight in demand.items]
    return math.fsum(weight * (TRANSFER * overall + seen.successes) / (TRANSFER + seen.total) for weight, seen in parts)


def learn(handbook: Handbook, observations: Sequence[Observation], present: Iterable[str] = ()) -> Handbook:
    """The next version of a handbook after a batch of outcomes, in order; unchanged for an empty batch.

    An unknown demanded skill is added. The agents `present` at the very first outcomes start on equal terms; later
    agents are newcomers.
    """
    if not observations:
        return handbook
    profiles = dict(handbook.profiles) or {name: Profile(founding=True) for name in sorted(present)}
    ticks = dict(handbook.ticks)
    for seen in observations:
        demand = handbook.resolved(seen.demand)
        seen = seen if demand is seen.demand else replace(seen, demand=demand)
        shares = credited(demand, handbook)
        for name in ("", *shares):
            ticks[name] = ticks.get(name, 0) + 1
        profiles[seen.agent] = observed(profiles.get(seen.agent) or Profile(), seen, shares, ticks)
    skills = with_new_skills(handbook, (skill for seen in observations for skill in seen.demand.skills))
    note = f"learned from {len(observations)} outcome{'s' if len(observations) > 1 else ''}"
    return handbook.next(note, {"skills": skills, "profiles": profiles, "ticks": ticks}, check=False)


def with_new_skills(handbook: Handbook, names: Iterable[str]) -> dict[str, Skill]:
    """The handbook's skills and an entry for each name that it lacks."""
    missing = [name for name in dict.fromkeys(names) if name not in handbook.skills]
    if not missing:
        return handbook.skills
    return {**handbook.skills, **{name: Skill(id=name, provenance="demanded") for name in missing}}


def forget(handbook: Handbook, agent: str, calls: float = 10.0) -> Handbook:
    """The handbook with an agent's record reduced to at most `calls` calls: its rates stay, and new evidence soon
    outweighs them.
    """
    profile = handbook.profile(agent)
    faded = profile.model_copy(
        update={
            "skills": {skill: _at_most(seen, calls) for skill, seen in profile.skills.items()},
            "general": _at_most(profile.general, calls),
            "short": _surplus_at_most(profile.short, calls / 2),
            "long": _surplus_at_most(profile.long, calls / 2),
        }
    )
    return handbook.next(f"record of {agent} faded", {"profiles": {**handbook.profiles, agent: faded}}, check=False)


def _at_most(seen: Evidence, calls: float) -> Evidence:
    return seen.scaled(calls / seen.total) if seen.total > calls else seen


def _surplus_at_most(seen: Surplus, calls: float) -> Surplus:
    return seen.scaled(calls / seen.calls) if seen.calls > calls else seen
