"""How a step and an attempt end: two small unions, taken apart with `match`."""

from dataclasses import dataclass

from orchestrator.core.failure import Failure


@dataclass(frozen=True, slots=True)
class Done:
    """The step has its outputs."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed for good; the run plans without its tool."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The step may not start now: its circuit is open, its tool saturated, or the budget used up."""

    reason: str
    over_budget: bool = False


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    """A person must approve the step first."""

    why: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A write that may have happened, and nothing here can tell."""

    reason: str


@dataclass(frozen=True, slots=True)
class InvalidEffect:
    """A write that happened with an output that is not valid, and could not be undone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The call asks a person and is made again with the answer."""

    question: str
    wanted: str = ""
    """The name of the type of the answer; empty for anything."""
    child: str | None = None
    """The child run that waits, when it is not the call itself."""


StepResult = Done | Failed | NotStarted | NeedsApproval | Asked | Uncertain | InvalidEffect
"""How a step ended."""
NeedsPerson = NeedsApproval | Asked | Uncertain | InvalidEffect
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


AttemptResult = Done | NotStarted | Asked | AttemptFailed
"""How one attempt ended."""
