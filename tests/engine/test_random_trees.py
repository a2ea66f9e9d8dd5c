"""Random run trees keep the promises of the tree; planted bugs are caught."""

import asyncio
import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator import DecisionKind, Orchestrator, Status, Tool
from orchestrator.core.calls.user_code import UserFunctionError
from orchestrator.core.events import ChildEnded
from orchestrator.core.failure import Failure
from orchestrator.engine import registry
from orchestrator.engine.lifecycle import driver, resume
from orchestrator.engine.run import Run
from orchestrator.engine.state import RunState
from orchestrator.engine.steps import approval, executor
from orchestrator.engine.steps.children import ChildRuns
from orchestrator.engine.steps.context import CallContext
from orchestrator.engine.steps.executor import StepExecutor
from orchestrator.engine.steps.result import AttemptFailed
from orchestrator.engine.tree import BudgetAccount, CancelScope

from .trees import run_tree

SHORT, CAMPAIGN = 40, 10_000
SEARCHED = 120
"""Trees among which each planted bug must be caught."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures of tools are not worth a line each."""
    monkeypatch.setattr(logging.getLogger("orchestrator"), "disabled", True)


def run_all(seeds: Iterable[int]) -> int | None:
    """The first seed whose tree breaks a promise."""
    for seed in seeds:
        try:
            asyncio.run(asyncio.wait_for(run_tree(seed), 20))
        except Exception:
            return seed
    return None


FAULTS = {
    40181: "a cancellation that waited for the turn of its run while other calls began",
    50743: "the same",
    41687: "a question of a child far below that was still shown when nobody awaited its answer",
    50883: "the same",
    60861: "the same",
}
"""Trees of the campaign that showed a fault, each mended."""


def test_random_trees() -> None:
    for seed in (*range(SHORT), *FAULTS):
        asyncio.run(asyncio.wait_for(run_tree(seed), 20))


@pytest.mark.campaign
def test_many_random_trees() -> None:
    first, last = (int(number) for number in os.environ.get("TREES", f"0-{CAMPAIGN - 1}").split("-"))
    for seed in range(first, last + 1):
        asyncio.run(asyncio.wait_for(run_tree(seed), 60))


SHOWN_IN = {
    "cancellation does not reach children": [27],
    "what reconcile found is not believed": [16],
    "the deadline does not bind": [7],
    "live children cost nothing": [3],
    "calls are not counted below": [3],
    "once is forgotten": [3],
}
"""Trees that have shown a bug: they are looked at first."""


def children_are_left_behind(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: ChildRuns, reason: str = "") -> None:
        return

    patch.setattr(ChildRuns, "end", nothing)


def effects_below_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    emit = Run.emit

    def wrong(self: Run, event: object) -> None:
        if isinstance(event, ChildEnded):
            object.__setattr__(event, "effects", ())
        emit(self, event)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    patch.setattr(Run, "emit", wrong)


def live_children_cost_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BudgetAccount, "refusal", lambda self, cost: "")


def children_are_paid_twice(patch: pytest.MonkeyPatch) -> None:
    emit = Run.emit

    def wrong(self: Run, event: object) -> None:
        if hasattr(event, "children_cost"):
            object.__setattr__(event, "children_cost", 0.0)
        emit(self, event)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    patch.setattr(Run, "emit", wrong)


def cancellation_does_not_reach_children(patch: pytest.MonkeyPatch) -> None:
    def cancel(scope: CancelScope, reason: str) -> None:
        scope.reason = scope.reason or reason
        scope._wake()  # pyright: ignore[reportPrivateUsage]

    patch.setattr(CancelScope, "cancel", cancel)


def a_joiner_that_leaves_cancels(patch: pytest.MonkeyPatch) -> None:
    def last(run: Run) -> bool:
        run.waiters -= 1
        return True

    patch.setattr(driver, "dismiss", last)


def a_cancelled_write_is_cut_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StepExecutor, "may_have_effect", property(lambda self: False))


def writes_of_children_need_no_approval(patch: pytest.MonkeyPatch) -> None:
    asked = approval.why_approval

    async def wrong(run: Run, *args: Any) -> str:
        return "" if run.parent is not None else await asked(run, *args)

    patch.setattr(executor, "why_approval", wrong)


