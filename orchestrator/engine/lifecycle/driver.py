"""Drives a run in a task of its own: counts its waiting callers, cancels it when the last one leaves, notes its end."""

import asyncio
import contextlib
import logging
from dataclasses import replace
from functools import partial
from typing import Any, Final

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, OrchestratorError, OwnershipLost, StoreError
from orchestrator.core.outcome import Outcome
from orchestrator.core.process.forks import new_lock
from orchestrator.core.process.loops import cancelled_once
from orchestrator.core.route import Impasse
from orchestrator.engine.run import Run
from orchestrator.escalation import Question, interpret_answer

from .escalation import has_changed, withdraw_questions
from .finish import end_as_it_stands, outcome_of, summary
from .impasses import judged_now
from .ownership import let_go, live_run, own_again, path_to, root_of
from .phases import Phase, drive
from .recovery import settle_suspended
from .resolutions import validate_answer
from .retention import forget_values, remember

LOG: Final = logging.getLogger("orchestrator")
_WAITERS = new_lock()


def start(run: Run, phase: Phase) -> None:
    """Drive a run from this phase on, in a task of its own, so that its trace context ends with it.

    The caller counts as one of the run's waiters: follow with `join`.
    """
    enlist(run)
    if run.watches:
        _stop_watching(run)
    run.task = asyncio.create_task(_drive(run, phase), name=f"run:{run.state.run_id}")
    run.task.add_done_callback(partial(_task_over, run))


def enlist(run: Run) -> None:
    """Count one more caller that waits for the outcome; follow with `join`."""
    with _WAITERS:
        run.waiters += 1


def dismiss(run: Run) -> bool:
    """Count one caller less; returns whether none is left."""
    with _WAITERS:
        run.waiters -= 1
        return run.waiters <= 0


async def join(run: Run) -> Outcome[Any]:
    """Wait until a run has ended or waits, and return its outcome; for a caller that `start` or `enlist` counted.

    A cancelled caller leaves. When the last one has left, the run is cancelled as by `orc.cancel`.
    """
    try:
        outcome = await run.result.wait()
    except asyncio.CancelledError:
        if dismiss(run) and not run.result.done():
            await (give_up(run) if run.left else leave(run, "its caller left"))
        raise
    except BaseException:
        dismiss(run)
        raise
    dismiss(run)
    return outcome


async def leave(run: Run, reason: str) -> None:
    """Cancel a run that has no waiting caller: reads stop, a write in flight finishes within the policy's patience.

    A second cancellation does not wait for the write: the run is abandoned in its current state.
    """
    run.scope.cancel(reason)
    with cancelled_once():
        try:
            await run.runtime.clock.wait_for(run.result.wait(), run.runtime.policy.patience)
        except (TimeoutError, asyncio.CancelledError):
            await give_up(run)
        except Exception:
            return  # whoever asks for the run gets this error


async def give_up(run: Run) -> None:
    """Stop driving a run: one in memory ends with its effects listed, one in a durable store is left to `recover`."""
    task = run.task
    if task is None or task.done():
        return
    run.leave()
    if run.loop is asyncio.get_running_loop():
        task.cancel()
    else:
        with contextlib.suppress(RuntimeError):  # its event loop is gone
            run.loop.call_soon_threadsafe(task.cancel)
    if run.loop.is_running():
        with contextlib.suppress(Exception, OwnershipLost):
            await run.result.wait()


class Abandoned(OrchestratorError):
    """Raised when this process has stopped driving the run."""


async def _drive(run: Run, phase: Phase) -> Outcome[Any]:
    runtime = run.runtime
    try:
        await drive(run, phase)
    except BaseException as error:
        await _broken_off(run, error)
        raise
    outcome = run.final or outcome_of(run)
    note_end(run, outcome)
    if run.parent is None and runtime.selector.has_news:
        await runtime.observers.learn()
    if outcome.status is Status.WAITING:
        try:
            await let_go(run)
        except StoreError as error:  # it can be answered in this process while the store is unreachable
            runtime.store.on_problem(f"the run {run.state.run_id!r}, which waits, could not be released: {error}")
        if run.parent is None:
            runtime.observers.waits(run.state.run_id)
        else:
            run.parent.wake_up()
        watch_deadline(run)
    run.result.set_result(outcome)
    if outcome.status is Status.WAITING:
        watch_calls(run)
    return outcome


