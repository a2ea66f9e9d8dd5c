"""Bugs planted in the engine, one at a time: the promises' checks catch each. A check that cannot fail is no check."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest

from orchestrator.core.decision import Decision
from orchestrator.core.enums import DecisionKind, FailureKind
from orchestrator.core.events import CallEnded, Decided, EffectUndone, GoalLowered, ToolExcluded
from orchestrator.core.failure import Failure
from orchestrator.engine import failures
from orchestrator.engine.lifecycle import finish as closing
from orchestrator.engine.lifecycle import phases
from orchestrator.engine.planning import replan as replanning
from orchestrator.engine.run import Run
from orchestrator.engine.state import RunState
from orchestrator.engine.steps import executor, outputs
from orchestrator.engine.steps import scheduler as driving
from orchestrator.engine.steps.executor import StepExecutor
from orchestrator.engine.steps.result import AttemptFailed
from orchestrator.engine.steps.scheduler import StepScheduler
from orchestrator.graph.tool import Tool
from orchestrator.health.failures.classify import classify
from tests.engine.schedules import run_and_check
from tests.engine.worlds import check, make_world, run

WORLDS = 400
Plant = Callable[[pytest.MonkeyPatch], None]


def on_emit(change: Callable[[Any], Any]) -> Plant:
    """A bug in what is told: every event passes through `change`; `None` swallows it."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        emit = Run.emit

        def wrong(self: Run, event: Any) -> None:
            changed = change(event)
            if changed is not None:
                emit(self, changed)

        patch.setattr(Run, "emit", wrong)

    return plant


def reroutes_answer_nothing(event: Any) -> Any:
    if isinstance(event, Decided) and event.decision.kind is DecisionKind.REROUTE:
        return replace(event, decision=replace(event.decision, answers=()))
    return event


def retries_answer_twice(event: Any) -> Any:
    if isinstance(event, Decided) and event.decision.kind is DecisionKind.RETRY:
        decision: Decision = replace(event.decision, answers=event.decision.answers * 2)
        return replace(event, decision=decision)
    return event


def failed_tools_are_not_excluded(event: Any) -> Any:
    return None if isinstance(event, ToolExcluded) else event


def lesser_goals_are_not_noted(event: Any) -> Any:
    return None if isinstance(event, GoalLowered) else event


def failures_are_swallowed(event: Any) -> Any:
    if isinstance(event, CallEnded) and event.failure is not None:
        return replace(event, failure=None, cancelled=True)
    return event


def work_done_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    problem = RunState.problem

    def wrong(self: RunState) -> Any:
        provided = {key: giver for key, giver in self.at_hand.items() if giver is None}
        return replace(problem(self), done={}, at_hand=provided)

    def never_done(self: StepScheduler, step: Any) -> bool:
        return all(key in self.run.state.at_hand for key in step.sources)

    patch.setattr(RunState, "problem", wrong)
    patch.setattr(StepScheduler, "_ready", never_done)
    patch.setattr(StepScheduler, "_start_ready", _start_even_what_is_done)


def _start_even_what_is_done(self: Any) -> None:
    if self.run.route is None or self.run.open:
        return
    for step in self.run.route.steps:
        if step.tool not in self.tasks and self._ready(step):
            executor = self._executors[step.tool] = StepExecutor(self.run, step, self.run.view.tools[step.tool])
            task = asyncio.create_task(executor.make())
            task.add_done_callback(self._woken)
            self.tasks[step.tool] = task


def nothing_is_undone(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*args: Any) -> bool:
        return False

    patch.setattr(closing, "compensate_effect", nothing)


def what_is_used_is_undone_too(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RunState, "standing", lambda self, keys: [t for t in self.effects if t not in self.compensated])


def ensure_is_ignored(patch: pytest.MonkeyPatch) -> None:
    async def fine(*_: Any) -> None:
        return

    patch.setattr(outputs, "ensured", fine)


def a_failure_ends_the_run(patch: pytest.MonkeyPatch) -> None:
    def no_reroute(self: StepScheduler, reason: str) -> None:
        self.run.route = None

    patch.setattr(driving.StepScheduler, "_reroute", no_reroute)
    replan = replanning.replan

    def only_once(run: Run, kind: DecisionKind, reason: str, **options: Any) -> bool:
        return run.first_route is None and replan(run, kind, reason, **options)

    for module in (phases, driving):
        patch.setattr(module, "replan", only_once)


def ambiguity_is_taken_for_failure(patch: pytest.MonkeyPatch) -> None:
    def wrong(*args: Any, **options: Any) -> FailureKind:
        kind = classify(*args, **options)
        return FailureKind.TRANSIENT if kind is FailureKind.AMBIGUOUS else kind

    patch.setattr(failures, "classify", wrong)


def what_may_have_happened_is_repeated(patch: pytest.MonkeyPatch) -> None:
    async def wrong(run: Run, tool: Tool, failure: Failure, *, running: bool = False) -> AttemptFailed:
        return AttemptFailed(failure, repeatable=True)

    patch.setattr(executor, "settle", wrong)