def an_answer_goes_to_the_question_shown_first(patch: pytest.MonkeyPatch) -> None:
    give = resume._give  # pyright: ignore[reportPrivateUsage]

    async def wrong(run: Run, answer: Any, by: str, question: str | None) -> Any:
        return await give(run, answer, by, None if question in run.asked else question)

    patch.setattr(resume, "_give", wrong)


def a_withdrawn_question_stays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(driver, "has_changed", lambda run: False)


def once_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CallContext, "kept", lambda self, name: None)


def the_deadline_does_not_bind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BudgetAccount, "_own_seconds_left", lambda self: None)


def calls_are_not_counted_below(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BudgetAccount, "calls", lambda self: self._state.started_calls)


def what_was_undone_is_undone_again(patch: pytest.MonkeyPatch) -> None:
    below = RunState.unused_below

    def wrong(self: RunState, *, reached: bool) -> list[str]:
        return below(self, reached=reached) * 2

    patch.setattr(RunState, "unused_below", wrong)


def discarded_effects_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RunState, "unused_below", lambda self, *, reached: [])
    patch.setattr(RunState, "left_below", lambda self, *, reached: [])


def a_user_function_that_raises_is_swallowed(patch: pytest.MonkeyPatch) -> None:
    async def wrong(run: Run, *args: Any) -> str:
        try:
            return await asked(run, *args)
        except UserFunctionError:
            return ""

    asked = approval.why_approval
    patch.setattr(executor, "why_approval", wrong)


def an_unknown_cost_leaves_its_failure_unanswered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Run, "decide", _without_reconcile(Run.decide))


def _without_reconcile(decide: Any) -> Any:
    def wrong(self: Run, kind: DecisionKind, *args: Any, **options: Any) -> Any:
        if kind is DecisionKind.RECONCILE:
            options["answers"] = ()
        return decide(self, kind, *args, **options)

    return wrong


def what_reconcile_found_is_not_believed(patch: pytest.MonkeyPatch) -> None:
    async def wrong(run: Run, tool: Tool, failure: Failure, *, running: bool = False) -> AttemptFailed:
        return AttemptFailed(failure, repeatable=True)

    patch.setattr(executor, "settle", wrong)


def an_ended_run_is_ended_again(patch: pytest.MonkeyPatch) -> None:
    async def wrong(self: Any, run_id: str, reason: str = "") -> Any:
        found = registry.RunRegistry.outcome(self._runtime.runs, run_id)
        return replace(found[0], status=Status.ESCALATED) if found and found[0].ok else await cancel(self, run_id)

    cancel = Orchestrator.cancel
    patch.setattr(Orchestrator, "cancel", wrong)


BUGS = {
    "children are left behind": children_are_left_behind,
    "effects below are forgotten": effects_below_are_forgotten,
    "live children cost nothing": live_children_cost_nothing,
    "children are paid twice": children_are_paid_twice,
    "cancellation does not reach children": cancellation_does_not_reach_children,
    "a joiner that leaves cancels": a_joiner_that_leaves_cancels,
    "a cancelled write is cut off": a_cancelled_write_is_cut_off,
    "writes of children need no approval": writes_of_children_need_no_approval,
    "an answer goes to the question shown first": an_answer_goes_to_the_question_shown_first,
    "a withdrawn question stays": a_withdrawn_question_stays,
    "once is forgotten": once_is_forgotten,
    "the deadline does not bind": the_deadline_does_not_bind,
    "calls are not counted below": calls_are_not_counted_below,
    "what was undone is undone again": what_was_undone_is_undone_again,
    "discarded effects stay": discarded_effects_stay,
    "a user function that raises is swallowed": a_user_function_that_raises_is_swallowed,
    "an unknown cost leaves its failure unanswered": an_unknown_cost_leaves_its_failure_unanswered,
    "what reconcile found is not believed": what_reconcile_found_is_not_believed,
    "an ended run is ended again": an_ended_run_is_ended_again,
}


@pytest.mark.parametrize("name", BUGS)
def test_each_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    assert run_all([*SHOWN_IN.get(name, ()), *range(SEARCHED)]) is not None
