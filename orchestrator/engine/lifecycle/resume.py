"""Public operations on runs: plan without running, resume, cancel."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from typing_extensions import Unpack

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, OwnershipLost
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import NoRoute, Outcome
from orchestrator.core.route import CONDITION_FALSE, Problem, Route
from orchestrator.engine.options import Preferences
from orchestrator.engine.planning import planning
from orchestrator.engine.planning.agents import refused_agents
from orchestrator.engine.planning.waits import known_waits
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.values import not_storable
from orchestrator.escalation import Resolution, is_refusal
from orchestrator.store.memory import MemoryStore
from orchestrator.store.rows import RunRow

from .driver import (
    dismiss,
    enlist,
    join,
    start,
    stop_waiting,
    take_answer,
)
from .escalation import withdraw_questions
from .finish import outcome_of
from .known import NotYet, check_begun, in_turn
from .ownership import let_go, live_here, live_run, path_to, root_of
from .phases import Phase
from .queued import cancel_queued, wait
from .recovery import outcome_on_record, recorded_outcome, recover, row_of
from .start import check_inputs, check_request

LOOKS_AGAIN = frozenset({"no_route", "progress"})
"""Kinds of impasse that a change of the graph may resolve."""


def plan_only(
    runtime: Runtime, goal: Goal[Any], inputs: Mapping[str, Any], **preferences: Unpack[Preferences]
) -> Route:
    """The route that a run would start with. Raises `NoRoute`."""
    runtime = runtime.dialled(preferences.get("dial"))
    view = runtime.graph.view()
    given = check_inputs(view, inputs)
    check_request(runtime, view, goal, given)
    conditions = planning.known_conditions(view, goal.keys, given)
    unusable = {tool: CONDITION_FALSE for tool, holds in conditions.items() if not holds}
    unusable |= refused_agents(runtime, view, goal, preferences.get("constraints"))
    runtime.health.poll()
    problem = Problem(goal.keys, dict.fromkeys(given), unusable=unusable)
    waits = known_waits(runtime, view, goal.keys, {})
    planned = planning.solve(runtime, problem, view, given, recorded=False, waits=waits)
    if planned.route is None:
        assert planned.impasse is not None
        raise NoRoute(planned.impasse)
    bound = () if isinstance(runtime.store, MemoryStore) else not_storable(view, given, planned.route.tools)
    return replace(planned.route, not_storable=bound) if bound else planned.route


async def resume(runtime: Runtime, run_id: str, answer: Any, by: str, question: str | None = None) -> Outcome[Any]:
    """Continue a waiting or crashed run. An ended run returns its outcome; a running one is joined, in any process.

    `question` is the id of the answered question; by default the first one that is shown now.
    """
    live = live_run(runtime, run_id)
    if live is not None and live.loop is not asyncio.get_running_loop() and live.loop.is_running():
        there = asyncio.run_coroutine_threadsafe(resume(runtime, run_id, answer, by, question), live.loop)
        return await asyncio.wrap_future(there)
    if question is None and answer is not None:
        question = await _shown(runtime, run_id, live)
    work = partial(_resumed, runtime, run_id, answer, by, question)
    try:
        found = await in_turn(runtime, root_of(live).state.run_id if live is not None else run_id, work)
    except DrivenElsewhere:  # an answer belongs to a question that was shown, not to one that comes up later
        later = (None, "", None) if question is None else (answer, by, question)
        found = await in_turn(runtime, run_id, partial(_when_it_rests, runtime, run_id, *later))
    return found if isinstance(found, Outcome) else await _joined(runtime, found)


async def _joined(runtime: Runtime, run: Run) -> Outcome[Any]:
    """The outcome of a run; when another process takes it over, the outcome that the new owner records."""
    try:
        return await join(run)
    except OwnershipLost:
        run_id = run.state.run_id
    found = await in_turn(runtime, run_id, partial(_when_it_rests, runtime, run_id, None, "", None))
    return found if isinstance(found, Outcome) else await _joined(runtime, found)


async def _when_it_rests(
    runtime: Runtime, run_id: str, answer: Any, by: str, question: str | None, overdue: bool
) -> Outcome[Any] | Run:
    """A run that another process drives, once it waits or has ended, or its owner has died. Raises `NotYet`."""
    try:
        return await _resumed(runtime, run_id, answer, by, question, overdue)
    except DrivenElsewhere:
        raise NotYet from None


class DrivenElsewhere(InputError):
    """Another process drives the run."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"The run {run_id!r} is being driven by another process.")


