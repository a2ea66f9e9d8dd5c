"""Starts the child runs of a call, and waits for their ends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from orchestrator.core.enums import Status
from orchestrator.core.errors import DefinitionError, InputError, StoreError
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Escalated, Outcome, UnknownGoal
from orchestrator.engine.options import Wanted
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.state import RunState
from orchestrator.engine.values import digest

from .driver import enlist, join, start, stop_waiting
from .known import in_turn, known
from .ownership import let_go, live_run
from .phases import Phase
from .recovery import fold, recover
from .start import begin, check_goal, check_inputs, joined, known_inputs

T = TypeVar("T")
AWAY_SECONDS: Final = 0.5
"""Seconds between two attempts to reach the store."""


async def launch_child(
    parent: Run, run_id: str, goal: Goal[Any], inputs: Mapping[str, Any], call_id: str, *, tainted: bool = False
) -> tuple[Outcome[Any], RunState]:
    """Run a child goal under the budget of its parent; a child that has ended is not run again.

    `tainted`: the inputs derive from what a model provided. Raises `Escalated` for a goal that nothing can reach.
    """
    runtime = parent.runtime
    try:
        check_goal(goal, runtime.graph.view().keys, inputs)
    except (DefinitionError, UnknownGoal) as error:
        raise Escalated(str(error)) from error
    given = check_inputs(runtime.graph.view(), known_inputs(runtime, goal, inputs))
    look = partial(_child, parent, run_id, goal, given, call_id, tainted)
    child = partial(in_turn, runtime, run_id, look)
    found = await _with_the_store(parent, child, begins=True)
    if isinstance(found, Outcome):
        return found, await _with_the_store(parent, partial(_state_of, parent, run_id))
    parent.children[run_id] = found
    if parent.fenced:  # meanwhile: the new owner owns the child as well
        found.fence()
    found.parent_call = call_id
    found.account.moved_to(call_id)
    try:
        return await _ended(found), found.state
    except asyncio.CancelledError:
        if found.state.status is Status.WAITING and not _torn_down(parent, call_id):
            await _end_waiting(found)
        raise
    finally:
        parent.children.pop(run_id, None)
        parent.ended_children[run_id] = found
        parent.wake_up()  # every call may wait for people now


async def _with_the_store(run: Run, ask: Callable[[], Awaitable[T]], *, begins: bool = False) -> T:
    """The result of `ask`; while the store is unreachable it is repeated, for the policy's `patience`.

    An outage of the store must not fail the call that reaches for the child. A run that is to stop starts no child.
    """
    clock = run.runtime.clock
    deadline = clock.monotonic() + run.runtime.policy.patience
    while True:
        try:
            return await ask()
        except StoreError:
            if clock.monotonic() >= deadline or (begins and run.cancelled is not None):
                raise
            await clock.sleep(AWAY_SECONDS)


async def _child(
    parent: Run, run_id: str, goal: Goal[Any], given: Mapping[str, Any], call_id: str, tainted: bool, overdue: bool
) -> Outcome[Any] | Run:
    """The child run, or the outcome of an ended one. The caller holds its turn. Raises `NotYet`."""
    runtime = parent.runtime
    asked = digest(given, parent.view, runtime.digest_key)
    found = await known(runtime, run_id, goal, asked, overdue, parent=parent, parent_call=call_id)
    if found is None:
        runtime.demands.check_declared(runtime.graph.view(), goal.keys, given)
        state = parent.state
        wanted = Wanted(None, state.dial, state.constraints, state.labels, tainted=tainted)
        found = await begin(runtime, goal, given, wanted, run_id=run_id, parent=parent, parent_call=call_id)
        start(found, Phase.PLAN)
    elif isinstance(found, Outcome) and found.status is Status.WAITING:
        found = await _waiting_child(runtime, run_id, parent, call_id)
    return found


async def _state_of(parent: Run, run_id: str) -> RunState:
    """The state of a child, from memory if this process drove it, else from its record."""
    known = parent.ended_children.get(run_id) or live_run(parent.runtime, run_id)
    if known is not None:
        return known.state
    return fold(run_id, await parent.runtime.threads.run(lambda: parent.runtime.store.records(run_id)))


async def _ended(child: Run) -> Outcome[Any]:
    """Wait for the end of a child and return its outcome; while the child waits for a person, its caller waits too."""
    while True:
        if _is_asking(child):
            if child.parent is not None:
                child.parent.wake_up()
            await child.answered()  # returns at once if it was cancelled while it began to wait
            async with child.runtime.runs.turn(child.state.run_id):  # it may be cancelled by its id
                if _is_asking(child):
                    await stop_waiting(child)
                    start(child, Phase.ESCALATE)
                else:
                    enlist(child)
        outcome = await joined(child.runtime, child)
        if outcome.status is not Status.WAITING:
            return outcome


def _is_asking(run: Run) -> bool:
    """Whether a run, cancelled or not, waits for a person and no answer has been submitted."""
    return run.state.status is Status.WAITING and run.answer is None


async def _waiting_child(runtime: Runtime, run_id: str, parent: Run, call_id: str) -> Run:
    """Take over a child that waits for a person already; this process drives it from now on."""
    child = live_run(runtime, run_id)
    if child is None:
        child = await recover(runtime, run_id, parent=parent, parent_call=call_id)
        if child is None:
            raise InputError(f"The run {run_id!r} is being driven by another process.")
        await let_go(child)
    return child


async def _end_waiting(child: Run) -> None:
    """End a child that still waits for a person after its call has ended."""
    child.scope.cancel("the call that reached for it is over")
    await stop_waiting(child)
    start(child, Phase.ESCALATE)
    await join(child)


def _torn_down(run: Run, call_id: str) -> bool:
    """Whether the run is released, or its event loop ends while it only waits: then no child is ended."""
    return run.left or (run.scheduler is not None and run.scheduler.is_torn_down(call_id))


__all__ = ["launch_child"]
