"""Acts on a run id in its turn, and looks up one that was used before: an outcome, a run to join, or a run that has not
started yet. The turn is released while the run is queued, starts, or is driven by another process.
"""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, OwnershipLost
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.values import same_digest
from orchestrator.store.memory import MemoryStore
from orchestrator.store.rows import RunRow

from .driver import dismiss, enlist, start
from .finish import outcome_of
from .ownership import live_here
from .phases import Phase
from .recovery import recorded_run, recover

T = TypeVar("T")
POLL_SECONDS: Final = (0.001, 0.02, 0.05, 0.1, 0.2)
"""Seconds between two attempts; the last value repeats."""
BEGIN_SECONDS: Final = 1.0
"""Seconds for which a run may have no record while it is being started."""


class NotYet(Exception):
    """The run is queued, being started, or driven by another process: try again in another turn."""


def check_begun(row: RunRow, *, overdue: bool) -> None:
    """Raises `NotYet` for a run without a record, unless the record is overdue: then its process has died."""
    if row.count == 0 and (row.status is Status.QUEUED or (row.status is Status.RUNNING and not overdue)):
        raise NotYet


async def in_turn(runtime: Runtime, run_id: str, find: Callable[[bool], Awaitable[T]]) -> T:
    """The result of `find`, called in the turn of a run; when it raises `NotYet`, it is called again in another turn.

    This also covers a run that another process takes over meanwhile. The argument of `find` is whether the run's first
    record is overdue.
    """
    clock = runtime.clock
    began = clock.monotonic()
    for pause in itertools.chain(POLL_SECONDS, itertools.repeat(POLL_SECONDS[-1])):
        try:
            async with runtime.runs.turn(run_id):
                return await find(clock.monotonic() - began >= BEGIN_SECONDS)
        except (NotYet, OwnershipLost):
            await clock.sleep(pause)
    raise AssertionError("unreachable")


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
        if outcome.status is not Status.RUNNING:  # else it was answered after its row was read
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


__all__ = ["NotYet", "check_begun", "check_same_request", "in_turn", "known", "known_to_store", "set_aside"]
