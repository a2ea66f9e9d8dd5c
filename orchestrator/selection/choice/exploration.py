"""Exploration: when new agents are tried, and which draws are random. Decided before a choice, and recorded."""

from dataclasses import dataclass
from typing import Any

from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.forks import new_lock


@dataclass(frozen=True, slots=True)
class ExplorationRound:
    """What one choice depends on besides its facts. The same turn and the same facts give the same choice."""

    number: int = 0
    """Which choice this is; with the seed it decides what is drawn."""
    probe: bool = False
    """Whether an agent that is not proven may be tried out."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {"number": self.number, "probe": self.probe}


@dataclass(frozen=True, slots=True)
class Onboarding:
    """How new agents are tried while others are proven, and what that may cost.

    An agent that came after the first outcomes were learned from is a newcomer in a demand until it has `evidence`
    recent calls. On trial its competence counts as the upper bound of its posterior, one standard deviation above the
    mean, so that a better newcomer is chosen at once. The trial is over when the newcomer has done `budget` pieces of
    work less well than the best proven alternative is expected to have done in its place. After that its competence
    counts as 0, except in a `share` of the choices, where it counts as 1. So one newcomer costs at most `budget` good
    outcomes, plus those of a `share` of the choices.
    """

    share: float = 0.05
    evidence: float = 10.0
    budget: float = 20

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or not self.evidence >= 0 or not self.budget >= 0:
            raise DefinitionError(f"Onboarding is a share in [0, 1], a number of calls and a budget, not {self!r}.")


@dataclass(frozen=True, slots=True)
class Exploration:
    """How choices explore beyond the best estimate: `ucb` adds `width` standard deviations to the mean."""

    strategy: str = "ucb"
    seed: int = 0
    """Kept in records; an upper bound draws nothing."""
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.strategy == "thompson":
            raise DefinitionError(
                "Exploration by 'thompson' is no longer offered: in most worlds its regret is above that of the best "
                "estimate (128 against 103). Leave out exploration= to choose by the best estimate, or use "
                "Exploration('ucb')."
            )
        if self.strategy != "ucb":
            raise DefinitionError(f"Exploration is by 'ucb', not by {self.strategy!r}.")
        if not 0 < self.width <= 100:
            raise DefinitionError(f"The width of exploration is above 0 and at most 100, not {self.width!r}.")

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {"strategy": self.strategy, "seed": self.seed, "width": self.width}


@dataclass(frozen=True, slots=True)
class RecordedExploration:
    """How a recorded choice explored. Records made before hold draws from posteriors too, under `thompson`."""

    strategy: str
    seed: int
    width: float


class Turns:
    """Counts choices and spreads the probing ones evenly: their share never exceeds what onboarding allows."""

    def __init__(self, share: float) -> None:
        self._share = share
        self.number = 0
        """The last turn that was taken, here or by others that are known of."""
        self._taken = 0
        self._lock = new_lock()

    def go_on_from(self, number: int) -> None:
        """Count on from what others have taken."""
        with self._lock:
            self.number = max(self.number, number)

    @property
    def taken(self) -> int:
        """Turns taken here that are not published yet."""
        return self._taken

    def mark_persisted(self, turns: int) -> None:
        """Other processes have taken this many turns."""
        with self._lock:
            self._taken -= turns

    def next(self) -> ExplorationRound:
        """The next turn."""
        with self._lock:
            self.number += 1
            self._taken += 1
            number = self.number
        probe = int(number * self._share + 1e-9) > int((number - 1) * self._share + 1e-9)
        return ExplorationRound(number, probe)