async def _broken_off(run: Run, error: BaseException) -> None:
    """End an abandoned or failed run: in memory at once; in a durable store it is left to `recover`."""
    _note_break(run, error)
    if run.durable and not run.fenced:
        with contextlib.suppress(Exception):
            await let_go(run)  # so that `resume` need not wait for the lease to expire
    _fail(run, error)


def _task_over(run: Run, task: "asyncio.Task[Outcome[Any]]") -> None:
    """End the run if its task ended without an outcome: else its callers would wait forever.

    This happens when the task is cancelled before its first step, and when noting the end of the run fails.
    """
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if error is None or run.result.done():
        return  # `join` raises what `run.result` has
    try:
        _note_break(run, error)
    finally:
        _fail(run, error)


def _note_break(run: Run, error: BaseException) -> None:
    runtime, run_id = run.runtime, run.state.run_id
    if run.durable or run.fenced or run.state.status.ended:
        runtime.runs.leave(run_id)
        taken_over = OwnershipLost("another process has taken the run over")
        runtime.tracing.abandon(run_id, taken_over if run.fenced else error)
        return
    run.scope.cancel("it was given up" if isinstance(error, asyncio.CancelledError) else type(error).__name__)
    note_end(run, end_as_it_stands(run))


def _fail(run: Run, error: BaseException) -> None:
    """Raise an error in the waiting callers: there is no outcome."""
    if run.result.done():
        return
    run_id = run.state.run_id
    if run.fenced:
        error = OwnershipLost(f"Another process has taken over the run {run_id!r}.")
    elif not isinstance(error, Exception):
        error = Abandoned(f"The run {run_id!r} was given up as it was; `resume` shows or continues it.")
    run.result.set_exception(error)


def note_end(run: Run, outcome: Outcome[Any]) -> None:
    """Note in the store and in this process that a run has ended, or waits."""
    runtime, state = run.runtime, run.state
    if outcome.status is Status.WAITING:
        due = min((asked.question.due for asked in run.asked.values() if asked.question.due is not None), default=None)
        runtime.store.set_status(state.run_id, Status.WAITING, summary=summary(outcome), token=run.token, wake=due)
        return
    runtime.store.set_status(
        state.run_id, outcome.status, ended=runtime.clock.time(), summary=summary(outcome), token=run.token
    )
    runtime.tracing.ended(state.run_id, runtime.store)
    runtime.observers.ended(run)
    runtime.runs.leave(state.run_id)
    run.close()
    remember(run, outcome)
    if run.parent is None and run.durable:
        forget_values(run)


# -- answers ---------------------------------------------------------------------------------------------------------


async def take_answer(run: Run, question_id: str, raw: Any, by: str) -> None:
    """Answer a question that a run shows, and start every run that waited for the answer.

    Raises `InputError` for an invalid answer, or when the question is no longer open.
    """
    for each in await ready_to_answer(run, question_id, raw, by):
        if each is run:
            start(each, Phase.ESCALATE)
        else:
            drive_child(each)


def drive_child(run: Run) -> None:
    """Continue a run whose caller is the call of `ctx.reach`, or has left after the question was shown."""
    start(run, Phase.ESCALATE)
    dismiss(run)


async def ready_to_answer(run: Run, question_id: str, raw: Any, by: str = "") -> list[Run]:
    """Pass the answer to the runs that wait for it and make them ready to be driven; the asking run first, the root
    last.
    """
    asked = run.asked.get(question_id)
    if asked is None:
        known = ", ".join(run.asked) or "none"
        raise InputError(f"The run {run.state.run_id!r} has no open question {question_id!r}. Open: {known}.")
    path = await path_to(run, asked)
    check_answer(path[0], asked.impasse, asked.question, raw)
    await _own_all(path)
    for each in path:
        await settle_lost(each)
    for each in path:
        each.rebind()
        each.give(question_id, raw, by)
        each.state.status = Status.RUNNING  # at once, so that a second answer finds a running run
        each.runtime.store.set_status(each.state.run_id, Status.RUNNING, token=each.token)
    return path


async def _own_all(path: list[Run]) -> None:
    """Take ownership of runs that waited here, the root first: the owner of the root owns the tree. Raises
    `InputError`.
    """
    for each in reversed(path):
        await _at_rest(each)
        await own_again(each)


