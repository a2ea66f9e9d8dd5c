"""How a step and an attempt end: two small unions, taken apart with `match`."""

from dataclasses import dataclass

from orchestrator.core.failure import Failure


@dataclass(frozen=True, slots=True)
class Done:
    """The step has its outputs."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed; the run plans without its tool, unless `usable_later`."""

    reason: str
    usable_later: bool = False
    """Whether a later plan may use the tool: it has retries left, and another route is cheaper than waiting for it."""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The step may not start now: its circuit is open, its tool saturated, or the budget used up."""

    reason: str
    over_budget: bool = False
    usable_later: bool = False
    """Whether a later plan may use the tool: health or a wait keeps it from starting now."""
    held_back: bool = False
    """Whether it only has as many calls as it may while it fails or recovers: a slot is free soon."""
    declared_anew: bool = False
    """Whether it was removed, or declared with a restriction that it did not have when the route was chosen."""


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    """A person must approve the step first."""

    why: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A write that may have happened: its outcome is unknown."""

    reason: str


@dataclass(frozen=True, slots=True)
class InvalidEffect:
    """A write that happened with an output that is not valid, and could not be undone."""

    reason: str


StepResult = Done | Failed | NotStarted | NeedsApproval | Uncertain | InvalidEffect
"""How a step ended."""
NeedsPerson = NeedsApproval | Uncertain | InvalidEffect
"""Results that only a person, or a rung of the ladder, can settle."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt failed, and the failure is on record."""

    failure: Failure
    repeatable: bool
    """Whether calling again cannot do the effect twice."""
    answered: bool = False
    """Whether a decision of kind reconcile answered it already."""
    undone: bool = False
    """Whether an effect with an invalid output was undone at once."""
    last_resort: bool = False
    """Whether it was admitted although the circuit was open."""


AttemptResult = Done | NotStarted | AttemptFailed
"""How one attempt ended."""