async def repeat_calls(runtime: Runtime, run_id: str) -> Outcome[Any]:
    """Continue a waiting run whose process is gone, without an answer: its calls are made again and ask again."""
    found = await in_turn(runtime, run_id, lambda _: _called_again(runtime, run_id))
    return found if isinstance(found, Outcome) else await _joined(runtime, found)


async def _called_again(runtime: Runtime, run_id: str) -> Outcome[Any] | Run:
    """The run whose calls are made again, or its outcome where it has ended."""
    found = await live_or_recorded(runtime, run_id)
    if isinstance(found, Outcome):
        return found
    if isinstance(found, Run):
        enlist(found)
        return found
    run = await recover(runtime, run_id)
    if run is None:
        raise NotYet
    withdraw_questions(run)
    await stop_waiting(run)
    start(run, Phase.PLAN)
    return run


async def _shown(runtime: Runtime, run_id: str, live: Run | None) -> str | None:
    """The question that an answer without a question id belongs to: the first one that is shown now."""
    if live is not None:
        return next(iter(live.asked), None) if live.waits else None
    row = await runtime.threads.run(lambda: runtime.store.run(run_id))
    return await _first_question(runtime, run_id) if row is not None and row.status is Status.WAITING else None


async def _resumed(
    runtime: Runtime, run_id: str, answer: Any, by: str, question: str | None, overdue: bool
) -> Outcome[Any] | Run:
    live = await live_here(runtime, run_id)
    if live is None:
        return await _resume_recorded(runtime, run_id, answer, by, question, overdue)
    if live.waits:
        return await _give(live, answer, by, question)
    if live.state.status is Status.WAITING and live.cancelled is not None and live.answer is None:
        await stop_waiting(live)  # halted by a signal while it waited
        start(live, Phase.ESCALATE)
        return live
    if answer is not None and question in live.asked:
        raise NotYet  # it continues with another answer; this one is applied when it waits again
    enlist(live)
    return live


async def _resume_recorded(
    runtime: Runtime, run_id: str, answer: Any, by: str, question: str | None, overdue: bool
) -> Outcome[Any] | Run:
    ended = runtime.runs.outcome(run_id)
    if ended is not None:
        return ended[0]
    row = await row_of(runtime, run_id)
    check_begun(row, overdue=overdue)
    if row.status is Status.WAITING and row.parent is not None:  # its question is the question of its root
        found = await _resumed(runtime, row.parent, answer, by, question, overdue)
        live = live_run(runtime, run_id)
        if live is None or not isinstance(found, Run):
            return found
        dismiss(found)
        enlist(live)
        return live
    waits = row.status is Status.WAITING and answer is None
    if row.status.ended or (waits and not await _due(runtime, run_id) and not await _may_look_again(runtime, run_id)):
        outcome = await outcome_on_record(runtime, run_id)
        if outcome.status is not Status.RUNNING:  # else it was answered after its row was read
            return outcome
    run = await recover(runtime, run_id, to_stop=row.status is Status.WAITING and is_refusal(answer))
    if run is None:
        raise DrivenElsewhere(run_id)
    if run.state.status is not Status.WAITING:
        start(run, Phase.PLAN)
        return run
    try:
        given = await _give(run, answer, by, question)
        if isinstance(given, Outcome):
            await _leave_to_others(run)
        return given
    except InputError:  # not a valid answer: the run is released for another one
        await _leave_to_others(run)
        raise


async def _leave_to_others(run: Run) -> None:
    """Release a waiting run that was only inspected, and the child runs that were taken over with it."""
    below = [each for each in run.runtime.runs.all_live() if each is not run and root_of(each) is run]
    for each in (*below, run):
        run.runtime.runs.leave(each.state.run_id)
        await let_go(each)


async def _give(run: Run, answer: Any, by: str, question: str | None) -> Outcome[Any] | Run:
    """Apply the answer to the named question, else to the first one; without an answer, apply the default of an overdue
    one.
    """
    if answer is None:
        question = next((key for key in run.asked if _overdue(run, key)), None)
        if question is None:
            question = await _ended_by_the_graph(run)
            if question is None:
                return outcome_of(run)
            answer, by = Resolution.replan("the graph has changed"), by or "a resume without an answer"
    await take_answer(run, next(iter(run.asked)) if question is None else question, answer, by)
    return run


async def _ended_by_the_graph(run: Run) -> str | None:
    """The question of a run that had no route and would find one in the current graph."""
    for question_id, asked in run.asked.items():
        if asked.impasse.kind in LOOKS_AGAIN and _has_a_route_now((await path_to(run, asked))[0]):
            return question_id
    return None


