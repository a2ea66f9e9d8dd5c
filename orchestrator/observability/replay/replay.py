"""Replay: recomputes every decision of a run from its records, with the current code; calls no tool, model or user
code.

The records before a decision fold to the state of the run (by `engine/state.py`, as in the engine); the facts in the
decision are the prices, budgets and answers that it was made from. Results of `when`, `ensure`, `reconcile`, demand
functions, models and people are facts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.decision import Decision
from orchestrator.core.enums import IMPASSE_KINDS, PLANNING, DecisionKind
from orchestrator.core.errors import InputError
from orchestrator.core.events import Decided, Event, RungAsked, RunResumed, RunWaiting
from orchestrator.core.policy import Policy
from orchestrator.engine.fold import apply
from orchestrator.engine.state import RunState
from orchestrator.graph.revision import GraphRevision
from orchestrator.store.ledger.encoding import CLOSED, event_of
from orchestrator.store.protocol import Store
from orchestrator.store.rows import Record
from orchestrator.store.unknown_run import unknown_run

from .context import Finding, ReplayContext, compared
from .impasses import check_impasse, check_resume
from .plans import check_plan, check_select
from .recorded_plan import Expectation, expectation_of
from .retries import check_compensate, check_not_retried, check_reconcile, check_retry


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a recomputed and a recorded decision."""

    decision: str
    """The id of the decision."""
    kind: DecisionKind
    what: str
    """What differs: the route, a price, the answer, a reason ..."""
    recorded: str
    recomputed: str
    why: str = ""

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"{self.decision} {self.kind}, {self.what}: recorded {self.recorded}, recomputed {self.recomputed}{why}"

    def to_json(self) -> dict[str, str]:
        """Plain data, for programs."""
        return {name: str(getattr(self, name)) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Replayed:
    """One recomputed decision."""

    decision: Decision
    """The recorded choice."""
    differences: tuple[Difference, ...]
    tools: tuple[str, ...] | None = None
    """The recomputed route, for a decision that plans."""
    recorded: Expectation | None = None
    """The expectation of the recorded route, for a decision that plans."""
    recomputed: Expectation | None = None
    """The expectation of the recomputed route."""

    @property
    def agrees(self) -> bool:
        """Whether it equals the recorded one."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Replay:
    """The result of recomputing every decision of a run."""

    run_id: str
    policy: str
    """The name of the policy."""
    other: bool
    """Whether that is another policy than the run's own: then differences are expected."""
    decisions: tuple[Replayed, ...] = ()

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Every difference, in the order of the decisions."""
        return tuple(difference for decision in self.decisions for difference in decision.differences)

    @property
    def agrees(self) -> bool:
        """Whether every recomputed decision equals the recorded one."""
        return all(decision.agrees for decision in self.decisions)


Check = Callable[[ReplayContext, Decision], list[Finding]]

_CHECKS: Final[Mapping[DecisionKind, Check]] = {
    **dict.fromkeys(sorted(PLANNING), check_plan),
    DecisionKind.SELECT: check_select,
    DecisionKind.RETRY: check_retry,
    DecisionKind.RECONCILE: check_reconcile,
    DecisionKind.COMPENSATE: check_compensate,
    **dict.fromkeys(sorted(IMPASSE_KINDS), check_impasse),
    DecisionKind.RESUME: check_resume,
}


def replay_run(store: Store, run_id: str, policy: Policy | None = None) -> Replay:
    """Recompute every decision of a run; with another `policy`, what it would have decided at each point.

    Raises `InputError` for an unknown run, and for a record that cannot be read (which `verify` explains).
    """
    records = store.records(run_id)
    if not records:
        raise unknown_run(store, run_id)
    return _Replayer(store, run_id, policy).replay(records)


@dataclass
class _Replayer:
    store: Store
    run_id: str
    other: Policy | None
    rungs: list[RungAsked] = field(default_factory=list[RungAsked])
    question: str | None = None
    """The text of the last question or answer."""
    questions: dict[str, str] = field(default_factory=dict[str, str])
    plans: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    views: dict[str, GraphRevision] = field(default_factory=dict[str, GraphRevision])

    def replay(self, records: list[Record]) -> Replay:
        state = RunState(self.run_id)
        made: list[Replayed] = []
        for record in records:
            event = _event(record)
            if isinstance(event, Decided):
                made.append(self._again(state, event.decision))
                self.rungs.clear()
            elif isinstance(event, RungAsked):
                self.rungs.append(event)
            elif isinstance(event, RunWaiting):
                self.question = str(event.question.get("text"))
                self.questions[str(event.question.get("id"))] = self.question
            elif isinstance(event, RunResumed) and event.question_id:
                self.question = self.questions.get(event.question_id)
            if event is not None:
                apply(state, event)
        name = self.other.name if self.other else str(state.policy.get("name", ""))
        return Replay(self.run_id, name, self.other is not None, tuple(made))

    def _again(self, state: RunState, decision: Decision) -> Replayed:
        context = ReplayContext(
            state=state,
            view=self._view(state.graph),
            policy=self.other or Policy.from_record(state.policy),
            other=self.other is not None,
            rungs=tuple(self.rungs),
            question=self.question,
            plans=self.plans,
        )
        found = compared("id", decision.id, state.next_decision_id())
        try:
            found += _CHECKS[decision.kind](context, decision)
            found += check_not_retried(context, decision)
        except (KeyError, TypeError, ValueError) as error:
            found.append(Finding("facts", "incomplete", "cannot be made again", f"{type(error).__name__}: {error}"))
        reported = [Difference(decision.id, decision.kind, f.what, f.recorded, f.recomputed, f.why) for f in found]
        tools = self.plans.get(decision.id)
        if tools is None:
            return Replayed(decision, tuple(reported))
        then = expectation_of(decision.chosen_tools, decision, context.view)
        return Replayed(decision, tuple(reported), tools, then, expectation_of(tools, decision, context.view))

    def _view(self, digest: str) -> GraphRevision:
        if digest not in self.views:
            data = self.store.graph(digest)
            if data is None:
                raise InputError(f"The graph {digest[:12]} of run {self.run_id!r} is not in this store any more.")
            self.views[digest] = GraphRevision.from_json(data)
        return self.views[digest]


def _event(record: Record) -> Event | None:
    """The event of a record; `None` for the closing record. Raises `InputError` for an unreadable record."""
    if record.kind == CLOSED:
        return None
    try:
        return event_of(record)
    except (KeyError, ValueError) as error:
        what = record.body.get("count") if record.kind == "lost" else None
        lost = f"{what} records before it were lost" if what else f"it cannot be read ({type(error).__name__})"
        raise InputError(f"Record {record.seq} of run {record.run_id!r}: {lost}; verify the run.") from None


__all__ = ["Difference", "Replay", "Replayed", "replay_run"]
