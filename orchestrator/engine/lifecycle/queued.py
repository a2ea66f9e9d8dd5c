"""Queued runs: submitting and awaiting them, and driving them after a worker has claimed them."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from pydantic import ValidationError
from typing_extensions import Unpack

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, OrchestratorError, OwnershipLost
from orchestrator.core.goal import Budget, Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.types.schema import explain
from orchestrator.engine.background.heartbeat import LEASE_SECONDS
from orchestrator.engine.options import SubmitOptions, Wanted
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.values import Unserialisable, digest, dump, load_value
from orchestrator.selection.choice.constraints import Constraints
from orchestrator.store.rows import ClaimedRun, RunRow
from orchestrator.store.unclaimed import ANY_WORKER

from .driver import Abandoned, start, stop_waiting, take_answer
from .known import check_same_request, set_aside
from .ownership import live_run
from .phases import Phase
from .recovery import UnreadableRecords, outcome_on_record, recover, row_of
from .start import begin, check_goal, check_inputs, check_request, check_when, new_run_id, wanted_of

RUN_POLL_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Seconds between polls of a run that another process executes; the last value repeats."""


@dataclass(frozen=True)
class SubmittedRequest:
    """The request of a submitted run, as stored until the run ends."""

    goal: Goal[Any]
    inputs: dict[str, Any]
    wanted: Wanted
    any_worker: bool = False
    """Whether no tool gives the goal where it was submitted either: whoever claims the run executes it."""

    def to_json(self, runtime: Runtime) -> str:
        """The JSON text that is stored. Raises `InputError` for a value that cannot be stored."""
        view, inputs = runtime.graph.view(), dict[str, str]()
        for key, value in sorted(self.inputs.items()):
            try:
                inputs[key] = dump(view.key_type(key), value)
            except Unserialisable:
                raise InputError(
                    f"The input {key!r} cannot be stored, so no worker could be given it: give the key a type that "
                    "pydantic can write as JSON, or use `run`."
                ) from None
        budget, constraints = self.wanted.budget, self.wanted.constraints
        return json.dumps(
            {
                "goal": self.goal.to_json(),
                "inputs": inputs,
                "budget": {"usd": budget.usd, "seconds": budget.seconds, "calls": budget.calls} if budget else None,
                "dial": self.wanted.dial,
                "constraints": constraints.to_json() if constraints else None,
                **({ANY_WORKER: True} if self.any_worker else {}),
            }
        )

    @classmethod
    def from_json(cls, text: str, runtime: Runtime) -> "SubmittedRequest":
        """Parse the stored text by the types of the current graph."""
        data = json.loads(text)
        view = runtime.graph.view()
        wanted = Wanted(
            Budget(**data["budget"]) if data["budget"] else None,
            data["dial"],
            Constraints.from_json(data["constraints"]) if data["constraints"] else None,
        )
        inputs = {key: _restored(key, view.key_type(key), value) for key, value in data["inputs"].items()}
        return cls(Goal.from_json(data["goal"]), inputs, wanted, ANY_WORKER in data)


def _restored(key: str, kind: Any, text: str) -> Any:
    """An input as it was submitted. Raises `InputError` without the value: a run's row says why it was left."""
    try:
        return load_value(kind, text)
    except ValidationError as error:
        raise InputError(f"the input {key!r} is not of the type that it has here: {explain(error)}") from None


async def submit(runtime: Runtime, goal: Goal[Any], inputs: Mapping[str, Any], **options: Unpack[SubmitOptions]) -> str:
    """Add a run to the queue; returns its id. A used `run_id` refers to its run. Raises `InputError`."""
    check_when(options)
    view = runtime.graph.view()
    given = check_inputs(view, inputs)
    check_request(runtime, view, goal, given)
    wanted = wanted_of(options)
    run_id = options.get("run_id") or new_run_id()
    for_any = bool(_not_given(runtime, goal, given))
    request = SubmittedRequest(goal, given, wanted, for_any).to_json(runtime)
    asked = digest(given, runtime.graph.view(), runtime.digest_key)
    summary: dict[str, Any] = {"inputs_digest": asked, "wanted": goal.to_json()}
    if _not_given(runtime, goal, {}):
        summary[ANY_WORKER] = True
    row = RunRow(
        run_id=run_id,
        parent=None,
        goal=goal.name,
        status=Status.QUEUED,
        policy=runtime.policy.name,
        started=runtime.clock.time(),
        summary=summary,
        labels=wanted.labels,
        wake=options.get("at"),
    )

    def put() -> RunRow | None:
        return runtime.store.queue.submit(
            row, request, delay=options.get("delay", 0.0), priority=options.get("priority", 0)
        )

    existing = await runtime.threads.run(put)
    if existing is not None:
        await check_same_request(runtime, existing, goal, asked)
    return run_id


async def wait(runtime: Runtime, run_id: str, *, ended: bool = False) -> Outcome[Any]:
    """The outcome of a run once it has ended or (unless `ended`) waits for a person, whichever process drives it.

    Cancelling the wait does not affect the run.

    Raises `InputError` when there is no such run, or it was set aside.
    """
    for poll in range(1_000_000_000):
        known = runtime.runs.outcome(run_id)
        if known is not None:
            return known[0]
        live = live_run(runtime, run_id)
        if live is not None and not live.result.done():
            try:
                return await live.result.wait()
            except (OwnershipLost, Abandoned):
                continue
        row = await row_of(runtime, run_id)
        if row.status.ended or (row.status is Status.WAITING and not ended):
            outcome = await outcome_on_record(runtime, run_id)
            if outcome.status is not Status.RUNNING:  # else it was answered after its row was read
                return outcome
        if row.status is Status.QUEUED and row.wake is None:
            raise set_aside(row)
        await runtime.clock.sleep(RUN_POLL_SECONDS[min(poll, len(RUN_POLL_SECONDS) - 1)])
    raise AssertionError("unreachable")


