"""Recovery: restores a run from its records, after a crash or while it waits for a person."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from orchestrator.core.enums import NOT_DONE, DecisionKind, Effect, FailureKind, Status
from orchestrator.core.errors import InputError
from orchestrator.core.event_records import unknown_fields
from orchestrator.core.events import CallEnded, EffectUndone, RunResumed, ToolExcluded, ValuesExpired
from orchestrator.core.failure import Failure
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.route import Impasse, Step
from orchestrator.engine.background.heartbeat import LEASE_SECONDS
from orchestrator.engine.fold import apply
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.state import OpenCall, RunState
from orchestrator.engine.steps.compensate import compensate_effect, effect_stands, takes_key
from orchestrator.engine.steps.context import CallContext
from orchestrator.engine.steps.executor import StepExecutor
from orchestrator.engine.steps.reconcile import note_found, reconciled
from orchestrator.engine.steps.result import AttemptFailed, InvalidEffect, Uncertain
from orchestrator.engine.steps.retry import may_repeat
from orchestrator.engine.steps.scheduler import question_of
from orchestrator.engine.tree import OpenQuestion
from orchestrator.engine.values import ValueTable
from orchestrator.escalation import Question
from orchestrator.graph.tool import Tool
from orchestrator.store.ledger.encoding import events_of
from orchestrator.store.rows import Record, RunRow
from orchestrator.store.unknown_run import unknown_run

from .child_effects import find_child
from .finish import outcome_of

_STOPPED = "the process stopped"


async def settle_what_was_left(run: Run) -> None:
    """Settle calls in flight, uncertain effects and interrupted compensations; answer failures without a decision."""
    state = run.state
    lost, uncertain = dict(state.doing), sorted(state.uncertain.keys() - state.doing.keys())
    run.decide(
        DecisionKind.RESUME,
        "go on from where the run stood",
        reason="the process that ran it stopped" + (f" during {', '.join(sorted(lost))}" if lost else ""),
        facts={"in_flight": sorted(lost)},
    )
    undoing, invalid = sorted(state.undoing), sorted(state.invalid)
    unanswered = [state.failures[failure] for failure in state.unanswered]
    for name, doing in sorted(lost.items()):
        await _settle_call(run, name, doing)
    for name in uncertain:
        await _settle_uncertain(run, name)
    for name in undoing:
        await _settle_undoing(run, name)
    for name in invalid:
        await _settle_invalid(run, name)
    for failure in unanswered:
        _answer(run, failure)
    _exclude_what_did_not_happen(run)


async def settle_suspended(run: Run) -> None:
    """Settle the calls that waited for a person when their process, or their event loop, was lost.

    A read, or a write with an idempotency key, is called again from its first line; any other write is ambiguous.
    """
    for name, doing in sorted(run.state.doing.items()):
        tool = run.view.tools.get(name)
        if doing.effect is Effect.READ or (tool is not None and tool.idempotency_key is not None):
            run.emit(CallEnded(**_ended(run, name, doing), asked=True))
        else:
            await _settle_call(run, name, doing)


def _ended(run: Run, name: str, doing: OpenCall) -> dict[str, Any]:
    return {
        **run.stamp(),
        "call_id": doing.call_id,
        "tool": name,
        "attempt": doing.attempt,
        "seconds": 0.0,
        "ok": False,
    }


def _executor(run: Run, tool: Tool, doing: OpenCall) -> StepExecutor:
    step = Step(tool.name, dict.fromkeys(doing.taken.keys), doing.taken.via, (), 0, str(doing.effect))
    return StepExecutor(run, step, tool)


async def _settle_call(run: Run, name: str, doing: OpenCall) -> None:
    """Settle a call in flight: a read is lost and runs again; a write may have happened."""
    tool = run.view.tools.get(name)
    ended = _ended(run, name, doing)
    if doing.effect is Effect.READ:
        run.emit(CallEnded(**ended, cancelled=True))
        return
    failure = Failure(
        id=run.state.next_failure_id(),
        tool=name,
        kind=FailureKind.AMBIGUOUS,
        message=f"{_STOPPED} during the call",
        call_id=doing.call_id,
        attempt=doing.attempt,
        at=run.runtime.clock.time(),
    )
    run.emit(CallEnded(**ended, failure=failure))
    if tool is None:
        run.open.append(question_of(run, name, Uncertain(f"{failure.message}, and its tool is no longer there")))
        return
    await _find_out(run, tool, doing, failure)


async def _settle_uncertain(run: Run, name: str) -> None:
    """Settle an effect for which the process stopped before `reconcile` or a person had answered."""
    tool, doing = run.view.tools.get(name), run.state.last.get(name)
    failure = run.state.failures[run.state.uncertain[name]]
    if tool is not None and doing is not None and failure.id in run.state.unanswered:
        await _find_out(run, tool, doing, failure)
    else:
        run.open.append(question_of(run, name, Uncertain(failure.message)))


async def _find_out(run: Run, tool: Tool, doing: OpenCall, failure: Failure) -> None:
    found = await _executor(run, tool, doing).settled(
        failure, CallContext(run, tool.name, doing.attempt, doing.call_id)
    )
    if isinstance(found, AttemptFailed) and not found.answered and not may_repeat(run, tool, found):
        run.open.append(question_of(run, tool.name, Uncertain(failure.message)))


async def _settle_undoing(run: Run, label: str) -> None:
    """Settle a compensation that was in flight: only `reconcile` can tell whether the effect still stands.

    The effect may be one of a child run (`run id#tool`).
    """
    run_id, _, name = label.rpartition("#")
    of = await find_child(run, run_id) if run_id else run
    tool = of.view.tools.get(name)
    stands = await effect_stands(of, tool) if tool is not None else None
    if stands or (tool is not None and stands is None and takes_key(tool)):
        run.state.undoing -= {label}
        return  # it is compensated (again) when the run ends, or at once when its output is not valid
    ok = stands is False
    reason = "" if ok else f"{_STOPPED} while it was being undone"
    run.emit(EffectUndone(**run.stamp(), tool=label, ok=ok, reason=reason, uncertain=not ok))


async def _settle_invalid(run: Run, name: str) -> None:
    """Settle an effect with an invalid output: it is compensated if `reconcile` still finds the output."""
    state, tool = run.state, run.view.tools.get(name)
    if name not in state.invalid or tool is None:
        return
    failure = state.failures[state.invalid[name]]
    output = None if name in state.uncompensated else await _output_found(run, name)
    if output is not None and output is not NOT_DONE:
        await compensate_effect(run, tool, output, "it happened, but its output is not valid")
    if name in state.invalid:
        run.open.append(question_of(run, name, InvalidEffect(failure.message)))


async def _output_found(run: Run, name: str) -> Any:
    """The answer of `reconcile` about an effect: its output or `NOT_DONE`; `None` when it cannot tell."""
    tool = run.view.tools.get(name)
    done, last = run.state.done.get(name), run.state.last.get(name)
    taken = done or (last.taken if last else None)
    if tool is None or tool.reconcile is None or taken is None:
        return None
    try:
        return await reconciled(run, tool, run.inputs_of(tool))
    except Exception:
        return None


def _answer(run: Run, failure: Failure) -> None:
    """Decide on a recorded failure that no decision answers yet."""
    state, tool = run.state, run.view.tools.get(failure.tool)
    if failure.id not in state.unanswered or tool is None or failure.tool in state.excluded:
        return
    if failure.tool in state.done:
        note_found(run, failure)
        return
    if failure.tool in state.uncertain or failure.tool in state.invalid or failure.tool in state.doing:
        return
    undone = failure.kind is FailureKind.INVALID_OUTPUT and tool.effect is not Effect.READ
    if not may_repeat(run, tool, AttemptFailed(failure, repeatable=not undone)):
        _exclude(run, tool.name, f"{failure.kind.replace('_', ' ')}: {failure.message}")


def _exclude_what_did_not_happen(run: Run) -> None:
    """Exclude tools whose call did not take place according to `reconcile` and may not be tried again."""
    state = run.state
    for decision in state.decisions:
        name, facts = decision.subject or "", decision.facts
        given_up = decision.kind is DecisionKind.RECONCILE and not _done(facts) and decision.chosen == "reroute"
        if given_up and state.tries.get(name) and name not in {**state.excluded, **state.done, **state.doing}:
            _exclude(run, name, decision.reason)


def _done(facts: Mapping[str, Any]) -> bool:
    return bool(facts.get("done"))


def _exclude(run: Run, name: str, reason: str) -> None:
    run.emit(ToolExcluded(**run.stamp(), tool=name, reason=reason))


class UnreadableRecords(InputError):
    """A run has records that this version of the framework cannot read."""


def fold(run_id: str, records: list[Record]) -> RunState:
    """Rebuild the state of a run from its records. Raises `UnreadableRecords`."""
    state = RunState(run_id)
    for record in records:
        try:
            events = events_of([record])
        except (KeyError, ValueError, TypeError):
            raise UnreadableRecords(
                f"Record {record.seq} of the run {run_id!r} ({record.kind}) is of a kind or a form that this version "
                "does not read: use the version that wrote it."
            ) from None
        for event in events:
            apply(state, event)
    return state


def check_known_fields(run_id: str, records: list[Record]) -> None:
    """Raises `UnreadableRecords` for a record with a field that this version does not know: the run can be shown, but
    the field may say how the run is to be continued, such as how the ids of its child runs are made.
    """
    for record in records:
        unknown = unknown_fields(record.kind, record.body)
        if unknown:
            raise UnreadableRecords(
                f"Record {record.seq} of the run {run_id!r} ({record.kind}) has fields that this version does not know "
                f"({', '.join(unknown)}): continue the run with the version that wrote it."
            )


def recorded_outcome(runtime: Runtime, run_id: str) -> tuple[Outcome[Any], str]:
    """The outcome of a run and the digest of its inputs, from its records. Its values may have been deleted.

    Raises `InputError` when there is no such run.
    """
    outcome, digest, _ = recorded_run(runtime, run_id)
    return outcome, digest


def recorded_run(runtime: Runtime, run_id: str) -> tuple[Outcome[Any], str, Goal[Any]]:
    """As `recorded_outcome`, with the goal that the run was started for."""
    records = runtime.store.records(run_id)
    if not records:
        raise unknown_run(runtime.store, run_id)
    state = fold(run_id, records)
    view = runtime.graph.view()
    values = ValueTable(run_id, runtime.store, durable=False)
    values.restore(runtime.store.values(run_id), state.at_hand, view)
    row = runtime.store.run(run_id)
    children = {child: recorded_run(runtime, child)[0] for child in state.children}
    made = recorded(state, values, row.trace_id if row else "", children)
    return made, state.inputs_digest, state.wanted


async def row_of(runtime: Runtime, run_id: str) -> RunRow:
    """The row of a run, read off the event loop. Raises `InputError` when there is no such run."""
    row = await runtime.threads.run(lambda: runtime.store.run(run_id))
    if row is None:
        raise await runtime.threads.run(lambda: unknown_run(runtime.store, run_id))
    return row


async def outcome_on_record(runtime: Runtime, run_id: str) -> Outcome[Any]:
    """The outcome of `recorded_outcome`, read off the event loop."""
    return (await runtime.threads.run(lambda: recorded_outcome(runtime, run_id)))[0]


def recorded(state: RunState, values: ValueTable, trace_id: str, children: Mapping[str, Outcome[Any]]) -> Outcome[Any]:
    """The outcome of a recorded state, without a live run."""
    stand_in: Any = type("Recorded", (), {})()
    stand_in.state, stand_in.values, stand_in.trace_id = state, values, trace_id
    stand_in.route = stand_in.first_route = None
    stand_in.child_outcomes, stand_in.error = children, None
    return outcome_of(stand_in)


def _not_begun(runtime: Runtime, run_id: str, token: int) -> InputError:
    """The error for a run without records; a later call with its id may start it."""
    runtime.store.release(run_id, token)
    return unknown_run(runtime.store, run_id)


async def recover(
    runtime: Runtime,
    run_id: str,
    token: int | None = None,
    *,
    parent: Run | None = None,
    parent_call: str = "",
    to_stop: bool = False,
) -> Run | None:
    """Take over a run that no process drives, and restore its state; `None` while another process owns it.

    `token`: the fencing token of a run that this process owns already. `to_stop`: the run is only to be ended, so
    missing values are no error. Raises `InputError` when there is no such run, or a value that it needs could not be
    stored.
    """

    def load() -> tuple[int | None, list[Record], dict[str, str], int]:
        owned = token or runtime.store.claim(run_id, runtime.owner, LEASE_SECONDS)
        if owned is None:
            return None, [], {}, 0
        store = runtime.store
        return owned, store.records(run_id), store.values(run_id), store.doubtful(run_id)

    token, records, rows, doubtful = await runtime.threads.run(load)
    if token is None:
        return None
    if not records:
        raise await runtime.threads.run(partial(_not_begun, runtime, run_id, token))
    try:
        state = fold(run_id, records)
        check_known_fields(run_id, records)
    except UnreadableRecords:
        await runtime.threads.run(lambda: runtime.store.release(run_id, token))
        raise
    run = Run(
        runtime.dialled(state.dial),
        state,
        durable=True,
        parent=parent,
        parent_call=parent_call,
        token=token,
        named=True,  # the caller knows its id
        trace_id=runtime.tracing.trace_id_of(state.traceparent),
    )
    run.recovered = True
    run.values.restore(rows, run.state.at_hand, run.view)
    runtime.tracing.expect(run_id, run.state.wanted.name, run.state.traceparent)
    try:
        _check_values(run, to_stop=to_stop)
    except InputError:
        await runtime.threads.run(lambda: runtime.store.release(run_id, token))
        raise
    runtime.runs.enter(run)
    if run.state.halted:
        run.scope.cancel(run.state.halted)
    if run.state.status is Status.WAITING:
        _ask_again(run)
    else:
        unproven = doubtful > run.state.token
        run.emit(
            RunResumed(**run.stamp(), policy=run.other_policy(), after_crash=True, token=token, owner_unproven=unproven)
        )
        with run.runtime.tracing.within(run.state.run_id):
            await settle_what_was_left(run)
    return run


def _check_values(run: Run, *, to_stop: bool) -> None:
    """Check for values that the store cannot restore: reads run again; inputs and outputs of writes cannot be had
    again.
    """
    values, at_hand = run.values, run.state.at_hand
    lost = [key for key in sorted(values.unstored) if key in at_hand]
    for giver in sorted({at_hand[key] or "" for key in lost}):
        if giver and giver not in run.state.effects:
            run.emit(ValuesExpired(**run.stamp(), tools=(giver,)))
        elif not to_stop:
            gone = [key for key in lost if (at_hand[key] or "") == giver]
            why = "; ".join(values.unreadable.get(key, f"{key} could not be stored") for key in gone)
            raise InputError(
                f"The run {run.state.run_id!r} cannot continue in this process: {why}. Answer no, or cancel it: its "
                "effects are undone or listed. Give such a key a type that pydantic writes as JSON and reads back."
            )


def _ask_again(run: Run) -> None:
    """Restore the open questions of the record. A child's question is no open step of this run: the child settles
    it.
    """
    for question, met in run.state.questions.values():
        asked, impasse = Question.from_json(question), Impasse.from_json(met)
        base = None
        owner = asked.run or impasse.run_id or run.state.run_id
        if impasse.kind in ("approval", "ambiguous") and owner == run.state.run_id:
            base = impasse
            run.open.append(impasse)
        run.asked[asked.id] = OpenQuestion(impasse, asked, base)


__all__ = ["events_of", "fold", "outcome_on_record", "recorded_outcome", "recover", "row_of", "settle_suspended"]
