"""Recovery: a run picked up from its records, after a crash or while it waits for a person."""

from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError
from orchestrator.escalation import Question
from orchestrator.events import CallEnded, EffectUndone, Event, RunResumed, ValuesExpired, from_body
from orchestrator.failures import Failure
from orchestrator.outcome import Outcome
from orchestrator.route import Impasse, Step
from orchestrator.store.base import Record
from orchestrator.tracing import trace_id_of
from orchestrator.types import NOT_DONE, DecisionKind, Effect, FailureKind, Status

from .caller import Caller
from .closing import outcome_of
from .contexts import CallContext
from .driving import question_of
from .ending import Ending, Settled
from .escalating import Escalator
from .run import Run
from .state import RunState
from .uncertain import reconciled, settle
from .values import ValueTable

if TYPE_CHECKING:
    from .services import Services

LEASE_SECONDS = 60.0


def events_of(records: list[Record]) -> list[Event]:
    """The events that a run's records hold."""
    return [from_body(r.kind, r.run_id, r.at, r.body) for r in records if r.kind != "closed"]


def fold(run_id: str, records: list[Record]) -> RunState:
    """The state of a run, from its records."""
    state = RunState(run_id)
    for event in events_of(records):
        state.apply(event)
    return state


def recorded_outcome(services: "Services", run_id: str) -> tuple[Outcome[Any], str]:
    """The outcome of a run as its records tell it, and the digest of its inputs. Values may be gone.

    Raises `InputError` when there is no such run.
    """
    records = services.store.records(run_id)
    if not records:
        raise InputError(f"There is no run {run_id!r} in this store.")
    state = fold(run_id, records)
    view = services.graph.view()
    values = ValueTable(run_id, services.store, durable=False)
    values.restore(services.store.values(run_id), state.at_hand, view)
    row = services.store.run(run_id)
    return recorded(state, values, row.trace_id if row else ""), state.inputs_digest


def recorded(state: RunState, values: ValueTable, trace_id: str) -> Outcome[Any]:
    """The outcome of a state that no live run has."""
    stand_in: Any = type("Recorded", (), {})()
    stand_in.state, stand_in.values, stand_in.trace_id = state, values, trace_id
    stand_in.route = stand_in.first_route = None
    return outcome_of(stand_in)


async def recover(services: "Services", run_id: str) -> Run | None:
    """Own a run that nobody drives any more, and bring it to where it stood; `None` while another worker owns it.

    Raises `InputError` when there is no such run, or a value that it needs could not be stored.
    """

    def load() -> tuple[int | None, list[Record], dict[str, str]]:
        token = services.store.claim(run_id, services.owner, services.clock.time(), LEASE_SECONDS)
        if token is None:
            return None, [], {}
        return token, services.store.records(run_id), services.store.values(run_id)

    token, records, rows = await services.threads.run(load)
    if token is None:
        return None
    if not records:
        raise InputError(f"There is no run {run_id!r} in this store.")
    run = Run(services, fold(run_id, records), durable=True, token=token)
    run.values.restore(rows, run.state.at_hand, run.view)
    run.named = True  # somebody knows its id: it was resumed by it
    run.trace_id = trace_id_of(run.state.traceparent)
    services.tracing.expect(run_id, run.state.wanted.name, run.state.traceparent)
    _check_values(run)
    services.live[run_id] = run
    if run.state.status is Status.WAITING:
        _ask_again(run)
    else:
        run.emit(RunResumed(**run.stamp(), policy=run.other_policy(), after_crash=True))
        with run.traced():
            await _after_crash(run)
    return run


def _check_values(run: Run) -> None:
    """Values that could not be stored: what was read is read again; what was provided or done cannot be."""
    lost = [key for key in sorted(run.values.unstored) if key in run.state.at_hand]
    givers = {run.state.at_hand[key] for key in lost}
    for giver in sorted(giver or "" for giver in givers):
        if not giver or giver in run.state.effects:
            raise InputError(
                f"The run {run.state.run_id!r} cannot be resumed: {', '.join(lost)} could not be stored. "
                "Give these keys a type that pydantic can write as JSON."
            )
        run.emit(ValuesExpired(**run.stamp(), tools=(giver,)))


def _ask_again(run: Run) -> None:
    escalator = run.escalator = Escalator(run)
    assert run.state.question is not None and run.state.impasse is not None
    escalator.question = Question.from_json(run.state.question)
    escalator.impasse = impasse = Impasse.from_json(run.state.impasse)
    if impasse.kind in ("approval", "question", "ambiguous"):
        run.open.append(impasse)


async def _after_crash(run: Run) -> None:
    """Reads in flight are simply lost; a write in flight may have happened (promise 4)."""
    lost = sorted(run.state.doing)
    run.decide(
        DecisionKind.RESUME,
        "go on from where the run stood",
        reason="the process that ran it stopped" + (f" during {', '.join(lost)}" if lost else ""),
        facts={"in_flight": lost},
    )
    for tool in lost:
        await _settle_call(run, tool)
    for tool in sorted(run.state.doubt.keys() - run.state.uncertain.keys() - set(lost)):
        run.open.append(question_of(run, tool, Ending.UNCERTAIN, "the process stopped before it was tried again"))
    for tool in sorted(run.state.undoing):
        await _settle_undoing(run, tool)


async def _settle_call(run: Run, name: str) -> None:
    doing = run.state.doing[name]
    tool = run.view.tools.get(name)
    ended: dict[str, Any] = {
        **run.stamp(),
        "call_id": doing.call_id,
        "tool": name,
        "attempt": doing.attempt,
        "seconds": 0.0,
        "ok": False,
    }
    if doing.effect is Effect.READ or tool is None:
        run.emit(CallEnded(**ended, cancelled=True))
        return
    failure = Failure(
        id=run.state.next_failure_id(),
        tool=name,
        kind=FailureKind.AMBIGUOUS,
        message="the process stopped during the call",
        call_id=doing.call_id,
        attempt=doing.attempt,
        at=run.services.clock.time(),
    )
    run.emit(CallEnded(**ended, failure=failure))
    step = Step(name, dict.fromkeys(doing.taken.keys), doing.taken.via, (), 0, str(doing.effect))
    caller = Caller(run, step, tool)
    try:
        failed = await settle(caller, failure, CallContext(run, name, doing.attempt, doing.call_id))
    except Settled:
        return
    if not failed.answered and not caller.may_repeat(failed):
        run.open.append(question_of(run, name, Ending.UNCERTAIN, failure.message))


async def _settle_undoing(run: Run, name: str) -> None:
    """A compensation was in flight: `reconcile` can tell whether the effect is still there; nobody else can."""
    tool = run.view.tools.get(name)
    ok = False
    if tool is not None and tool.reconcile is not None:
        step = Step(name, dict.fromkeys(run.state.done[name].keys), None, (), 0) if name in run.state.done else None
        if step is not None:
            try:
                ok = await reconciled(Caller(run, step, tool)) is NOT_DONE
            except Exception:
                ok = False
            else:
                if not ok:
                    run.state.undoing.discard(name)
                    return  # the effect still stands: it is undone when the run ends
    run.emit(
        EffectUndone(
            **run.stamp(), tool=name, ok=ok, reason="" if ok else "the process stopped while it was being undone"
        )
    )


__all__ = ["events_of", "fold", "recorded_outcome", "recover"]
