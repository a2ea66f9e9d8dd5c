"""The data of a story: its entries, failures with the decisions that answered them, escalations with replies."""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.enums import DecisionKind
from orchestrator.core.route import Candidate

from .next_best import RunnerUp


class EntryKind(StrEnum):
    """What an entry of a story is about."""

    DECISION = "decision"
    CALL = "call"
    FAILURE = "failure"
    ESCALATION = "escalation"
    PERSON = "person"
    UNDOING = "undoing"
    SIGNAL = "signal"
    CHANGE = "change"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class StoryEntry:
    """One thing that happened."""

    record: int
    """Number of the ledger record behind it."""
    at: float
    """Seconds since the run began."""
    kind: EntryKind
    text: str
    """One plain sentence."""
    tool: str | None = None
    decision: str | None = None
    """Id of the decision, where it is one."""
    decided: DecisionKind | None = None
    failure: str | None = None
    """Id of the failure, where it is one."""
    candidates: tuple[Candidate, ...] = ()
    """What the decision chose among."""
    chosen: str | None = None


@dataclass(frozen=True, slots=True)
class AnsweringDecision:
    """The decision that answered a failure."""

    decision: str
    kind: DecisionKind
    chosen: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExplainedFailure:
    """A failure with its class, and the decision that answered it."""

    id: str
    tool: str
    kind: str
    message: str
    attempt: int
    at: float
    """Seconds since the run began."""
    answer: AnsweringDecision | None
    traceback: str = ""
    """Places and source lines, never values; empty where none was recorded."""


@dataclass(frozen=True, slots=True)
class ExplainedRung:
    """A rung of the ladder that was asked."""

    rung: str
    answer: str
    admitted: bool
    model: str = ""
    calls: int = 0


@dataclass(frozen=True, slots=True)
class ExplainedEscalation:
    """An impasse: why, who was asked what, and what was answered."""

    decision: str
    why: str
    resolution: str
    """What came of it: a lesser goal, `wait for a person`, `stop` ..."""
    rungs: tuple[ExplainedRung, ...] = ()
    question: str | None = None
    """What a person was asked."""
    choices: tuple[str, ...] = ()
    reply: str | None = None
    by: str = ""
    """Who replied."""


@dataclass(frozen=True, slots=True)
class ExplainedRoute:
    """The first route."""

    tools: tuple[str, ...]
    price: float | None
    """US dollars."""
    bound: float | None
    """No plan can be cheaper, in US dollars."""
    runner_up: RunnerUp | None