def undone_in_the_order_in_which_it_was_done(patch: pytest.MonkeyPatch) -> None:
    standing = RunState.standing
    patch.setattr(RunState, "standing", lambda self, keys: standing(self, keys)[::-1])


def a_failed_undoing_is_told_as_done(event: Any) -> Any:
    return replace(event, ok=True) if isinstance(event, EffectUndone) else event


def the_price_leaves_out_a_step(event: Any) -> Any:
    if isinstance(event, Decided) and event.decision.kind is DecisionKind.ROUTE and event.decision.price:
        return replace(event, decision=replace(event.decision, price=event.decision.price * 0.9))
    return event


def writes_begin_before_reads(patch: pytest.MonkeyPatch) -> None:
    def as_soon_as_possible(self: StepScheduler, step: Any) -> bool:
        return all(key in self.run.state.at_hand for key in step.sources)

    patch.setattr(StepScheduler, "_ready", as_soon_as_possible)
    patch.setattr(StepScheduler, "_candidates", lambda self: list(self.run.route.steps) if self.run.route else [])


def an_impasse_is_declared_at_once(patch: pytest.MonkeyPatch) -> None:
    take: Any = vars(StepScheduler)["_take"]

    def impatient(self: StepScheduler, name: str, result: Any, *, replan: bool = True) -> None:
        take(self, name, result, replan=replan)
        if replan and self.run.route is None:
            self.tasks.clear()

    patch.setattr(StepScheduler, "_take", impatient)


def a_reason_tells_a_value(event: Any) -> Any:
    if isinstance(event, Decided):
        return replace(event, decision=replace(event.decision, reason=f"{event.decision.reason}: the secret one"))
    return event


MOVING: dict[str, Plant] = {
    "ambiguity is taken for failure": ambiguity_is_taken_for_failure,
    "what may have happened is repeated": what_may_have_happened_is_repeated,
    "undone in the order in which it was done": undone_in_the_order_in_which_it_was_done,
    "a failed undoing is told as done": on_emit(a_failed_undoing_is_told_as_done),
    "the price leaves out a step": on_emit(the_price_leaves_out_a_step),
    "writes begin before reads": writes_begin_before_reads,
    "an impasse is declared at once": an_impasse_is_declared_at_once,
    "a reason tells a value": on_emit(a_reason_tells_a_value),
}
"""Bugs that only worlds that move show."""
BUGS: dict[str, Plant] = {
    "reroutes answer nothing": on_emit(reroutes_answer_nothing),
    "retries answer twice": on_emit(retries_answer_twice),
    "failed tools are not excluded": on_emit(failed_tools_are_not_excluded),
    "lesser goals are not noted": on_emit(lesser_goals_are_not_noted),
    "failures are swallowed": on_emit(failures_are_swallowed),
    "work done is forgotten": work_done_is_forgotten,
    "nothing is undone": nothing_is_undone,
    "what is used is undone too": what_is_used_is_undone_too,
    "ensure is ignored": ensure_is_ignored,
    "a failure ends the run": a_failure_ends_the_run,
}
SHOWN_IN = {
    "reroutes answer nothing": 16,
    "retries answer twice": 24,
    "failed tools are not excluded": 4,
    "lesser goals are not noted": 3,
    "failures are swallowed": 24,
    "work done is forgotten": 16,
    "nothing is undone": 134,
    "what is used is undone too": 6,
    "ensure is ignored": 18,
    "a failure ends the run": 16,
    "ambiguity is taken for failure": 22,
    "what may have happened is repeated": 18,
    "undone in the order in which it was done": 18,
    "a failed undoing is told as done": 1,
    "the price leaves out a step": 1,
    "writes begin before reads": 4,
    "an impasse is declared at once": 75,
    "a reason tells a value": 0,
}
"""A world that has shown the bug: it is looked at first, and all the others where it no longer does."""


async def still(seed: int) -> None:
    """A world that stands still."""
    world = make_world(seed)
    check(world, await run(world, world.orchestrator(monitors=())))


def first_caught(seeds: Iterable[int], world: Callable[[int], Awaitable[None]] = still) -> int | None:
    """The first world in which a check fails; a run that does not end counts as caught."""

    async def one(seed: int) -> None:
        await asyncio.wait_for(world(seed), 5)

    for seed in seeds:
        try:
            asyncio.run(one(seed))
        except Exception:
            return seed
    return None


@pytest.mark.parametrize("name", BUGS)
def test_each_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("orchestrator"), "disabled", True)
    BUGS[name](monkeypatch)
    assert first_caught([SHOWN_IN[name], *range(WORLDS)]) is not None


@pytest.mark.parametrize("name", MOVING)
def test_each_planted_bug_is_caught_where_the_world_moves(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("orchestrator"), "disabled", True)
    MOVING[name](monkeypatch)
    assert first_caught([SHOWN_IN[name], *range(WORLDS)], partial(run_and_check, ledger=False)) is not None


def test_without_a_bug_nothing_is_caught() -> None:
    seeds = Random(7).sample(range(10**6), 3)
    assert all(first_caught(range(seed, seed + 10)) is None for seed in seeds)
    assert all(first_caught(range(seed, seed + 2), run_and_check) is None for seed in seeds)