class NotForThisWorker(OrchestratorError):
    """This process cannot drive the run: it lacks tools for the goal, or cannot read the request."""


async def drive_taken(runtime: Runtime, taken: ClaimedRun) -> Run | None:
    """Start or continue a run that this process has claimed; `None` when nothing is to be done. No caller is counted.

    Raises `NotForThisWorker`.
    """
    async with runtime.runs.turn(taken.run_id):
        if not taken.count:
            return await _begin(runtime, taken)
        if live_run(runtime, taken.run_id) is None:
            await runtime.threads.run(lambda: _check_same_program(runtime, taken.run_id))
        try:
            return await _go_on(runtime, taken)
        except UnreadableRecords as error:
            raise NotForThisWorker(str(error)) from error


async def _begin(runtime: Runtime, taken: ClaimedRun) -> Run:
    if taken.request is None:
        raise NotForThisWorker("nothing is on record of what was asked for")
    try:
        request = SubmittedRequest.from_json(taken.request, runtime)
        check_goal(request.goal, runtime.graph.view().keys, request.inputs)
        _check_can_be_given(runtime, request)
    except InputError as error:
        raise NotForThisWorker(str(error)) from error
    except Exception as error:
        raise NotForThisWorker(f"{type(error).__name__}: {error}") from error
    wanted = replace(request.wanted, labels=taken.labels)
    dialled = runtime.dialled(wanted.dial)
    run = await begin(dialled, request.goal, request.inputs, wanted, run_id=taken.run_id, named=True, token=taken.token)
    start(run, Phase.PLAN)
    if taken.cancel:
        run.scope.cancel("cancelled")  # before its first phase
    return run


async def cancel_queued(runtime: Runtime, run_id: str, reason: str) -> Run | None:
    """Claim a queued run that has not started, to end it; `None` when it is not queued, has started, or cannot be read.

    The caller holds the run's turn.
    """
    queue, owner = runtime.store.queue, runtime.owner
    taken = await runtime.threads.run(lambda: queue.take_one(run_id, owner, LEASE_SECONDS))
    if taken is None:
        return None
    run: Run | None = None
    if taken.count:
        run = await recover(runtime, run_id, taken.token, to_stop=True)
    else:
        with contextlib.suppress(NotForThisWorker):
            run = await _begin(runtime, taken)
            run.scope.cancel(reason)  # before its first phase
    if run is None:
        await runtime.threads.run(lambda: queue.cancel(run_id) and queue.requeue(run_id, taken.token))
    return run


def _check_same_program(runtime: Runtime, run_id: str) -> None:
    """Raises `NotForThisWorker` when this process has no tool of the recorded graph: the run belongs to another
    program.
    """
    digest = next((record.body.get("graph") for record in runtime.store.records(run_id)), None)
    data = runtime.store.graph(digest) if isinstance(digest, str) else None
    names = [str(tool["name"]) for tool in data["tools"]] if data else []
    if names and not any(name in runtime.graph for name in names):
        raise NotForThisWorker(f"it plans with {', '.join(names[:3])}, and there is no such tool here")


def _check_can_be_given(runtime: Runtime, request: SubmittedRequest) -> None:
    """Raises `InputError` when no tool of this process gives a key of the goal; another version may have one."""
    missing = _not_given(runtime, request.goal, request.inputs)
    if missing and not request.any_worker:
        raise InputError(f"no tool here gives {', '.join(missing)}")


def _not_given(runtime: Runtime, goal: Goal[Any], inputs: Mapping[str, Any]) -> list[str]:
    view = runtime.graph.view()
    return sorted(key for key in {*goal.keys} - inputs.keys() if not view.producers(key))


async def _go_on(runtime: Runtime, taken: ClaimedRun) -> Run | None:
    run = live_run(runtime, taken.run_id)
    if run is not None and not run.durable:
        run.own(taken.token)
    else:
        if run is not None and run.scheduler is not None:
            await run.scheduler.leave()
        runtime.runs.leave(taken.run_id)  # a run that waited here was released; the record has its state
        run = await recover(runtime, taken.run_id, taken.token)
    if run is None:
        return None
    if taken.cancel:
        run.scope.cancel("cancelled")
    if run.state.status is not Status.WAITING:
        start(run, Phase.PLAN)
        return run
    if taken.cancel:
        await stop_waiting(run)
        start(run, Phase.ESCALATE)
        return run
    try:
        given = _answer_of(taken)
        question = given.get("question") or next(iter(run.asked), "")
        await take_answer(run, question, given.get("answer"), given.get("by", ""))
    except InputError as error:
        runtime.store.on_problem(f"the answer to run {taken.run_id!r} was not taken: {error}")
        runtime.store.set_status(taken.run_id, Status.WAITING, token=run.token)
        await runtime.threads.run(lambda: _release(runtime, run))
        return None
    return run


def _answer_of(taken: ClaimedRun) -> dict[str, Any]:
    """The answer that was submitted with the run. Raises `InputError` for an invalid one."""
    try:
        given: Any = json.loads(taken.answer or "{}")
    except ValueError:
        raise InputError("it is not JSON") from None
    if not isinstance(given, dict):
        raise InputError("it is no JSON object with `answer`")
    return cast("dict[str, Any]", given)


def _release(runtime: Runtime, run: Run) -> None:
    runtime.store.flush()
    runtime.store.release(run.state.run_id, run.token or 0)
    if run.durable:
        runtime.runs.leave(run.state.run_id)


__all__ = ["NotForThisWorker", "SubmittedRequest", "cancel_queued", "drive_taken", "submit", "wait"]
