"""Looks up a run id that was used before: an outcome, a run to join, or a run that has not started yet."""

from typing import Any

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.values import same_digest
from orchestrator.store.memory import MemoryStore
from orchestrator.store.rows import RunRow

from .driver import dismiss, enlist, live_here, start
from .finish import outcome_of
from .phases import Phase
from .recovery import recorded_run, recover
from .turns import NotYet, check_begun


async def known(
    runtime: Runtime,
    run_id: str,
    goal: Goal[Any],
    inputs_digest: str,
    overdue: bool,
    *,
    parent: Run | None = None,
    parent_call: str = "",
) -> Outcome[Any] | Run | None:
    """The outcome of this id, or its live run with this caller among its waiters; `None` for a new id.

    `overdue`: whether a run without a record counts as never started, because its process died. The caller holds the
    run's turn. Raises `InputError` for a run with another goal or other inputs and for one that was set aside, and
    `NotYet`.
    """
    ended = runtime.runs.outcome(run_id)
    if ended is not None:
        check_same(run_id, ended[2], goal, ended[1], inputs_digest)
        return ended[0]
    live = await live_here(runtime, run_id)
    if live is not None:
        check_same(run_id, live.state.wanted, goal, live.state.inputs_digest, inputs_digest)
        if live.state.status is Status.WAITING:
            return outcome_of(live)
        enlist(live)
        return live
    if isinstance(runtime.store, MemoryStore) and runtime.store.run(run_id) is None:
        return None
    return await known_to_store(runtime, run_id, goal, inputs_digest, parent, parent_call, overdue)


async def known_to_store(
    runtime: Runtime,
    run_id: str,
    goal: Goal[Any],
    inputs_digest: str,
    parent: Run | None,
    parent_call: str,
    overdue: bool,
) -> Outcome[Any] | Run | None:
    """The same for a run that this process does not drive."""
    row = await runtime.threads.run(lambda: runtime.store.run(run_id))
    if row is None:
        return None
    if row.status is Status.QUEUED:
        await check_same_request(runtime, row, goal, inputs_digest)
        if row.wake is None:
            raise set_aside(row)
        raise NotYet
    check_begun(row, overdue=overdue)
    if row.count == 0:
        return None
    if row.status is not Status.RUNNING:
        outcome, digest_then, wanted = await runtime.threads.run(lambda: recorded_run(runtime, run_id))
        check_same(run_id, wanted, goal, digest_then, inputs_digest)
        return outcome
    run = await recover(runtime, run_id, parent=parent, parent_call=parent_call)
    if run is None:
        raise NotYet
    start(run, Phase.PLAN)
    try:
        check_same(run_id, run.state.wanted, goal, run.state.inputs_digest, inputs_digest)
    except InputError:
        dismiss(run)  # the recovered run continues without this caller
        raise
    return run


async def check_same_request(runtime: Runtime, row: RunRow, goal: Goal[Any], inputs_digest: str) -> None:
    """Raises `InputError` when a submitted run has another goal or other inputs."""
    if row.count:
        _, then, wanted = await runtime.threads.run(lambda: recorded_run(runtime, row.run_id))
    else:
        asked = row.summary.get("wanted")
        then, wanted = str(row.summary.get("inputs_digest", "")), Goal.from_json(asked) if asked else goal
    check_same(row.run_id, wanted, goal, then, inputs_digest)


def check_same(run_id: str, wanted_then: Goal[Any], wanted: Goal[Any], then: str, now: str) -> None:
    """Raises `InputError` when a run was started for another goal or with other inputs."""
    if wanted_then.to_json() != wanted.to_json():
        raise InputError(
            f"The run {run_id!r} was begun for the goal {wanted_then.name!r}, not for {wanted.name!r}. "
            "Use another run_id, or the same goal."
        )
    if then and not same_digest(now, then):
        raise InputError(f"The run {run_id!r} was begun with other inputs. Use another run_id, or the same inputs.")


def set_aside(row: RunRow) -> InputError:
    """The message about a queued run that no worker claims any more."""
    return InputError(
        f"The run {row.run_id!r} was set aside: {row.attempts} processes died while they drove it. "
        f"`orchestrator recover {row.run_id}` queues it again."
    )


__all__ = ["check_same_request", "known", "known_to_store", "set_aside"]
