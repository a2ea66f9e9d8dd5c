"""How a step ends, and what is raised on the way there."""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.failure import Failure

from .context import WaitForAnswer


class StepStatus(StrEnum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    """A write that may have happened, and nothing here can tell."""
    INVALID_EFFECT = "invalid_effect"
    """A write that happened with an output that is not valid."""
    ASKED = "asked"
    NEEDS_APPROVAL = "needs_approval"
    NOT_ADMITTED = "not_admitted"
    OVER_BUDGET = "over_budget"


@dataclass(frozen=True, slots=True)
class Finished:
    """What the run's driver gets back for a step."""

    tool: str
    ending: StepStatus
    reason: str = ""
    asked: WaitForAnswer | None = None


class AttemptFailed(Exception):
    """An attempt failed and the failure is on record."""

    def __init__(self, failure: Failure, *, repeatable: bool, answered: bool = False) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.repeatable = repeatable
        self.answered = answered
        """Whether a decision of kind reconcile answered it already."""


class NotStarted(Exception):
    """The attempt was not made: no admission, or no budget."""

    def __init__(self, ending: StepStatus, reason: str) -> None:
        super().__init__(reason)
        self.ending = ending
        self.reason = reason


class Settled(Exception):
    """An uncertain effect was found to have taken place: the step is done."""
