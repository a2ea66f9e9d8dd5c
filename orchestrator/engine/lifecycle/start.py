"""Launching runs: begun, joined, resumed, cancelled. A run id means one run, whatever process asks."""

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, OwnershipLost, StoreError
from orchestrator.core.events import RunStarted
from orchestrator.core.goal import Budget, Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.route import Impasse
from orchestrator.engine import langgraph as machine
from orchestrator.engine.background.heartbeat import LEASE_SECONDS
from orchestrator.engine.options import RunOptions, Wanted
from orchestrator.engine.planning.agents import all_keys
from orchestrator.engine.run import Run
from orchestrator.engine.state import RunState
from orchestrator.engine.values import PROVIDED, can_be_stored, digest
from orchestrator.escalation import Question, answer
from orchestrator.selection.choice.exploration import ExplorationRound
from orchestrator.store.memory import MemoryStore
from orchestrator.store.protocol import FIRST_TOKEN, RunRow

from .finish import outcome_of, summary

if TYPE_CHECKING:
    from orchestrator.engine.runtime import Runtime
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from orchestrator.core.conventions import SCOPE
from orchestrator.core.errors import InvalidOutput, nearest
from orchestrator.core.outcome import UnknownGoal
from orchestrator.engine.values import checked_inputs

if TYPE_CHECKING:
    from orchestrator.engine.runtime import Runtime


LOG: Final = logging.getLogger(SCOPE)


def check_goal(goal: Goal[Any], known: Collection[str], given: Collection[str] = ()) -> None:
    """Raises `UnknownGoal` for a key that nothing gives or needs and nobody provides, with the nearest names."""
    for key in (*goal.keys, *(key for lesser in goal.demotions for key in lesser.keys)):
        if key not in known and key not in given:
            reason = f"No tool gives or needs {key!r}.{_names({*known, *given}, key)}"
            raise UnknownGoal(Impasse(goal.keys, (key,), (), reason=reason, kind="unknown_goal"))


