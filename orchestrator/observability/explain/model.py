"""The data of a run's story: its entries, failures with the decisions that answered them, escalations with replies."""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.enums import DecisionKind
from orchestrator.core.route import Candidate

from .next_best import RunnerUp


class EntryKind(StrEnum):
    """The kind of an entry of a story."""

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
    """Number of its ledger record."""
    at: float
    """Seconds since the run began."""
    kind: EntryKind
    text: str
    """One plain sentence."""
    tool: str | None = None
    decision: str | None = None
    """Id of the decision, if it is one."""
    decided: DecisionKind | None = None
    failure: str | None = None
    """Id of the failure, if it is one."""
    candidates: tuple[Candidate, ...] = ()
    """The candidates of the decision."""
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
    """The traceback: places and source lines, never values; empty if none was recorded."""


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
    """An impasse: its reason, the rungs that were asked, and their answers."""

    decision: str
    why: str
    resolution: str
    """The result: a lesser goal, `wait for a person`, `stop` ..."""
    rungs: tuple[ExplainedRung, ...] = ()
    question: str | None = None
    """The question to a person."""
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
    """Lower bound of the price, in US dollars."""
    runner_up: RunnerUp | None
