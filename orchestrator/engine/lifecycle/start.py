"""Starts runs. A `run_id` is idempotent across processes: reusing it joins or returns the existing run."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from typing_extensions import Unpack

from orchestrator.core.checks import check_labels, check_name
from orchestrator.core.enums import Status
from orchestrator.core.errors import DefinitionError, InputError, OwnershipLost, StoreError
from orchestrator.core.events import RunStarted
from orchestrator.core.goal import Budget, Goal
from orchestrator.core.outcome import Escalated, Outcome, UnknownGoal
from orchestrator.core.process.loops import cancelled_once
from orchestrator.engine.background.heartbeat import LEASE_SECONDS
from orchestrator.engine.options import RunOptions, Wanted
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import NO_LIMITS, Runtime
from orchestrator.engine.state import RunState
from orchestrator.engine.steps.children import is_child_id
from orchestrator.engine.values import PROVIDED, can_be_stored, digest
from orchestrator.selection.choice.exploration import ExplorationRound
from orchestrator.store.memory import MemoryStore
from orchestrator.store.rows import FIRST_TOKEN, RunRow

from .driver import enlist, join, let_go, live_run, note_end, start, stop_waiting
from .finish import end_as_it_stands
from .known import known, known_to_store
from .phases import Phase
from .recovery import fold, recover
from .requests import check_goal, check_inputs, check_request, known_inputs
from .turns import NotYet, in_turn

T = TypeVar("T")
AWAY_SECONDS = 0.5
"""Seconds between two attempts to reach the store."""
NO_TURN = ExplorationRound()
"""Of a run in which no agent can take part."""
NOTHING_MORE = Wanted()
"""Of a run that was started without options."""


async def launch(
    runtime: Runtime, goal: Goal[Any], inputs: Mapping[str, Any], **options: Unpack[RunOptions]
) -> Outcome[Any]:
    """Run a goal; with a `run_id` that was used before, join that run or return its outcome. Raises `InputError`."""
    view, wanted, run_id = runtime.graph.view(), NOTHING_MORE, None
    if options:
        runtime, run_id = runtime.dialled(options.get("dial")), options.get("run_id")
        wanted = wanted_of(options)
    given = check_inputs(view, inputs)
    if run_id is None:
        check_request(runtime, view, goal, given)
        run = await begin(runtime, goal, given, wanted, run_id=new_run_id())
        start(run, Phase.PLAN)
        return await _joined(runtime, run)
    found = await in_turn(runtime, run_id, partial(_found_or_begun, runtime, run_id, goal, given, wanted))
    return found if isinstance(found, Outcome) else await _joined(runtime, found)


async def _joined(runtime: Runtime, run: Run) -> Outcome[Any]:
    """The outcome of a run; when another process takes it over, the outcome that the new owner records."""
    try:
        return await join(run)
    except OwnershipLost:
        state = run.state
        look = partial(known_to_store, runtime, state.run_id, state.wanted, state.inputs_digest, run.parent, "")
        found = await in_turn(runtime, state.run_id, look)
        if found is None:
            raise
    return found if isinstance(found, Outcome) else await _joined(runtime, found)


async def _found_or_begun(
    runtime: Runtime, run_id: str, goal: Goal[Any], given: Mapping[str, Any], wanted: Wanted, overdue: bool
) -> Outcome[Any] | Run:
    """The outcome of the run with this id, or the run itself, found or started, with this caller among its waiters.
    Raises `NotYet`.
    """
    asked = digest(given, runtime.graph.view(), runtime.digest_key)
    found = await known(runtime, run_id, goal, asked, overdue)
    if found is not None:
        return found
    check_request(runtime, runtime.graph.view(), goal, given)
    run = await begin(runtime, goal, given, wanted, run_id=run_id, named=True)
    start(run, Phase.PLAN)
    return run


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
        outcome = await _joined(child.runtime, child)
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


def wanted_of(options: RunOptions) -> Wanted:
    """The checked options of a run. Raises `InputError`."""
    run_id = options.get("run_id")
    if run_id is not None and is_child_id(check_name("a run", run_id)):
        raise InputError(f"{run_id[:60]!r} cannot be the name of a run: a child run has such a name.")
    labels = check_labels(options.get("labels"))
    return Wanted(Budget.of(options.get("budget")), options.get("dial"), options.get("constraints"), labels)


def new_run_id() -> str:
    """A new run id. It is random, because no decision depends on it."""
    return uuid.uuid4().hex[:16]


# -- beginning -------------------------------------------------------------------------------------------------------


async def begin(
    runtime: Runtime,
    goal: Goal[Any],
    inputs: Mapping[str, Any],
    wanted: Wanted,
    *,
    run_id: str,
    parent: Run | None = None,
    parent_call: str = "",
    named: bool = False,
    in_graph: bool = False,
    token: int | None = None,
) -> Run:
    """Start a new run and record it. Raises `NotYet` when another process has started a run with this id.

    `token`: the fencing token of a run that this process claimed from the queue.
    """
    if parent is None and runtime.selector.has_news:
        await runtime.observers.learn()  # from the outcomes of earlier runs
    durable = not isinstance(runtime.store, MemoryStore)
    opened = runtime.tracing.open(run_id, goal.name)
    row = RunRow(
        run_id=run_id,
        parent=parent.state.run_id if parent else None,
        goal=goal.name,
        status=Status.RUNNING,
        policy=runtime.policy.name,
        started=runtime.clock.time(),
        trace_id=opened.trace_id,
        labels=wanted.labels,
    )
    left = False
    try:
        if token is None and durable:
            token, left = await _whole(runtime.threads.run(partial(_create_owned, runtime, row)))
        elif token is None and runtime.store.begin(row) is not None:
            raise NotYet
    except BaseException:
        opened.end()
        raise
    run = Run(
        runtime,
        RunState(run_id),
        durable=durable,
        parent=parent,
        parent_call=parent_call,
        token=token,
        named=named,
        in_graph=in_graph,
        trace_id=opened.trace_id,
    )
    runtime.tracing.adopt(run_id, goal.name, opened)
    runtime.runs.enter(run)
    run.values.put(PROVIDED, inputs, run.view)
    run.emit(_started(run, goal, inputs, wanted, opened.traceparent, parent_call))
    runtime.observers.begun(run)
    if left:
        if run.left:
            runtime.runs.leave(run_id)
            await let_go(run)
        else:
            run.scope.cancel("its caller left while it was being begun")
            note_end(run, end_as_it_stands(run))
        raise asyncio.CancelledError
    return run


async def _whole(creation: Coroutine[Any, Any, int]) -> tuple[int, bool]:
    """The token of a run that is being created, and whether the caller was cancelled meanwhile. The thread cannot be
    interrupted, and a run that exists in the store must have a record.
    """
    creating = asyncio.ensure_future(creation)
    try:
        return await asyncio.shield(creating), False
    except asyncio.CancelledError:
        with cancelled_once():
            return await creating, True


def _started(
    run: Run, goal: Goal[Any], inputs: Mapping[str, Any], wanted: Wanted, traceparent: str, parent_call: str
) -> RunStarted:
    runtime, view, parent = run.runtime, run.view, run.parent
    not_stored: list[str] = []
    if run.durable:
        not_stored = sorted({*run.values.unstored, *(k for k in view.keys if not can_be_stored(view.key_type(k)))})
    limits = runtime.own_limits if wanted.budget is None else runtime.limits_of(wanted.budget)
    turn = runtime.selector.turn() if view.cone(goal.every_key).agents else NO_TURN
    return RunStarted(
        **run.stamp(),
        goal=goal.to_json(),
        inputs=tuple(sorted(inputs)),
        inputs_digest=str(digest(inputs, view, runtime.digest_key)),  # without the values, which a `Digest` refers to
        policy=runtime.policy_data,
        graph=runtime.store_graph(view),
        revision=view.revision,
        budget=NO_LIMITS if parent is not None else limits,  # a child spends its parent's budget
        traceparent=traceparent,
        parent=parent.state.run_id if parent else None,
        parent_call=parent_call or None,
        depth=parent.state.depth + 1 if parent else 0,
        resumable=not not_stored,
        not_resumable=tuple(not_stored),
        turn=turn.number,
        probe=turn.probe,
        dial=wanted.dial,
        labels=wanted.labels,
        constraints=wanted.constraints.to_json() if wanted.constraints else {},
        tainted=tuple(sorted(inputs)) if wanted.tainted else (),
        child_ids=2,
    )


def _create_owned(runtime: Runtime, row: RunRow) -> int:
    """Create the run, owned by this process from its creation; returns its fencing token. Raises `NotYet`.

    While the store is unreachable the creation stays queued: the run continues, and makes no write until its intent is
    durable. A run without a record was never started: its process died before any effect.
    """
    try:
        existing = runtime.store.begin(row, runtime.owner, LEASE_SECONDS)
    except StoreError:
        return FIRST_TOKEN
    if existing is None:
        return FIRST_TOKEN
    if existing.count or existing.status is not Status.RUNNING:
        raise NotYet
    token = runtime.store.claim(row.run_id, runtime.owner, LEASE_SECONDS)
    if token is None:
        raise NotYet
    return token


__all__ = ["begin", "check_goal", "launch", "launch_child", "new_run_id", "wanted_of"]