def check_inputs(runtime: "Runtime", inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as the types of their keys. Raises `InputError`."""
    try:
        return checked_inputs(inputs, runtime.graph.view())
    except InvalidOutput as error:
        raise InputError(f"Input {error}") from None


def warn_of_unused(runtime: "Runtime", goal: Goal[Any], inputs: Mapping[str, Any]) -> None:
    """Log each input that nothing takes, with the nearest names: it may be one misspelt. It is at hand all the same.

    Where demands are functions of the values at hand, only they know what they read, and nothing is said.
    """
    keys = runtime.graph.view().keys
    unknown = [key for key in inputs if key not in keys]
    if not unknown or runtime.demands.reads_anything:
        return
    known = {*keys, *all_keys(goal), *goal.providable}
    for key in sorted(key for key in unknown if key not in known):
        LOG.warning("Nothing takes the input %r.%s", key, _names(known, key))


def _names(known: Collection[str], name: str) -> str:
    """The keys there are, those nearest to `name` first."""
    return f"{nearest(name, known)} Known keys: {', '.join(sorted(known)[:12]) or 'none'}."


POLL_SECONDS = 0.2
BEGIN_SECONDS = 1.0
"""How long a run may be without its first record while it is being begun."""
NO_TURN = ExplorationRound()
"""Of a run that no agent could take part in."""


async def launch(
    runtime: "Runtime",
    goal: Goal[Any],
    inputs: Mapping[str, Any],
    **options: Unpack[RunOptions],
) -> Outcome[Any]:
    """Run a goal; a `run_id` that was used before gives that run's outcome, or joins it. Raises `InputError`."""
    view, run_id = runtime.graph.view(), options.get("run_id")
    runtime = runtime.dialled(options.get("dial"))
    given = check_inputs(runtime, inputs)
    if run_id is not None:
        known = await _known(runtime, run_id, goal, digest(given, view))
        if known is not None:
            return known
    check_goal(goal, view.keys, inputs)
    warn_of_unused(runtime, goal, given)
    wanted = Wanted(Budget.of(options.get("budget")), options.get("dial"), options.get("constraints"))
    run = await begin(runtime, goal, given, wanted, run_id=run_id or new_run_id())
    run.named = run_id is not None
    return await supervise(run, {"run_id": run.state.run_id, "phase": "plan"})


async def launch_child(
    parent: Run, run_id: str, goal: Goal[Any], inputs: Mapping[str, Any], call_id: str
) -> Outcome[Any]:
    """Run a child goal, with what is left of the parent's budget; a finished child is not run again."""
    runtime = parent.runtime
    check_goal(goal, runtime.graph.view().keys, inputs)
    given = check_inputs(runtime, inputs)
    known = await _known(runtime, run_id, goal, digest(given, parent.view))
    if known is not None:
        return known
    wanted = Wanted(None, parent.state.dial, parent.state.constraints)
    run = await begin(runtime, goal, given, wanted, run_id=run_id, parent=parent, parent_call=call_id)
    parent.children[run_id] = run
    try:
        return await supervise(run, {"run_id": run_id, "phase": "plan"})
    finally:
        del parent.children[run_id]


def new_run_id() -> str:
    """An id that no run has. Ids decide nothing, so they may be random."""
    return uuid.uuid4().hex[:16]


# -- beginning -------------------------------------------------------------------------------------------------------


async def begin(
    runtime: "Runtime",
    goal: Goal[Any],
    inputs: Mapping[str, Any],
    wanted: Wanted,
    *,
    run_id: str,
    parent: Run | None = None,
    parent_call: str | None = None,
) -> Run:
    """A new run, on record. Raises `InputError` when somebody began a run with this id in the meantime."""
    machine.load()
    if parent is None:
        await runtime.learn()  # what the runs before have taught
    view = runtime.graph.view()
    durable = not isinstance(runtime.store, MemoryStore)
    opened = runtime.tracing.open(run_id, goal.name)
    row = _row(runtime, run_id, goal, parent, opened.trace_id)
    try:
        create = partial(_create_owned if durable else _create, runtime, row)
        token = await runtime.threads.run(create) if durable else create()
    except BaseException:
        opened.span.end()
        raise
    run = Run(runtime, RunState(run_id), durable=durable, parent=parent, token=token)
    run.trace_id = opened.trace_id
    runtime.tracing.adopt(run_id, goal.name, opened)
    runtime.live[run_id] = run
    run.values.put(PROVIDED, inputs, view)
    not_stored = sorted(key for key in view.keys if not can_be_stored(view.key_type(key))) if durable else []
    policy = runtime.policy
    limits = wanted.budget or Budget()
    turn = runtime.selector.turn() if view.agents(all_keys(goal)) else NO_TURN
    run.emit(
        RunStarted(
            **run.stamp(),
            goal=goal.to_json(),
            inputs=tuple(sorted(inputs)),
            inputs_digest=digest(inputs, view),
            policy=policy.model_dump(mode="json"),
            graph=runtime.remember_graph(view),
            revision=view.revision,
            budget={
                "usd": limits.usd if limits.usd is not None else policy.max_spend,
                "seconds": limits.seconds if limits.seconds is not None else policy.max_seconds,
                "calls": limits.calls if limits.calls is not None else policy.max_calls,
            },
            traceparent=opened.traceparent,
            parent=parent.state.run_id if parent else None,
            parent_call=parent_call,
            depth=parent.state.depth + 1 if parent else 0,
            resumable=not not_stored,
            not_resumable=tuple(not_stored),
            turn=turn.number,
            probe=turn.probe,
            dial=wanted.dial,
            constraints=wanted.constraints.to_json() if wanted.constraints else {},
        )
    )
    runtime.on_begin(run)
    return run


def _row(runtime: "Runtime", run_id: str, goal: Goal[Any], parent: Run | None, trace_id: str) -> RunRow:
    return RunRow(
        run_id=run_id,
        parent=parent.state.run_id if parent else None,
        goal=goal.name,
        status=Status.RUNNING,
        policy=runtime.policy.name,
        started=runtime.clock.time(),
        ended=None,
        head="",
        count=0,
        trace_id=trace_id,
        summary={},
    )


def _create(runtime: "Runtime", row: RunRow) -> int | None:
    """Create a run in memory, which needs no token."""
    if runtime.store.begin(row) is not None:
        raise InputError(f"There is a run {row.run_id!r} already.")
    return None


def _create_owned(runtime: "Runtime", row: RunRow) -> int:
    """Create the run, owned by this process from its creation; returns its fencing token.

    A store that cannot be reached keeps the creation enqueued: the run goes on, and makes no write until its intent is
    durable. A run without a record was never begun: its process died, and nothing happened.
    """
    try:
        existing = runtime.store.begin(row, runtime.owner, LEASE_SECONDS)
    except StoreError:
        return FIRST_TOKEN
    if existing is None:
        return FIRST_TOKEN
    if existing.count or existing.status is not Status.RUNNING:
        raise InputError(f"There is a run {row.run_id!r} already.")
    token = runtime.store.claim(row.run_id, runtime.owner, LEASE_SECONDS)
    if token is None:
        raise InputError(f"The run {row.run_id!r} was begun by another process in the meantime.")
    return token


# -- going on --------------------------------------------------------------------------------------------------------


async def supervise(run: Run, entry: Any) -> Outcome[Any]:
    """Drive a run's graph until it ends or waits, in a task of its own so that its trace context dies with it."""
    run.task = asyncio.create_task(_drive(run, entry), name=f"run:{run.state.run_id}")
    try:
        return await asyncio.shield(run.task)
    except asyncio.CancelledError:
        if not run.task.done():  # the caller was cancelled: stop reads, let writes finish, keep the record
            run.task.cancel()
            with contextlib.suppress(BaseException):
                await run.task
        raise


async def _drive(run: Run, entry: Any) -> Outcome[Any]:
    runtime = run.runtime
    config: Any = {"configurable": {"thread_id": run.state.run_id}, "recursion_limit": 100_000}
    try:
        await run_graph(runtime, run).ainvoke(entry, config)
    except BaseException as error:
        if run.fenced:
            return await _taken_over(run)
        runtime.live.pop(run.state.run_id, None)
        runtime.tracing.abandon(run.state.run_id, error)
        if not run.result.done():
            run.result.set_exception(error if isinstance(error, Exception) else InputError("the run was interrupted"))
            run.result.exception()
        with contextlib.suppress(Exception):
            await let_go(run)  # so that whoever resumes it need not wait
        raise
    outcome = run.final or outcome_of(run)
    note_end(run, outcome)
    if run.parent is None:
        await runtime.learn()
    if outcome.status is Status.WAITING:
        await let_go(run)
        if run.parent is None:
            runtime.announce(run.state.run_id)
        heed_deadline(run)
    run.result.set_result(outcome)
    return outcome


async def _taken_over(run: Run) -> Outcome[Any]:
    """The outcome that the new owner records."""
    runtime, run_id = run.runtime, run.state.run_id
    if runtime.live.get(run_id) is run:
        del runtime.live[run_id]
    runtime.tracing.abandon(run_id, OwnershipLost("another process has taken the run over"))
    outcome = await _known_to_store(runtime, run_id, run.state.inputs_digest)
    if outcome is None:
        raise StoreError(f"The run {run_id!r} was taken over by another process and is gone from the store.")
    if not run.result.done():
        run.result.set_result(outcome)
    return outcome


async def let_go(run: Run) -> None:
    """Give up owning a run that waits, so that any process may take its answer."""
    store, token = run.runtime.store, run.token
    if token is not None:

        def release() -> None:
            store.flush()
            store.release(run.state.run_id, token)

        await run.runtime.threads.run(release)
        run.let_go = True


def heed_deadline(run: Run) -> None:
    """Have the question's default take effect when nobody has answered in time."""
    question = run.escalator.question if run.escalator else None
    if question is not None and question.due is not None:
        work = _take_default(run, question.id, max(0.0, question.due - run.runtime.clock.time()))
        task = asyncio.create_task(work, name=f"deadline:{run.state.run_id}")
        run.runtime.deadlines.add(task)
        task.add_done_callback(run.runtime.deadlines.discard)


async def _take_default(run: Run, question_id: str, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await run.runtime.clock.wait_for(asyncio.Event().wait(), seconds)
    escalator = run.escalator
    still_asked = escalator is not None and escalator.question is not None and escalator.question.id == question_id
    if still_asked and run.state.status is Status.WAITING and run.runtime.live.get(run.state.run_id) is run:
        with contextlib.suppress(InputError):  # another process took the run on
            run.rebind()
            await answer_run(run.runtime, run, None, "")


async def own_again(run: Run) -> None:
    """Own a run that waited in this process. Raises `InputError` when another process has taken it on."""
    runtime, run_id = run.runtime, run.state.run_id
    if not run.let_go:
        return
    token = await runtime.threads.run(lambda: runtime.store.claim(run_id, runtime.owner, LEASE_SECONDS))
    row = await runtime.threads.run(lambda: runtime.store.run(run_id))
    if token is None or row is None or row.status is not Status.WAITING:
        runtime.live.pop(run_id, None)
        raise InputError(f"The run {run_id!r} has been answered by another process.")
    run.token = run.values.token = token
    run.let_go = False


def run_graph(runtime: "Runtime", run: Run) -> Any:
    """The compiled graph of one run; it keeps its checkpoints until the run has ended."""
    if run.graph is None:
        from langgraph.checkpoint.memory import InMemorySaver

        async def find(state: Mapping[str, Any]) -> Run:
            return runtime.live[state["run_id"]]

        run.graph = machine.build(machine.Nodes(find), checkpointer=InMemorySaver())
    return run.graph


def note_end(run: Run, outcome: Outcome[Any]) -> None:
    """Tell the store and this process that a run has ended, or waits."""
    runtime, state = run.runtime, run.state
    if outcome.status is Status.WAITING:
        runtime.store.set_status(state.run_id, Status.WAITING, summary=summary(outcome), token=run.token)
        return
    runtime.store.set_status(
        state.run_id, outcome.status, ended=runtime.clock.time(), summary=summary(outcome), token=run.token
    )
    runtime.tracing.ended(state.run_id, runtime.store)
    runtime.hear(run)
    runtime.live.pop(state.run_id, None)
    runtime.remember_outcome(outcome, state.inputs_digest)
    if run.parent is None and run.durable:
        runtime.forget_values(run)


# -- a run id that was used before -----------------------------------------------------------------------------------


async def _known(runtime: "Runtime", run_id: str, goal: Goal[Any], inputs_digest: str) -> Outcome[Any] | None:
    """The outcome of the run that has this id already: ended, waiting, or joined until it ends; `None` when new."""
    ended = runtime.outcome(run_id)
    if ended is not None:
        _same(run_id, ended[1], inputs_digest)
        return ended[0]
    live = runtime.live.get(run_id)
    if live is not None:
        _same(run_id, live.state.inputs_digest, inputs_digest)
        if live.state.status is Status.WAITING:
            return outcome_of(live)
        return await asyncio.wrap_future(live.result)
    if isinstance(runtime.store, MemoryStore):
        return None
    return await _known_to_store(runtime, run_id, inputs_digest)


async def _known_to_store(runtime: "Runtime", run_id: str, inputs_digest: str) -> Outcome[Any] | None:
    from .recovery import recorded_outcome, recover

    for poll in itertools.count():
        row = await runtime.threads.run(lambda: runtime.store.run(run_id))
        if row is None or (row.count == 0 and poll * POLL_SECONDS >= BEGIN_SECONDS):
            return None
        if row.count == 0:  # it is just being begun, or was and its process died
            await runtime.clock.sleep(POLL_SECONDS)
            continue
        if row.status is not Status.RUNNING:
            outcome, digest_then = await runtime.threads.run(lambda: recorded_outcome(runtime, run_id))
            _same(run_id, digest_then, inputs_digest)
            return outcome
        run = await recover(runtime, run_id)
        if run is not None:
            _same(run_id, run.state.inputs_digest, inputs_digest)
            return await supervise(run, {"run_id": run_id, "phase": "plan"})
        await runtime.clock.sleep(POLL_SECONDS)
    return None


def _same(run_id: str, then: str, now: str) -> None:
    if then and then != now:
        raise InputError(f"The run {run_id!r} was begun with other inputs. Use another run_id, or the same inputs.")


async def answer_run(runtime: "Runtime", run: Run, raw: Any, by: str) -> Outcome[Any]:
    """Give a waiting run its answer and go on. Raises `InputError` for what is no answer to its question."""
    from langgraph.types import Command

    escalator = run.escalator
    assert escalator is not None and escalator.impasse is not None and escalator.question is not None
    check_answer(run, escalator.impasse, escalator.question, raw)
    await own_again(run)
    run.answer = (raw, by)
    runtime.store.set_status(run.state.run_id, Status.RUNNING, token=run.token)
    return await supervise(run, Command(resume=True))


def check_answer(run: Run, impasse: Impasse, question: Question, raw: Any) -> None:
    """Raises `InputError` when `raw` is no answer to the question."""
    if raw is None and question.due is not None:
        return
    assert run.escalator is not None
    answer(question, impasse, raw, validate=run.escalator.validate)


__all__ = ["answer_run", "begin", "launch", "launch_child", "supervise"]
