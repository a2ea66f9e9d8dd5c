"""The fold of a run's events into its state. No I/O, no clock: replay builds the same state."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from orchestrator.core.enums import (
    ANSWERING,
    ESCALATING,
    STEP_LEVEL,
    DecisionKind,
    Effect,
    FailureKind,
    PartKind,
    Status,
)
from orchestrator.core.events import (
    BudgetRaised,
    CallEnded,
    CallStarted,
    ChildDiscarded,
    ChildEnded,
    ConditionChecked,
    Decided,
    DemandTold,
    EffectUndone,
    Event,
    GoalLowered,
    GraphChanged,
    PartEnded,
    RunEnded,
    RungAsked,
    RunResumed,
    RunStarted,
    RunWaiting,
    ToolAllowed,
    ToolExcluded,
    UserFunctionFailed,
    ValueProvided,
    ValuesExpired,
)
from orchestrator.core.failure import Failure
from orchestrator.core.goal import Budget, Goal
from orchestrator.core.outcome import Call
from orchestrator.core.route import StartedFrom
from orchestrator.selection.choice.constraints import Constraints
from orchestrator.selection.choice.exploration import ExplorationRound

from .state import ASKS_ONLY, ChildRecord, OpenCall, RunState


def apply(state: RunState, event: Event) -> None:
    """Apply one event. Events that change no state (signals, progress) are ignored."""
    take = _TAKES.get(type(event))
    if take is not None:
        take(state, event)


def _note_failure(state: RunState, failure: Failure) -> None:
    """Apply a failure; it stays unanswered until a decision answers it."""
    state.failures[failure.id] = failure
    state.unanswered.append(failure.id)


def _run_started(state: RunState, event: RunStarted) -> None:
    state.wanted = Goal.from_json(event.goal)
    state.goal = state.wanted.keys
    state.graph, state.revision = event.graph, event.revision
    state.started_at, state.parent, state.depth = event.at, event.parent, event.depth
    state.inputs_digest, state.policy = event.inputs_digest, event.policy
    state.turn = ExplorationRound(event.turn, event.probe) if event.turn else None
    state.dial = event.dial
    state.constraints = Constraints.from_json(event.constraints) if event.constraints else None
    state.traceparent = event.traceparent
    state.budget = Budget.from_json(event.budget)
    state.at_hand.update(dict.fromkeys(event.inputs))
    state.labels = event.labels
    state.tainted = state.tainted.union(event.tainted)
    state.child_ids = event.child_ids


def _graph_changed(state: RunState, event: GraphChanged) -> None:
    state.graph, state.revision = event.graph, event.revision


def _decided(state: RunState, event: Decided) -> None:
    state.decisions.append(event.decision)
    if event.decision.kind in ANSWERING:
        answered = set(event.decision.answers)
        state.unanswered = [failure for failure in state.unanswered if failure not in answered]
    facts = event.decision.facts
    if event.decision.kind in ESCALATING and facts.get("impasse") not in ASKS_ONLY and not facts.get("shown"):
        state.impasses += 1
    if event.decision.kind is DecisionKind.HALT and facts.get("impasse") == "cancelled":
        state.halted = event.decision.reason.removesuffix(".")
    if event.decision.kind is DecisionKind.COMPENSATE and event.decision.subject:
        state.undoing |= {event.decision.subject}
    if event.decision.kind in STEP_LEVEL and event.decision.subject:
        state.uncertain.pop(event.decision.subject, None)
    if event.decision.kind is DecisionKind.RECONCILE and event.decision.subject:
        state.doubt.pop(event.decision.subject, None)


def _condition_checked(state: RunState, event: ConditionChecked) -> None:
    state.conditions[event.tool] = event.holds


def _call_started(state: RunState, event: CallStarted) -> None:
    state.started_calls += 1
    state.attempts[event.tool] = state.attempts.get(event.tool, 0) + 1
    state.tries[event.tool] = state.tries.get(event.tool, 0) + 1
    state.doing[event.tool] = OpenCall(event.call_id, StartedFrom(event.keys, event.via), event.effect, event.attempt)


def _call_ended(state: RunState, event: CallEnded) -> None:
    doing = state.doing.pop(event.tool, None) or state.last.get(event.tool)
    state.cost += event.cost - event.children_cost
    state.llm_calls += event.llm_calls
    if event.usage:
        state.usage.update(event.usage)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if event.asked:
        state.tries[event.tool] = state.tries.get(event.tool, 0) - 1
        return
    if event.failure is not None:
        state.failed_attempts[event.tool] = state.failed_attempts.get(event.tool, 0) + 1
        _note_failure(state, event.failure)
        _note_effect_of_failure(state, event, doing)
    if event.failure is not None or event.ok:
        error = event.failure.message if event.failure else None
        state.calls.append(Call(event.tool, event.attempt, event.seconds, error, event.call_id, event.cost))
    if event.ok and doing is not None:
        _finish(state, event, doing)


def _note_effect_of_failure(state: RunState, event: CallEnded, doing: OpenCall | None) -> None:
    assert event.failure is not None
    if event.failure.kind is FailureKind.AMBIGUOUS:
        state.uncertain[event.tool] = state.doubt[event.tool] = event.failure.id
        if doing is not None:
            state.last[event.tool] = doing
    elif event.failure.kind is FailureKind.INVALID_OUTPUT and doing and doing.effect is not Effect.READ:
        state.invalid[event.tool] = event.failure.id
        state.effects[event.tool] = doing.effect
        state.effect_order.append(event.tool)
        state.last[event.tool] = doing


def _settled(state: RunState, tool: str) -> None:
    """Note that it is known whether the effect of a tool took place."""
    state.uncertain.pop(tool, None)
    state.doubt.pop(tool, None)


def _finish(state: RunState, event: CallEnded, doing: OpenCall) -> None:
    state.done[event.tool] = doing.taken
    state.done_at[event.tool] = event.at
    state.done_by[event.tool] = event.call_id
    if state.doubt or state.uncertain:
        _settled(state, event.tool)
    for key in event.kept:
        state.at_hand.setdefault(key, event.tool)
    if event.call_id in state.tainted_calls or state.tainted.intersection(doing.taken.keys):
        state.tainted = state.tainted.union(event.gives)
    if doing.effect is not Effect.READ:
        state.effects[event.tool] = doing.effect
        state.effect_order.append(event.tool)


def _user_function_failed(state: RunState, event: UserFunctionFailed) -> None:
    _note_failure(state, event.failure)


def _child_ended(state: RunState, event: ChildEnded) -> None:
    if event.tainted:
        state.tainted_calls |= {event.call_id}
    if event.child not in state.children:
        state.cost += event.cost
        state.child_calls += event.calls
        state.effect_order += event.effects
    known = state.children.get(event.child)
    state.children[event.child] = ChildRecord(
        event.child,
        event.call_id,
        event.tool,
        event.status,
        event.effects,
        event.compensated,
        event.uncompensated,
        event.generation,
        event.at_end or event.at,
        known is not None and known.discarded and known.call_id == event.call_id,  # each attempt decides for itself
    )


def _child_discarded(state: RunState, event: ChildDiscarded) -> None:
    state.children[event.child] = replace(state.children[event.child], discarded=True)


def _tool_excluded(state: RunState, event: ToolExcluded) -> None:
    state.excluded[event.tool] = event.reason
    if event.over_budget:
        state.over_budget |= {event.tool}


def _tool_allowed(state: RunState, event: ToolAllowed) -> None:
    state.excluded.pop(event.tool, None)
    state.over_budget -= {event.tool}
    _settled(state, event.tool)
    state.tries.pop(event.tool, None)
    if event.approved:
        state.approved |= {event.tool}
    if event.abandon:
        state.may_abandon |= {event.tool}
    if event.forced:
        state.allowed |= {event.tool}


def _value_provided(state: RunState, event: ValueProvided) -> None:
    state.at_hand.setdefault(event.key, event.settles)
    if event.tainted:
        state.tainted |= {event.key}
    if event.settles:
        _settled(state, event.settles)
        state.invalid.pop(event.settles, None)
        made = state.last.get(event.settles)  # its inputs stay used, so their effects are not undone
        state.done.setdefault(event.settles, made.taken if made else StartedFrom(()))
        if event.settles not in state.effects:
            state.effect_order.append(event.settles)
        state.effects.setdefault(event.settles, made.effect if made else Effect.WRITE)
        if made is not None:
            state.done_by[event.settles] = made.call_id


def _values_expired(state: RunState, event: ValuesExpired) -> None:
    for tool in event.tools:
        state.done.pop(tool, None)
        for key in [key for key, giver in state.at_hand.items() if giver == tool]:
            del state.at_hand[key]


def _rung_asked(state: RunState, event: RungAsked) -> None:
    state.llm_calls += event.calls
    state.cost += event.cost
    spent = {"control_repairs": event.repairs, "control_tokens": event.tokens}
    state.usage.update({name: amount for name, amount in spent.items() if amount})


def _part_ended(state: RunState, event: PartEnded) -> None:
    state.own_calls += event.kind is PartKind.TOOL and not event.left_out


def _demand_told(state: RunState, event: DemandTold) -> None:
    state.cost += event.cost
    state.usage.update({"demand_calls": 1, "demand_tokens": event.tokens} if event.tokens else {"demand_calls": 1})


def _goal_lowered(state: RunState, event: GoalLowered) -> None:
    state.goal = event.goal
    state.lowered = True


def _budget_raised(state: RunState, event: BudgetRaised) -> None:
    state.budget = Budget.from_json(event.budget)


def _run_waiting(state: RunState, event: RunWaiting) -> None:
    state.status = Status.WAITING
    state.questions[str(event.question.get("id") or "")] = (event.question, event.impasse)
    state.impasse = next(iter(state.questions.values()))[1]
    if state.waiting_since is None:
        state.waiting_since = event.at


def _run_resumed(state: RunState, event: RunResumed) -> None:
    state.status = Status.RUNNING
    if event.question_id:
        state.questions.pop(event.question_id, None)
    else:
        state.questions.clear()
    state.token = max(state.token, event.token)
    if event.owner_unproven:
        state.doubtful_calls |= {doing.call_id for doing in (*state.doing.values(), *state.last.values())}
    if state.waiting_since is not None:
        state.waited += max(0.0, event.at - state.waiting_since)
        state.waiting_since = None
    if event.policy is not None:
        state.policy = event.policy


def _effect_undone(state: RunState, event: EffectUndone) -> None:
    state.undoing -= {event.tool}
    if event.ok:
        state.compensated.append(event.tool)
        state.invalid.pop(event.tool, None)
        state.uncompensated = [tool for tool in state.uncompensated if tool != event.tool]
    elif event.tool not in state.uncompensated:
        state.uncompensated.append(event.tool)


def _run_ended(state: RunState, event: RunEnded) -> None:
    state.status, state.ended_at = event.status, event.at
    state.seconds = event.seconds
    state.goal = event.goal
    state.uncompensated = list(event.uncompensated)
    state.impasse = event.impasse


_TAKES: Final[Mapping[type[Event], Callable[[RunState, Any], None]]] = {
    RunStarted: _run_started,
    GraphChanged: _graph_changed,
    Decided: _decided,
    ConditionChecked: _condition_checked,
    CallStarted: _call_started,
    CallEnded: _call_ended,
    UserFunctionFailed: _user_function_failed,
    ChildEnded: _child_ended,
    ChildDiscarded: _child_discarded,
    ToolExcluded: _tool_excluded,
    ToolAllowed: _tool_allowed,
    ValueProvided: _value_provided,
    ValuesExpired: _values_expired,
    RungAsked: _rung_asked,
    PartEnded: _part_ended,
    DemandTold: _demand_told,
    GoalLowered: _goal_lowered,
    BudgetRaised: _budget_raised,
    RunWaiting: _run_waiting,
    RunResumed: _run_resumed,
    EffectUndone: _effect_undone,
    RunEnded: _run_ended,
}
"""Event type -> the method that applies it."""


__all__ = ["apply"]
