"""The expected competence of each agent under a demand, and the competence that enters its price in a turn."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.selection.competence import sampling as draws
from orchestrator.selection.competence.estimation import Estimate, beta_variance, competence
from orchestrator.selection.competence.sampling import Floats
from orchestrator.selection.skills.handbook import Handbook

from .demand import Demand
from .exploration import Exploration, ExplorationRound, Onboarding, RecordedExploration
from .pool import Bools, Pool

TRIAL_WIDTH = 1.0
"""Standard deviations above the mean at which a newcomer's competence is taken on trial."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The score of one agent in a selection: enough to compute its counted competence again."""

    agent: str
    counted: float
    """The competence in [0, 1] that enters the price: the mean, an upper bound, or the value for a newcomer."""
    estimate: Estimate
    """The expected competence, with its 90 % interval and its number of recent calls."""
    newcomer: bool = False
    """Whether it was added after proven alternatives and has no sufficient record itself."""
    posteriors: tuple[tuple[float, float], ...] = ()
    """The Beta posterior (a, b) of each demanded skill, if competence was drawn or widened; else empty."""
    shift: float = 0.0
    """The effect of the size of the work on competence."""
    trial: bool = False
    """Whether it is a newcomer on trial, taken at the upper bound of its posterior."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        seen = self.estimate
        row: dict[str, Any] = {"counted": self.counted, "expected": [seen.mean, seen.low, seen.high, seen.evidence]}
        if self.newcomer:
            row["newcomer"] = True
        if self.trial:
            row["trial"] = True
        if self.posteriors:
            row["beliefs"] = [list(belief) for belief in self.posteriors]
            if self.shift:
                row["shift"] = self.shift
        return row

    @classmethod
    def from_json(cls, agent: str, row: Mapping[str, Any]) -> "Judged":
        """What `to_json` wrote."""
        posteriors = tuple((float(a), float(b)) for a, b in row.get("beliefs", ()))
        seen, shift = Estimate(*row["expected"]), float(row.get("shift", 0.0))
        return cls(agent, row["counted"], seen, bool(row.get("newcomer")), posteriors, shift, bool(row.get("trial")))


@dataclass(frozen=True, slots=True)
class Counted:
    """The counted competence in one selection, one value per agent of a pool."""

    pool: Pool
    demand: Demand
    values: Floats
    newcomers: Bools
    trial: Bools
    """The newcomers on trial."""
    explored: bool = False
    """Whether values were widened by exploration."""

    def judged(self, row: int, handbook: Handbook) -> Judged:
        """The score of one agent of the pool."""
        agent, table = self.pool.agents[row], self.pool.table
        newcomer = bool(self.newcomers[row])
        estimate = competence(agent.name, agent.skills, self.demand, handbook, table.relative_price(agent.name))
        counted = min(1.0, max(0.0, float(self.values[row])))
        trial = bool(self.trial[row])
        if not trial and (not self.explored or newcomer):
            return Judged(agent.name, counted, estimate, newcomer)
        posteriors = table.posteriors(table.columns(self.demand)[0], agent.name)
        shift = float(table.shifts(self.demand.size)[row])
        return Judged(agent.name, counted, estimate, newcomer, tuple(posteriors), shift, trial)


@dataclass(frozen=True, slots=True)
class Counting:
    """The rules by which competence enters prices: exploration, and onboarding of newcomers."""

    explore: Exploration | None
    onboarding: Onboarding

    def count(self, pool: Pool, demand: Demand, turn: ExplorationRound, rivals: Bools, handbook: Handbook) -> Counted:
        """The competence that enters each price in a turn; a newcomer's is bounded while one of `rivals` is proven."""
        table, explore = pool.table, self.explore
        if not table.knows(demand):  # not declared and not in the handbook: only priors apply
            seen = [competence(a.name, a.skills, demand, handbook, table.relative_price(a.name)) for a in pool.agents]
            nobody = np.zeros(len(seen), dtype=np.bool_)
            return Counted(pool, demand, np.array([s.mean for s in seen]), nobody, nobody)
        columns, weights = table.columns(demand)
        if explore is None:
            values = table.expected(demand)
        else:
            spread = np.sqrt(table.variances(columns, weights))
            values = np.minimum(1.0, table.expected(demand) + explore.width * spread)
        unproven = table.evidence(columns, weights) < self.onboarding.evidence
        new: Bools = unproven & ~pool.founding
        proven: Bools = rivals & ~unproven
        if not new.any() or not proven.any():
            return Counted(pool, demand, values, np.zeros_like(new), np.zeros_like(new), explore is not None)
        expected = table.expected(demand)
        well, ill = table.record
        trial: Bools = new & ((well + ill) * float(expected[proven].max()) - well < self.onboarding.budget)
        upper = np.minimum(1.0, expected + TRIAL_WIDTH * np.sqrt(table.variances(columns, weights)))
        values = np.where(new, np.where(trial, upper, 1.0 if turn.probe else 0.0), values)
        return Counted(pool, demand, values, new, trial, explore is not None)


def counted_again(
    judged: Judged,
    skills: Mapping[str, float],
    turn: ExplorationRound,
    explore: Exploration | RecordedExploration | None,
) -> float:
    """The counted competence, computed from the record of a selection; `skills`: the demanded skills and their
    weights.
    """
    if judged.newcomer and not judged.trial:
        return 1.0 if turn.probe else 0.0
    if not judged.trial and (explore is None or not judged.posteriors):
        return min(1.0, max(0.0, judged.estimate.mean))
    names = sorted(skills) or [""]
    weights = np.array([skills.get(name, 1.0) for name in names])
    a = np.array([[belief[0]] for belief in judged.posteriors])
    b = np.array([[belief[1]] for belief in judged.posteriors])
    if explore is not None and explore.strategy == "thompson" and not judged.trial:
        keys = draws.keys_of(names), draws.keys_of([judged.agent])
        sharp = explore.width**-2
        drawn = float(weights @ draws.beta(a * sharp, b * sharp, *keys, explore.seed, turn.number)[:, 0])
        return min(1.0, max(0.0, drawn + judged.shift))
    pairs: Iterable[tuple[float, tuple[float, float]]] = zip(weights.tolist(), judged.posteriors, strict=True)
    variance = math.fsum(weight * weight * beta_variance(a, b) for weight, (a, b) in pairs)
    width = TRIAL_WIDTH if judged.trial or explore is None else explore.width
    return min(1.0, judged.estimate.mean + width * math.sqrt(variance))


__all__ = ["Counted", "Counting", "Judged", "counted_again"]