async def settle_lost(run: Run) -> None:
    """Settle the suspended calls that were lost with their process or their event loop."""
    if run.scheduler is not None and (run.loop is asyncio.get_running_loop() or run.loop.is_running()):
        return
    run.scheduler = None
    run.pending.drop()
    run.asked = {key: replace(asked, asking=None) for key, asked in run.asked.items()}
    await settle_suspended(run)


# -- suspended calls that continue by themselves --------------------------------------------------------------------


def watch_calls(run: Run) -> None:
    """Continue a waiting run when one of its suspended calls continues."""
    run.on_wake = partial(_look_again, run)
    _look_again(run)


def _look_again(run: Run) -> None:
    """Continue a waiting run whose suspended call continued by itself: a question was withdrawn, or a new one was
    asked.
    """
    if run.scheduler is None or run.scheduler.ends or not run.waits or not has_changed(run):
        return
    run.on_wake = None
    task = asyncio.create_task(_go_on(run), name=f"goes on:{run.state.run_id}")
    run.runtime.deadlines.add(task)
    task.add_done_callback(run.runtime.deadlines.discard)


async def _go_on(run: Run) -> None:
    async with run.runtime.runs.turn(root_of(run).state.run_id):
        if not run.waits or live_run(run.runtime, run.state.run_id) is not run:
            return
        path = [run]
        while path[-1].parent is not None:
            path.append(path[-1].parent)
        try:
            await _own_all(path)
        except InputError:  # another process owns the tree now and makes the calls again
            for each in path:
                each.fence()
            return
        for each in path:
            if each.waits:
                withdraw_questions(each)
                each.rebind()
                each.runtime.store.set_status(each.state.run_id, Status.RUNNING, token=each.token)
                start(each, Phase.EXECUTE)
                dismiss(each)


async def _at_rest(run: Run) -> None:
    """Wait until a run that is about to wait has been released."""
    if not run.is_at_rest:
        with contextlib.suppress(Exception):
            await run.result.wait()


async def stop_waiting(run: Run, *, keep: bool = False) -> None:
    """Make a waiting run a running one; `keep`: with its question, for an answer. Raises `InputError` when another
    process owns it.
    """
    await _at_rest(run)
    await own_again(run)
    await settle_lost(run)
    run.rebind()
    if not keep:
        run.asked.clear()
    run.state.status = Status.RUNNING
    run.runtime.store.set_status(run.state.run_id, Status.RUNNING, token=run.token)


def check_answer(run: Run, impasse: Impasse, question: Question, raw: Any) -> None:
    """Raises `InputError` when `raw` is no answer to the question."""
    if raw is None and question.due is not None:
        return
    met = judged_now(run, impasse)
    interpret_answer(question, met, raw, validate=lambda key, value: validate_answer(run, impasse, key, value))


def watch_deadline(run: Run) -> None:
    """Apply the default of each question at its deadline."""
    for asked in run.asked.values():
        question = asked.question
        if question.due is not None and question.run in ("", run.state.run_id):
            work = _take_default(run, question.id, max(0.0, question.due - run.runtime.clock.time()))
            task = asyncio.create_task(work, name=f"deadline:{run.state.run_id}")
            run.watches.append(task)
            run.runtime.deadlines.add(task)
            task.add_done_callback(run.runtime.deadlines.discard)


async def _take_default(run: Run, question_id: str, seconds: float) -> None:
    runtime, run_id = run.runtime, run.state.run_id
    with contextlib.suppress(TimeoutError):
        await runtime.clock.wait_for(asyncio.Event().wait(), seconds)
    async with runtime.runs.turn(root_of(run).state.run_id):
        if question_id not in run.asked or not run.waits or runtime.runs.live(run_id) is not run:
            return
        try:
            await take_answer(run, question_id, None, "")
        except InputError:  # another process owns the run now
            return
    await join(run)


def _stop_watching(run: Run) -> None:
    """Stop watching the deadlines of the questions; they are watched again when the run waits again."""
    for task in run.watches:
        if task is not asyncio.current_task() and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
    run.watches.clear()


__all__ = [
    "check_answer",
    "dismiss",
    "drive_child",
    "enlist",
    "give_up",
    "join",
    "leave",
    "note_end",
    "ready_to_answer",
    "settle_lost",
    "start",
    "stop_waiting",
    "take_answer",
    "watch_calls",
    "watch_deadline",
]
