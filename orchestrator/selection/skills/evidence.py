"""The record of one agent: decaying counts per skill, and running statistics of its costs."""

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

DECAY = 0.999
"""Decay factor per observation: about the last thousand observations count."""
GRACE = 200
"""Number of outcomes of others in a skill after which the record of an agent that was not asked begins to decay."""
IDLE_HALF_LIFE = 1000
"""Half-life of that decay, in outcomes of others."""

Count = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class Evidence(BaseModel):
    """Decaying counts of successes and failures; the Beta posterior adds a prior."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    successes: Count = 0.0
    failures: Count = 0.0
    at: Annotated[int, Field(ge=0)] = 0
    """Number of outcomes in the skill, of all agents, at the last update."""

    @property
    def total(self) -> float:
        """Number of recent calls."""
        return self.successes + self.failures

    def observe(self, success: bool, weight: float = 1.0, *, decay: float = DECAY, at: int | None = None) -> "Evidence":
        """A copy with one more outcome of `weight` in (0, 1], the skill's outcome number `at`."""
        kept = decay**weight
        won = weight if success else 0.0
        return _evidence(
            self.successes * kept + won, self.failures * kept + (weight - won), self.at if at is None else at
        )

    def aged(self, now: int) -> "Evidence":
        """A copy decayed to the skill's outcome number `now`: outcomes of other agents age the record."""
        if now <= self.at:
            return self
        kept = fading(now - self.at)
        return self if kept == 1 else _evidence(self.successes * kept, self.failures * kept, now)

    def scaled(self, factor: float) -> "Evidence":
        """The same rate with another weight."""
        return _evidence(self.successes * factor, self.failures * factor, self.at)

    def plus(self, other: "Evidence") -> "Evidence":
        """The sum of both."""
        return _evidence(self.successes + other.successes, self.failures + other.failures, max(self.at, other.at))


def _evidence(successes: float, failures: float, at: int) -> Evidence:
    """Construct without validation, for counts that are known to be valid."""
    return Evidence.model_construct({"successes", "failures", "at"}, successes=successes, failures=failures, at=at)


def fading(outcomes: int) -> float:
    """The remaining weight of evidence after this many outcomes of others."""
    return float(0.5 ** (max(0, outcomes - GRACE) / IDLE_HALF_LIFE))


class Surplus(BaseModel):
    """Decaying difference between the outcomes of one kind of work and those expected by the demanded skills."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: Count = 0.0
    successes: Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)] = 0.0
    """Good outcomes beyond the expected ones; negative for fewer."""
    at: Annotated[int, Field(ge=0)] = 0
    """Number of outcomes, of all agents, at the last update."""

    def observe(self, surplus: float, weight: float, at: int) -> "Surplus":
        """A copy with one more outcome of `weight` in (0, 1], outcome number `at`."""
        kept = DECAY**weight
        return _surplus(self.calls * kept + weight, self.successes * kept + weight * surplus, at)

    def aged(self, now: int) -> "Surplus":
        """A copy decayed to outcome number `now`."""
        kept = fading(now - self.at)
        return self if kept == 1 else _surplus(self.calls * kept, self.successes * kept, now)

    def scaled(self, factor: float) -> "Surplus":
        """The same surplus per call with another weight."""
        return _surplus(self.calls * factor, self.successes * factor, self.at)

    def plus(self, other: "Surplus") -> "Surplus":
        """The sum of both."""
        return _surplus(self.calls + other.calls, self.successes + other.successes, max(self.at, other.at))


def _surplus(calls: float, successes: float, at: int) -> Surplus:
    """Construct without validation, for counts that are known to be valid."""
    return Surplus.model_construct({"calls", "successes", "at"}, calls=calls, successes=successes, at=at)


class Stats(BaseModel):
    """Running mean and variance (Welford, Technometrics, 1962) of US dollars, seconds or tokens per call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Annotated[int, Field(ge=0)] = 0
    mean: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    m2: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Sum of squared differences from the mean."""

    @property
    def deviation(self) -> float:
        """Standard deviation; 0 for fewer than two values."""
        return math.sqrt(self.m2 / (self.count - 1)) if self.count > 1 else 0.0

    def observe(self, value: float) -> "Stats":
        """A copy with one more value."""
        count = self.count + 1
        delta = value - self.mean
        mean = self.mean + delta / count
        return Stats.model_construct(count=count, mean=mean, m2=self.m2 + delta * (value - mean))

    def plus(self, other: "Stats") -> "Stats":
        """The statistics of both (Chan, Golub and LeVeque, 1979)."""
        count = self.count + other.count
        if not count:
            return self
        delta = other.mean - self.mean
        return Stats.model_construct(
            count=count,
            mean=self.mean + delta * other.count / count,
            m2=self.m2 + other.m2 + delta * delta * self.count * other.count / count,
        )

    def expected(self, stated: float, trust: float = 5.0) -> float:
        """Expected cost of the next call: the declared value with the weight of `trust` observations, and the observed
        mean.
        """
        return (trust * stated + self.count * self.mean) / (trust + self.count)


class Profile(BaseModel):
    """The record of one agent: outcomes per skill, and costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    skills: dict[str, Evidence] = {}
    founding: bool = False
    """Whether it was registered at the first outcomes: then it is no newcomer."""
    general: Evidence = Evidence()
    """All outcomes, under any demand."""
    short: Surplus = Surplus()
    long: Surplus = Surplus()
    """Surplus of work of known size: each outcome counts in both, by its size."""
    usd: Stats = Stats()
    seconds: Stats = Stats()
    tokens: Stats = Stats()

    def evidence(self, skill: str) -> Evidence:
        """The counts of one skill; zero when there are no outcomes."""
        return self.skills.get(skill) or NOTHING

    def plus(self, other: "Profile") -> "Profile":
        """The profile of both records together."""
        names = sorted({*self.skills, *other.skills})
        return Profile(
            skills={name: self.evidence(name).plus(other.evidence(name)) for name in names},
            founding=self.founding or other.founding,
            general=self.general.plus(other.general),
            short=self.short.plus(other.short),
            long=self.long.plus(other.long),
            usd=self.usd.plus(other.usd),
            seconds=self.seconds.plus(other.seconds),
            tokens=self.tokens.plus(other.tokens),
        )


NOTHING = Evidence()
UNSEEN = Profile()
