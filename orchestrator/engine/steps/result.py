"""The results of a step and of an attempt: two unions for `match`."""

from dataclasses import dataclass

from orchestrator.core.failure import Failure


@dataclass(frozen=True, slots=True)
class Done:
    """The step has its outputs."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed; the run plans without its tool unless `usable_later`."""

    reason: str
    usable_later: bool = False
    """Whether a later plan may use the tool: it has retries left, but another route is cheaper than its wait."""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The step may not start now: the circuit is open, the tool is saturated, or the budget is used up."""

    reason: str
    over_budget: bool = False
    usable_later: bool = False
    """Whether a later plan may use the tool: only its health or a wait prevents the start now."""
    held_back: bool = False
    """Whether it only has as many calls as allowed while it fails or recovers: a slot will be free soon."""
    declared_anew: bool = False
    """Whether it was removed, or declared again with a new restriction, after the route was chosen."""


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
    """A write that happened with an invalid output and could not be undone."""

    reason: str


StepResult = Done | Failed | NotStarted | NeedsApproval | Uncertain | InvalidEffect
"""The result of a step."""
NeedsPerson = NeedsApproval | Uncertain | InvalidEffect
"""Results that only a person, or a rung of the ladder, can settle."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt failed, and the failure is recorded."""

    failure: Failure
    repeatable: bool
    """Whether calling again cannot do the effect twice."""
    answered: bool = False
    """Whether a decision of kind reconcile has answered it."""
    undone: bool = False
    """Whether an effect with an invalid output was undone at once."""
    last_resort: bool = False
    """Whether it was admitted although the circuit was open."""


AttemptResult = Done | NotStarted | AttemptFailed
"""The result of an attempt."""
