"""The frozen events of a run. Ledger, tracing, progress, viewer and streams are sinks of them.

An event is a fact: a run's state is the fold of its events (`engine/state.py`), a ledger record is an event's plain
data, and replay folds the records and computes the decisions again. No event holds an input, an output or a prompt;
`Progressed` alone carries what a tool reports, and is never stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from .decision import Decision
from .enums import Effect, FailureKind, PartKind, Status
from .failure import Failure

WITHDRAWN: Final = "withdrawn"
"""The recorded answer of a question that was withdrawn because nothing waits for it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The fields of every event."""

    run_id: str
    at: float
    """Seconds since the epoch, for people; no decision reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run began."""

    goal: Mapping[str, Any]
    """`Goal.to_json()`."""
    inputs: tuple[str, ...]
    """Keys that were provided."""
    inputs_digest: str
    """Keyed digest of the inputs, to detect other inputs under this run's id."""
    policy: Mapping[str, Any]
    graph: str
    """Digest of the graph; the graph itself is stored once under it."""
    revision: int
    budget: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    traceparent: str = ""
    """W3C trace context of the run's span, so that a resumed run can link to it."""
    parent: str | None = None
    """The parent run, whose call started this one."""
    parent_call: str | None = None
    depth: int = 0
    resumable: bool = True
    """False if a value cannot be stored, so that no other process can continue the run after a crash."""
    not_resumable: tuple[str, ...] = ()
    """The keys whose values cannot be stored."""
    turn: int = 0
    """The exploration round of its agent selection; 0 if no agent can take part."""
    probe: bool = False
    """Whether unproven agents may be tried in this run."""
    dial: float | None = None
    """The caller's dial, from 0 (cheapest) to 1 (best); included in the recorded policy."""
    constraints: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`Constraints.to_json()`: which agents may be used."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    tainted: tuple[str, ...] = ()
    """Inputs that derive from a value that a model provided in the parent run."""
    child_ids: int = 1
    """Format of the ids of its child runs: 1 with seven hexadecimal digits of the digest of their inputs, which many
    children of one goal can share; 2 with 32.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphChanged(Event):
    """The tools changed during the run; from here on it plans on this revision."""

    graph: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Event):
    """A decision was made."""

    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionChecked(Event):
    """A `when` condition was evaluated."""

    tool: str
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(Event):
    """An attempt began. For a write this is the intent, durable before the call."""

    call_id: str
    tool: str
    attempt: int
    effect: Effect
    keys: tuple[str, ...]
    """The keys it takes."""
    via: str | None = None
    """The transition that led to it."""
    agent: bool = False
    probe: bool = False
    """Whether this call is the probe of a half-open circuit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(Event):
    """An attempt ended; the result of an effect."""

    call_id: str
    tool: str
    attempt: int
    seconds: float
    ok: bool
    gives: tuple[str, ...] = ()
    """The keys it gave, where it succeeded."""
    kept: tuple[str, ...] = ()
    """The keys of `gives` that had no value before: the first value of a key is kept."""
    cost: float = 0.0
    """US dollars."""
    usage: Mapping[str, float] = field(default_factory=dict[str, float])
    failure: Failure | None = None
    cancelled: bool = False
    """It lost a race, or its run was cancelled: no failure."""
    asked: bool = False
    """It asked a person and will be called again with the answer."""
    llm_calls: int = 0
    """Control-plane model calls of child runs that the call made."""
    reconciled: bool = False
    """The result came from `reconcile`, not from the call."""
    children_cost: float = 0.0
    """US dollars of `cost` that child runs cost; their `ChildEnded` events count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded(Event):
    """A child run has ended: its cost, and its effects that still stand."""

    call_id: str
    tool: str
    """The tool whose call started it."""
    child: str
    """Its run id."""
    status: Status
    cost: float = 0.0
    calls: int = 0
    effects: tuple[str, ...] = ()
    """Effects of the child and of those below it that stand, in the order in which they took place, as
    `run id#tool`."""
    compensated: tuple[str, ...] = ()
    uncompensated: tuple[str, ...] = ()
    """Effects that stand, or may stand, although nothing uses them, as `run id#tool`."""
    tainted: bool = False
    """Whether its output derives from a value that a model provided."""
    generation: int = 0
    """Failed attempts of the step before the one that started it."""
    at_end: float = 0.0
    """When it ended, in seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildDiscarded(Event):
    """The effects of a child run are not used, although the call that started it may succeed."""

    child: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEnded(Event):
    """A call within a call ended, or was not made: of a member of a consensus, or of a tool of an agent's own."""

    call_id: str
    """The call that it was made in."""
    tool: str
    """The agent whose call that was."""
    part: str
    """The name of the called member or tool."""
    kind: PartKind
    seconds: float
    ok: bool
    failure: FailureKind | None = None
    error: str = ""
    """The name of the exception's class; its message may hold anything."""
    cost: float = 0.0
    """US dollars, which are part of what the outer call costs."""
    left_out: str = ""
    """Why it was not called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFunctionFailed(Event):
    """A function given as an option of a tool (`when`, `approval`) raised; no call of the tool was begun."""

    failure: Failure
    option: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolExcluded(Event):
    """The run may not start a tool any more."""

    tool: str
    reason: str
    over_budget: bool = False
    """Whether the rest of the budget is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAllowed(Event):
    """The run may start a tool again: after a wait, a raised budget, or a person's permission. Its retries are counted
    from zero.
    """

    tool: str
    approved: bool = False
    """Whether the step itself was approved."""
    abandon: bool = False
    """Whether the tool's effect may be left behind."""
    forced: bool = False
    """Whether it may be used although its circuit is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueProvided(Event):
    """A key got a value from outside the graph: from a rung of the ladder."""

    key: str
    by: str
    tainted: bool = False
    settles: str | None = None
    """The tool whose uncertain effect this settles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuesExpired(Event):
    """Values of reads were older than their `ttl`; the reads run again when they are needed."""

    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRaised(Event):
    """A monitor raised a signal."""

    target: str
    """A tool, or a transition as `a -> b`."""
    kind: str
    action: str
    priority: float
    reason: str
    monitor: str = ""
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RungAsked(Event):
    """A rung of the escalation ladder was asked."""

    rung: str
    answer: str
    """Its answer, or why the answer was refused."""
    admitted: bool
    """Whether the run acts on it. An answer that was not admitted is recorded with the reason."""
    model: str = ""
    calls: int = 0
    repairs: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandTold(Event):
    """A model was asked for the demand of a step whose text is unclear."""

    key: str
    model: str
    demand: Mapping[str, float] = field(default_factory=dict[str, float])
    """Skill -> weight; empty where its answer could not be used."""
    cost: float = 0.0
    """US dollars."""
    tokens: int = 0
    seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalLowered(Event):
    """The run continues with a lesser goal."""

    goal: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRaised(Event):
    """A rung with the right to do so raised the run's budget."""

    budget: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWaiting(Event):
    """The run waits for a person."""

    question: Mapping[str, Any]
    """`Question.to_json()`."""
    impasse: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    """The run continues: a person answered, or it was taken over after a crash."""

    answer: str = ""
    by: str = ""
    after_crash: bool = False
    question_id: str = ""
    policy: Mapping[str, Any] | None = None
    """The policy from here on, if it is not the one that the run began with."""
    token: int = 0
    """The fencing token from here on."""
    owner_unproven: bool = False
    """Whether the previous owner is not proven dead: it may still send a request that it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectUndone(Event):
    """A compensation ended."""

    tool: str
    ok: bool
    reason: str = ""
    seconds: float = 0.0
    uncertain: bool = False
    """Whether the compensation may have happened although it failed: its answer was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed(Event):
    """A tool reported progress. Streamed, never stored."""

    tool: str
    progress: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemReported(Event):
    """Something other than a call failed (a monitor, a sink, an exporter, the shared store), and the run went on."""

    source: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """A run is over."""

    status: Status
    goal: tuple[str, ...]
    price: float | None
    """Planned, in US dollars."""
    cost: float
    """Actual, in US dollars."""
    seconds: float
    llm_calls: int
    compensated: tuple[str, ...] = ()
    uncompensated: tuple[str, ...] = ()
    impasse: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkJudged(Event):
    """The work of an agent was judged, by a judge after the run had ended or by a person.

    It is stored beside the run's ledger, which is closed by then, and holds neither the work nor the explanation.
    """

    tool: str
    keys: tuple[str, ...]
    """The key that the work gave."""
    by: str
    """The name of the judge."""
    good: bool | None = None
    """`None`: there was no usable judgement."""
    weight: float = 0.0
    """Its weight in (0, 1]; a person's judgement has weight 1."""
    cost: float = 0.0
    """US dollars, beside what the run cost."""
    tokens: int = 0
    seconds: float = 0.0
    problem: str = ""
    """Why there is no judgement."""
    traceparent: str = ""
    """W3C trace context of the run."""


class Sink(Protocol):
    """An observer of runs. It must not block; when it raises, the failure is reported and the run continues."""

    def on_event(self, event: Event) -> None:
        """Receive one event. Called on the run's event loop, in order."""
        ...
