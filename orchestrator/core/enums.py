"""The string enums of the framework, and small shared types."""

from enum import StrEnum
from typing import Final

START: Final = "START"
"""The place where a run begins: `orc.connect(START, tool)` makes an entry."""


class NotDone:
    """The type of `NOT_DONE`, which `reconcile` returns if an ambiguous effect did not happen."""

    _instance: "NotDone | None" = None

    def __new__(cls) -> "NotDone":
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "NOT_DONE"

    def __bool__(self) -> bool:
        return False


NOT_DONE: Final = NotDone()
"""What `reconcile` returns if it knows that the effect did not happen."""


class Effect(StrEnum):
    """What a tool changes outside the program."""

    READ = "read"
    WRITE = "write"
    IRREVERSIBLE = "irreversible"


class Status(StrEnum):
    """The status of a run. `reached`, `demoted` and `escalated` are final; a status never moves back."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    REACHED = "reached"
    DEMOTED = "demoted"
    ESCALATED = "escalated"

    @property
    def ended(self) -> bool:
        """Whether a run in this status is over."""
        return self in (Status.REACHED, Status.DEMOTED, Status.ESCALATED)


class DecisionKind(StrEnum):
    """What was decided."""

    ROUTE = "route"
    SELECT = "select"
    BRANCH = "branch"
    RETRY = "retry"
    REROUTE = "reroute"
    RECONCILE = "reconcile"
    COMPENSATE = "compensate"
    DEMOTE = "demote"
    ESCALATE = "escalate"
    RESUME = "resume"
    HALT = "halt"


# Groups of kinds. A new kind joins the groups that apply; no other module lists kinds by group.

PLANNING: Final = frozenset({DecisionKind.ROUTE, DecisionKind.REROUTE, DecisionKind.BRANCH})
"""The kinds that choose a route or a part of one."""
STEP_LEVEL: Final = frozenset({DecisionKind.RETRY, DecisionKind.RECONCILE})
"""The kinds that continue a step after a failed attempt."""
HEALING: Final = STEP_LEVEL | {DecisionKind.REROUTE}
"""The kinds that answer a failure without an impasse."""
ESCALATING: Final = frozenset({DecisionKind.DEMOTE, DecisionKind.ESCALATE})
"""The kinds that a rung of the ladder makes at an impasse."""
IMPASSE_KINDS: Final = ESCALATING | {DecisionKind.HALT}
"""The kinds that answer an impasse."""
ANSWERING: Final = HEALING | IMPASSE_KINDS
"""The kinds of decision that answer a failure."""
KEEPS_ROUTE: Final = frozenset({DecisionKind.SELECT, DecisionKind.RETRY})
"""The kinds after which the route is as it was."""
QUESTION_KINDS: Final = frozenset({DecisionKind.ESCALATE, DecisionKind.RESUME})
"""The kinds whose subject may be a question to a person."""


class FailureKind(StrEnum):
    """The class of a failure: what it says about the tool, and what may be done next."""

    TRANSIENT = "transient"
    OUTAGE = "outage"
    ACCOUNT = "account"
    INVALID_OUTPUT = "invalid_output"
    REFUSAL = "refusal"
    CALLER_ERROR = "caller_error"
    AMBIGUOUS = "ambiguous"
    BUG = "bug"

    @property
    def says_something_of_the_work(self) -> bool:
        """Whether it is evidence about the quality of an agent's work, not only about its availability."""
        return self in (FailureKind.INVALID_OUTPUT, FailureKind.BUG)


ABOUT_THE_CALL: Final = frozenset({FailureKind.REFUSAL, FailureKind.CALLER_ERROR})
"""The classes that say something about the call and its arguments, and nothing about the tool."""


class PartKind(StrEnum):
    """What kind of thing a call within a call is made to."""

    MEMBER = "member"
    """A member of a consensus or a panel: it has its own health."""
    TOOL = "tool"
    """An agent's own tool, which the router does not know."""


class CircuitState(StrEnum):
    """State of a tool's circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class SignalAction(StrEnum):
    """What a monitor's signal does to its target."""

    NONE = "none"
    REWEIGHT = "reweight"
    FORBID = "forbid"
    APPROVE = "approve"
    HALT = "halt"