def _has_a_route_now(run: Run) -> bool:
    """Whether a waiting run would find a route in the current graph."""
    runtime, state = run.runtime, run.state
    view = runtime.graph.view()
    waits = known_waits(runtime, view, state.goal, {})
    planned = planning.solve(
        runtime, state.problem(), view, run.values.values, allowed=state.allowed, turn=state.turn, waits=waits
    )
    return planned.route is not None


async def _may_look_again(runtime: Runtime, run_id: str) -> bool:
    """Whether a recorded run waits because there was no route."""
    outcome = await outcome_on_record(runtime, run_id)
    return outcome.impasse is not None and outcome.impasse.kind in LOOKS_AGAIN


async def _first_question(runtime: Runtime, run_id: str) -> str | None:
    outcome = await outcome_on_record(runtime, run_id)
    return outcome.questions[0].id if outcome.questions else None


async def _due(runtime: Runtime, run_id: str) -> bool:
    """Whether the deadline of a recorded question has passed."""
    outcome = await outcome_on_record(runtime, run_id)
    return any(each.due is not None and runtime.clock.time() > each.due for each in outcome.questions)


def _overdue(run: Run, question: str) -> bool:
    due = run.asked[question].question.due
    return due is not None and run.runtime.clock.time() > due


async def live_or_recorded(runtime: Runtime, run_id: str) -> Run | Outcome[Any] | RunRow:
    """The run if it is live in this process, its outcome if it has ended, else its row."""
    live = await live_here(runtime, run_id)
    if live is not None:
        return live
    ended = runtime.runs.outcome(run_id)
    if ended is not None:
        return ended[0]
    row = await row_of(runtime, run_id)
    return await outcome_on_record(runtime, run_id) if row.status.ended else row


async def cancel(runtime: Runtime, run_id: str, reason: str) -> Outcome[Any]:
    """Cancel a run and return its outcome; an ended run is unchanged.

    A run that is live here starts no further call from now on, also while another operation holds the run's turn.
    """
    live = await live_here(runtime, run_id)
    if live is not None and not live.state.status.ended:
        live.scope.cancel(reason)
    found = await in_turn(runtime, run_id, partial(_cancelled, runtime, run_id, reason))
    if found is None:
        return await _cancelled_elsewhere(runtime, run_id)
    return found if isinstance(found, Outcome) else await _joined(runtime, found)


async def _cancelled(runtime: Runtime, run_id: str, reason: str, overdue: bool) -> Outcome[Any] | Run | None:
    """The cancelled run, or its outcome; `None` when another process or a worker owns it."""
    found = await live_or_recorded(runtime, run_id)
    if isinstance(found, Outcome):
        return found
    if isinstance(found, Run):
        run = found
    else:
        if found.status is Status.QUEUED:
            taken = await cancel_queued(runtime, run_id, reason)
        else:
            check_begun(found, overdue=overdue)
            taken = await recover(runtime, run_id, to_stop=True)
        if taken is None:
            return None
        run = taken
    run.scope.cancel(reason)
    if run.in_graph and run.task is None and run.state.status is not Status.WAITING:
        enlist(run)  # the compiled graph that drives it ends it
    elif run.state.status is Status.WAITING or run.task is None:
        await stop_waiting(run)
        start(run, Phase.ESCALATE)
    else:
        enlist(run)
    return run


async def _cancelled_elsewhere(runtime: Runtime, run_id: str) -> Outcome[Any]:
    """Ask the process that drives the run, or the worker that claims it, to cancel it; returns its outcome."""
    await runtime.threads.run(lambda: runtime.store.queue.cancel(run_id))
    return await wait(runtime, run_id, ended=True)


def outcome(runtime: Runtime, run_id: str) -> Outcome[Any]:
    """The outcome of a run, from its records."""
    ended = runtime.runs.outcome(run_id)
    if ended is not None:
        return ended[0]
    live = live_run(runtime, run_id)
    if live is not None and not _answered_elsewhere(runtime, live):
        return outcome_of(live)
    runtime.store.flush()
    return recorded_outcome(runtime, run_id)[0]


def _answered_elsewhere(runtime: Runtime, run: Run) -> bool:
    """Whether another process has continued a run that waits here."""
    if run.state.status is not Status.WAITING or not run.released:
        return False
    row = runtime.store.run(run.state.run_id)
    return row is not None and row.status is not Status.WAITING
