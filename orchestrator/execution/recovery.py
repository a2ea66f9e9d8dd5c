"""Recovery: a run picked up from its records, after a crash or while it waits for a person."""

from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError
from orchestrator.escalation import Question
from orchestrator.events import Event, RunResumed, ValuesExpired, from_body
from orchestrator.outcome import Outcome
from orchestrator.route import Impasse
from orchestrator.store.base import Record
from orchestrator.tracing import trace_id_of
from orchestrator.types import Status

from .aftermath import settle_what_was_left
from .closing import outcome_of
from .escalating import Escalator
from .run import Run
from .state import RunState
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
    state = fold(run_id, records)
    run = Run(services.dialled(state.dial), state, durable=True, token=token)
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
            await settle_what_was_left(run)
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


__all__ = ["events_of", "fold", "recorded_outcome", "recover"]
