"""The story of a run, built from its record: goal, choices, failures, answers.

`read_story(store, run_id)` is used by the command line and the viewer. It calls no user code, so any process can build
the story, during the run or long after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.core.enums import ANSWERING, DecisionKind, Status
from orchestrator.core.events import Decided, RunStarted
from orchestrator.core.outcome import Call
from orchestrator.engine.fold import apply
from orchestrator.engine.state import RunState
from orchestrator.store.ledger.encoding import readable_event
from orchestrator.store.protocol import Store
from orchestrator.store.rows import Record, RunRow
from orchestrator.store.unknown_run import unknown_run

from .model import (
    AnsweringDecision,
    EntryKind,
    ExplainedEscalation,
    ExplainedFailure,
    ExplainedRoute,
    ExplainedRung,
    StoryEntry,
)
from .next_best import RunnerUp, next_best
from .sentences import EventDescriber


@dataclass(frozen=True)
class Story:
    """What happened in a run, as plain data and sentences."""

    run_id: str
    status: Status
    wanted: tuple[str, ...]
    """The keys of the goal."""
    lesser: tuple[tuple[str, ...], ...]
    """The declared lesser goals."""
    goal: tuple[str, ...]
    """The keys that were reached, or those of the last goal."""
    inputs: tuple[str, ...]
    """The keys of the inputs."""
    policy: str
    asked: tuple[str, ...]
    """Dial and constraints of the agent selection, as text."""
    started: float
    """Seconds since the epoch."""
    ended: float | None
    seconds: float
    price: float | None
    """Planned price in US dollars."""
    cost: float
    """Actual cost in US dollars."""
    llm_calls: int
    """Number of model calls of the control plane."""
    route: ExplainedRoute | None
    entries: tuple[StoryEntry, ...]
    failures: tuple[ExplainedFailure, ...]
    escalations: tuple[ExplainedEscalation, ...]
    calls: tuple[Call, ...]
    compensated: tuple[str, ...]
    uncompensated: tuple[str, ...]
    impasse: str | None
    """Why no goal was reached, or what the run waits for."""
    parent: str | None = None
    children: tuple[str, ...] = ()
    trace_id: str = ""
    usage: Mapping[str, float] = field(default_factory=dict[str, float])

    def to_json(self) -> dict[str, Any]:
        """Plain data, for programs: the fields of this class, statuses and kinds as strings."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain = {name: _plain(value) for name, value in data.items()}
        return {"schema": "orchestrator.story/1", **plain}


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    return value


def read_story(store: Store, run_id: str, *, rivals: bool = True) -> Story:
    """The story of a run. Without `rivals`, the next best route is left out, which saves a plan.

    Raises `InputError` when there is no such run, `StoreError` when the store cannot be read.
    """
    row = store.run(run_id)
    if row is None:
        raise unknown_run(store, run_id)
    children = tuple(child.run_id for child in reversed(store.runs(parent=run_id, limit=1000)))
    return story_of(row, store.records(run_id), store if rivals else None, children)


def story_of(
    row: RunRow, records: Sequence[Record], graphs: Store | None = None, children: tuple[str, ...] = ()
) -> Story:
    """The story of a run from its row and records. `graphs` returns a recorded graph, for the next best route."""
    state, describer = RunState(row.run_id), EventDescriber()
    route: ExplainedRoute | None = None
    inputs: tuple[str, ...] = ()
    for record in records:
        event = readable_event(record)
        if event is None:
            continue
        if isinstance(event, RunStarted):
            inputs = event.inputs
        if route is None and isinstance(event, Decided) and event.decision.kind is DecisionKind.ROUTE:
            route = _route(state, event.decision, graphs)
        apply(state, event)
        describer.take(record.seq, event, state)
    story = _story(row, state, describer, inputs)
    return replace(story, route=route, children=children)


def _story(row: RunRow, state: RunState, describer: EventDescriber, inputs: tuple[str, ...]) -> Story:
    answers = answers_of(state.decisions)
    impasse = row.summary.get("impasse")
    last = max((entry.at for entry in describer.entries), default=0.0)
    return Story(
        run_id=row.run_id,
        status=row.status,
        wanted=state.wanted.keys,
        lesser=tuple(lesser.keys for lesser in state.wanted.demotions),
        goal=state.goal,
        inputs=inputs,
        policy=row.policy,
        asked=_asked(state),
        started=row.started,
        ended=row.ended,
        seconds=state.seconds or last,
        price=state.planned_price,
        cost=state.cost,
        llm_calls=state.llm_calls,
        route=None,
        entries=tuple(describer.entries),
        failures=tuple(
            ExplainedFailure(
                f.id, f.tool, str(f.kind), f.message, f.attempt, _since(state, f.at), answers.get(f.id), f.traceback
            )
            for f in state.failures.values()
        ),
        escalations=tuple(describer.escalations),
        calls=tuple(state.calls),
        compensated=tuple(state.compensated),
        uncompensated=tuple(state.uncompensated),
        impasse=str(impasse) if impasse and row.status not in (Status.REACHED, Status.DEMOTED) else None,
        parent=row.parent,
        trace_id=row.trace_id,
        usage=dict(state.usage),
    )


def _asked(state: RunState) -> tuple[str, ...]:
    limits_text = [] if state.dial is None else [f"dial at {state.dial:g}"]
    limits = state.constraints
    if limits is not None:
        limits_text += [f"trust only {', '.join(sorted(limits.trust))}"] if limits.trust is not None else []
        limits_text += [] if limits.data_may_leave else ["data stays"]
        limits_text += [f"at most ${limits.max_cost:g} a call"] if limits.max_cost is not None else []
        limits_text += [f"only {', '.join(sorted(limits.agents)) or 'nobody'}"] if limits.agents is not None else []
    return tuple(limits_text)


def _since(state: RunState, at: float) -> float:
    return max(0.0, at - state.started_at) if at else 0.0


def answers_of(decisions: Sequence[Decision]) -> dict[str, AnsweringDecision]:
    """Failure id -> the decision that answered it."""
    return {
        failure: AnsweringDecision(d.id, d.kind, d.chosen, d.reason)
        for d in reversed(decisions)
        if d.kind in ANSWERING
        for failure in d.answers
    }


def _route(state: RunState, decision: Decision, graphs: Store | None) -> ExplainedRoute:
    bound = decision.facts.get("bound")
    return ExplainedRoute(
        tools=decision.chosen_tools,
        price=decision.price,
        bound=None if bound is None else bound / 10**12,
        runner_up=_runner_up(state, decision, graphs),
    )


def _runner_up(state: RunState, decision: Decision, graphs: Store | None) -> RunnerUp | None:
    view = graphs.graph(state.graph) if graphs is not None else None
    return None if view is None else next_best(view, state.problem(), decision, state.policy)


__all__ = [
    "AnsweringDecision",
    "EntryKind",
    "ExplainedEscalation",
    "ExplainedFailure",
    "ExplainedRoute",
    "ExplainedRung",
    "Story",
    "StoryEntry",
    "answers_of",
    "read_story",
    "story_of",
]
