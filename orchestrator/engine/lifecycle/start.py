"""Checks requests and starts runs. A `run_id` is idempotent across processes: reusing it joins or returns the existing
run.
"""

import asyncio
import math
import uuid
from collections.abc import Collection, Coroutine, Mapping
from functools import partial
from typing import Any, Final

from typing_extensions import Unpack

from orchestrator.core.checks import check_labels, check_name
from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, InvalidOutput, OwnershipLost, StoreError, nearest
from orchestrator.core.events import RunStarted
from orchestrator.core.goal import Budget, Goal
from orchestrator.core.outcome import Outcome, UnknownGoal
from orchestrator.core.privacy.redaction import raised_at
from orchestrator.core.process.loops import cancelled_once
from orchestrator.core.route import Impasse
from orchestrator.core.types.assignable import Fit, fit
from orchestrator.core.types.schema import type_name, validate
from orchestrator.engine.background.heartbeat import LEASE_SECONDS
from orchestrator.engine.options import RunOptions, SubmitOptions, Wanted
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import NO_LIMITS, Runtime
from orchestrator.engine.state import RunState
from orchestrator.engine.steps.children import is_child_id
from orchestrator.engine.values import PROVIDED, can_be_stored, digest
from orchestrator.graph.revision import GraphRevision
from orchestrator.selection.choice.exploration import ExplorationRound
from orchestrator.store.memory import MemoryStore
from orchestrator.store.rows import FIRST_TOKEN, RunRow

from .driver import join, note_end, start
from .finish import end_as_it_stands
from .known import NotYet, in_turn, known, known_to_store
from .ownership import let_go
from .phases import Phase

_PRIORITIES: Final = 2**31
"""Range of priorities: PostgreSQL stores 32 bits."""
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
        return await joined(runtime, run)
    found = await in_turn(runtime, run_id, partial(_found_or_begun, runtime, run_id, goal, given, wanted))
    return found if isinstance(found, Outcome) else await joined(runtime, found)


async def joined(runtime: Runtime, run: Run) -> Outcome[Any]:
    """The outcome of a run; when another process takes it over, the outcome that the new owner records."""
    try:
        return await join(run)
    except OwnershipLost:
        state = run.state
        look = partial(known_to_store, runtime, state.run_id, state.wanted, state.inputs_digest, run.parent, "")
        found = await in_turn(runtime, state.run_id, look)
        if found is None:
            raise
    return found if isinstance(found, Outcome) else await joined(runtime, found)


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


# -- checks of a request ---------------------------------------------------------------------------------------------


def check_goal(goal: Goal[Any], known: Collection[str], given: Collection[str] = ()) -> None:
    """Raises `UnknownGoal`, with the nearest names, for a key that no tool gives or needs and that is no input."""
    lesser = [key for each in goal.demotions for key in each.keys] if goal.demotions else []
    for key in (*goal.keys, *lesser):
        if key not in known and key not in given:
            reason = f"No tool gives or needs {key!r}.{_names({*known, *given}, key)}"
            raise UnknownGoal(Impasse(goal.keys, (key,), (), reason=reason, kind="unknown_goal"))
    for key in goal.providable:
        if key not in known and key not in given:
            raise InputError(f"Nothing needs the providable key {key!r}.{_names({*known, *given}, key)}")


def check_inputs(view: GraphRevision, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs, validated by the types of their keys. Raises `InputError`."""
    checked: dict[str, Any] = {}
    for key, value in inputs.items():
        kind = view.key_type(key)
        if kind is Any:
            checked[key] = value
            continue
        try:
            checked[key] = validate(key, kind, value)
        except InvalidOutput as error:
            raise InputError(f"Input {error}") from None
        except Exception as error:
            raised = f"{key}: a validator raised {type(error).__name__} ({raised_at(error)})"
            raise InputError(f"Input {raised}") from error
    return checked


def check_request(runtime: Runtime, view: GraphRevision, goal: Goal[Any], inputs: Mapping[str, Any]) -> None:
    """Both checks, of a goal and of its inputs by their names: `check_goal` and `refuse_unknown`."""
    typed = goal.value_type is not None
    if typed or runtime.demands.sources or view.unknown((*goal.every_key, *goal.providable, *inputs)):
        check_goal(goal, view.keys, inputs)
        refuse_unknown(runtime, goal, inputs)


def check_when(options: SubmitOptions) -> None:
    """Raises `InputError` for an impossible time or a priority out of range."""
    delay, at, priority = options.get("delay", 0.0), options.get("at"), options.get("priority", 0)
    if not (math.isfinite(delay) and delay >= 0.0):
        raise InputError(f"delay is a number of seconds, 0 or more, not {delay}.")
    if at is not None and not math.isfinite(at):
        raise InputError(f"at is a time in seconds since the epoch, not {at}.")
    if abs(priority) >= _PRIORITIES:
        raise InputError(f"priority is a number between {1 - _PRIORITIES} and {_PRIORITIES - 1}.")


def refuse_unknown(runtime: Runtime, goal: Goal[Any], inputs: Mapping[str, Any], *, named_only: bool = False) -> None:
    """Raises `InputError`, with the nearest name, for an input that no tool takes and for an unknown skill that is
    demanded on the way to the goal. `named_only`: only the names of the inputs are known, not their values.
    """
    view = runtime.graph.view()
    _check_type(goal, view)
    runtime.demands.check_declared(view, goal.keys, {} if named_only else inputs)
    if not view.unknown(inputs):
        return
    taken = known_inputs(runtime, goal, inputs)
    for key in sorted(key for key in inputs if key not in taken):
        raise InputError(f"Nothing takes the input {key!r}.{_names(_known_keys(runtime, goal), key)}")


def _check_type(goal: Goal[Any], view: GraphRevision) -> None:
    """Raises `InputError` for a `type=` that no value of the key can have."""
    if goal.value_type is None or len(goal.keys) > 1:
        return
    key, of_key = goal.name, view.key_type(goal.name)
    if fit(of_key, goal.value_type) is Fit.NO:
        wanted, own = type_name(goal.value_type), type_name(of_key)
        raise InputError(
            f"Goal({key!r}, type={wanted}): {key!r} is of the type {own}. Write type={own}, or leave it out."
        )


def known_inputs(runtime: Runtime, goal: Goal[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that are keys of the graph or of the goal; all inputs when a demand is a function, which may read
    any.
    """
    if runtime.demands.reads_anything:
        return dict(inputs)
    keys, wanted = runtime.graph.view().keys, {*goal.every_key, *goal.providable}
    return {key: value for key, value in inputs.items() if key in keys or key in wanted}


def _known_keys(runtime: Runtime, goal: Goal[Any]) -> set[str]:
    return {*runtime.graph.view().keys, *goal.every_key, *goal.providable}


def _names(known: Collection[str], name: str) -> str:
    """A sentence with the known keys, those nearest to `name` first."""
    if not known:
        return " There are no tools at all."
    return f"{nearest(name, known)} Known keys: {', '.join(sorted(known)[:12])}."


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
        graph=view.digest if view.digest in runtime.stored_graphs else runtime.store_graph(view),
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


__all__ = [
    "begin",
    "check_goal",
    "check_inputs",
    "check_request",
    "check_when",
    "joined",
    "known_inputs",
    "launch",
    "new_run_id",
    "refuse_unknown",
    "wanted_of",
]
