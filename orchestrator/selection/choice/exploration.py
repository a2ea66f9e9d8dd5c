"""Exploration: when new agents are tried, and what is random. Decided before a selection, and recorded."""

from dataclasses import dataclass
from typing import Any

from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.forks import new_lock


@dataclass(frozen=True, slots=True)
class ExplorationRound:
    """What a selection depends on besides its facts: the same round and the same facts give the same selection."""

    number: int = 0
    """The number of the selection; with the seed it determines the random draws."""
    probe: bool = False
    """Whether an agent without a record may be tried."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {"number": self.number, "probe": self.probe}


@dataclass(frozen=True, slots=True)
class Onboarding:
    """How new agents are tried while others have a record, and what that may cost.

    An agent that is added after the first outcomes is a newcomer in a demand until it has `evidence` recent calls. On
    trial its competence is taken as the upper bound of its posterior, one standard deviation above the mean, so that a
    better newcomer is chosen at once. The trial ends when the newcomer has `budget` good outcomes less than the best
    proven alternative was expected to have in its place. After that its competence is taken as 0, except in a `share`
    of the selections, where it is taken as 1. So one newcomer costs at most `budget` good outcomes, plus those of a
    `share` of the selections.
    """

    share: float = 0.05
    evidence: float = 10.0
    budget: float = 20

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or not self.evidence >= 0 or not self.budget >= 0:
            raise DefinitionError(f"Onboarding is a share in [0, 1], a number of calls and a budget, not {self!r}.")


@dataclass(frozen=True, slots=True)
class Exploration:
    """How selections explore beyond the best estimate: `ucb` adds `width` standard deviations to the mean."""

    strategy: str = "ucb"
    seed: int = 0
    """Kept for records; an upper bound uses no random draws."""
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
    """The exploration of a recorded selection. Older records may hold draws from posteriors, under `thompson`."""

    strategy: str
    seed: int
    width: float


class Turns:
    """Counts selections and spreads the exploring ones evenly: their share never exceeds that of `Onboarding`."""

    def __init__(self, share: float) -> None:
        self._share = share
        self.number = 0
        """The number of the last turn, here or in other processes as far as known."""
        self._taken = 0
        self._lock = new_lock()

    def go_on_from(self, number: int) -> None:
        """Continue from the count of other processes."""
        with self._lock:
            self.number = max(self.number, number)

    @property
    def taken(self) -> int:
        """Turns taken here that are not stored yet."""
        return self._taken

    def mark_persisted(self, turns: int) -> None:
        """Note that the store has this count of turns."""
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
