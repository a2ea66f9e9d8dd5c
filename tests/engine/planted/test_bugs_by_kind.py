"""A bug planted in the engine for each kind of promise, one at a time: a test of the suite catches it.

Those that random trees catch are in `test_random_trees`; each of these is caught by the one test that is named with it.
"""

import asyncio
import base64
import inspect
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CoroutineType
from typing import Any

import pytest

from orchestrator import NOT_DONE, Budget
from orchestrator.core.calls import user_code
from orchestrator.core.errors import OwnershipLost
from orchestrator.core.outcome import Outcome
from orchestrator.core.privacy import secret_search
from orchestrator.engine import values
from orchestrator.engine.background.heartbeat import Heartbeat
from orchestrator.engine.langgraph import Nodes
from orchestrator.engine.lifecycle import driver, known, resume
from orchestrator.engine.registry import RunRegistry
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.slots import Slots
from orchestrator.engine.steps import compensate, executor, invocation, reconcile
from orchestrator.engine.steps.children import ChildRuns
from orchestrator.engine.steps.invocation import Invocation
from orchestrator.engine.threads import Threads
from orchestrator.engine.tree import BudgetAccount
from orchestrator.graph.transitions import Transitions
from tests.core import test_secret_search as secrets
from tests.engine import test_impasses_below as impasses
from tests.engine import test_langgraph as langgraph
from tests.engine import test_threads_at_close as at_close
from tests.engine import test_tree as tree
from tests.engine import test_values as stored
from tests.engine.background import test_worker as workers
from tests.engine.lifecycle import test_callers as callers
from tests.engine.lifecycle import test_fenced as fenced
from tests.engine.lifecycle import test_known as queued
from tests.engine.lifecycle import test_ownership as ownership
from tests.engine.lifecycle import test_retention as retention
from tests.engine.owning import bank
from tests.engine.steps import test_effects as effects
from tests.engine.steps import test_given_up as given_up
from tests.engine.steps import test_user_functions as functions
from tests.graph import test_graph as graph

Plant = Callable[[pytest.MonkeyPatch], None]
SECONDS = 5
"""After which a check that does not end has failed."""


def attribute(owner: Any, name: str, value: Any) -> Plant:
    """A bug that is one attribute with another value."""
    return lambda patch: patch.setattr(owner, name, value)


@asynccontextmanager
async def no_turn(self: RunRegistry, run_id: str) -> AsyncGenerator[None]:
    """Everybody acts on an id at once."""
    yield


async def believed(run: Run, tool: Any, failure: Any, *, running: bool = False) -> Any:
    """What `reconcile` says counts while the call still runs."""
    return await settle(run, tool, failure)


settle = reconcile.settle


def unlimited(self: Slots) -> bool:
    """A slot is always free."""
    return True


async def stands(run: Run, tool: Any) -> bool:
    """A compensation whose answer was lost is taken for one that did not happen."""
    return True


def no_round_trip(annotation: Any, value: Any) -> str:
    """A value is stored, whatever comes back."""
    return str(values._encode(annotation, value))  # pyright: ignore[reportPrivateUsage]


def same_child(self: ChildRuns, goal: Any, digest: str, key: str | None) -> str:
    """Equal inputs mean one child."""
    return f"{self._run.state.run_id}/{self._tool}/{key or f'{goal.name}-{digest[:12]}'}"  # pyright: ignore[reportPrivateUsage]


def opened(self: Transitions, name: str) -> set[str]:
    """A tool that is taken out leaves no gate."""
    found = remove(self, name)
    self._gates.clear()  # pyright: ignore[reportPrivateUsage]
    return found


remove = Transitions.remove


async def same_run(self: Nodes, state: Any) -> dict[str, Any]:
    """A turn on a thread goes on with the run of the turn before."""
    return {} if state.get("run_id") else await begin(self, state)


begin = Nodes.begin


def nothing(*args: Any, **options: Any) -> None:
    """Does nothing."""


async def nothing_async(*args: Any, **options: Any) -> None:
    """Does nothing."""


def no_base64(data: bytes) -> tuple[str, ...]:
    """Base64 is not known."""
    return ()


@dataclass(frozen=True)
class Bug:
    """A bug, the kind of promise that it breaks, and the check that catches it."""

    kind: int
    plant: Plant
    check: Callable[..., Any]


BUGS = {
    "one id has no turns": Bug(
        1, attribute(RunRegistry, "turn", no_turn), callers.test_an_approval_given_twice_pays_once
    ),
    "an id means any inputs": Bug(
        1, attribute(known, "check_same", nothing), callers.test_an_id_means_one_goal_and_one_set_of_inputs
    ),
    "a refused worker goes on": Bug(
        2,
        attribute(Run, "fence", nothing),
        partial(fenced.test_a_fenced_worker_undoes_nothing_and_gives_the_recorded_outcome, nested=False),
    ),
    "a forked child keeps its owner's name": Bug(
        2,
        attribute(Heartbeat, "after_fork", nothing),
        partial(ownership.test_a_forked_child_works_at_once_as_another_owner, durable=True),
    ),
    "a running call is believed not to have happened": Bug(
        3,
        attribute(executor, "settle", believed),
        partial(
            given_up.test_while_its_thread_lives_nothing_is_believed_and_nothing_repeated,
            {"reconcile": lambda order: NOT_DONE},
        ),
    ),
    "threads have no limit": Bug(
        3,
        attribute(Slots, "_free", unlimited),
        given_up.test_threads_have_a_limit_and_queueing_for_one_is_no_time_out,
    ),
    "a given-up call is not counted": Bug(
        3,
        attribute(Invocation, "give_up", lambda self: 0),
        partial(given_up.test_a_read_is_rerouted_at_once_and_its_circuit_opens_at_four, False),
    ),
    "a lost compensation is repeated": Bug(
        4,
        attribute(compensate, "effect_stands", stands),
        partial(
            effects.test_a_compensation_is_tried_again_only_where_it_provably_did_not_happen,
            OSError("reset by peer"),
            1,
        ),
    ),
    "a budget is checked after the call": Bug(
        5,
        attribute(BudgetAccount, "refusal", lambda self, cost: ""),
        partial(tree.test_a_loop_keeps_to_the_budget, Budget(usd=0.5), 5),
    ),
    "a caller that leaves cancels nothing": Bug(
        6,
        attribute(driver, "leave", nothing_async),
        partial(callers.test_a_caller_that_leaves_cancels_the_run, callers._time_out),  # pyright: ignore[reportPrivateUsage]
    ),
    "taint stays above": Bug(
        7, attribute(ChildRuns, "_is_tainted", lambda self: False), tree.test_taint_reaches_a_write_through_a_child
    ),
    "what stands below is not listed": Bug(
        7, attribute(ChildRuns, "take", nothing), tree.test_what_cannot_be_undone_below_is_listed
    ),
    "a look gives an answer": Bug(
        8,
        attribute(resume, "_has_a_route_now", lambda run: True),
        partial(impasses.test_looking_at_a_run_leaves_the_question_of_its_child_as_it_is, durable=False),
    ),
    "a reach is found again": Bug(9, attribute(ChildRuns, "_id", same_child), tree.test_equal_inputs_reach_again),
    "what comes back is not compared": Bug(
        10,
        attribute(stored, "dump", no_round_trip),
        lambda: [stored.test_what_would_come_back_changed_is_not_stored(*each) for each in stored.NOT_STORED],
    ),
    "calls share their values": Bug(
        10,
        attribute(invocation, "own_copy", lambda value, memo: value),
        stored.test_no_call_sees_what_another_did_to_a_value,
    ),
    "what a tool raises leaves the run as it is": Bug(
        11,
        attribute(user_code, "abnormal_exit", lambda error: error),
        partial(functions.test_nothing_that_a_tool_raises_leaves_a_run, "SystemExit", False, "read"),
    ),
    "a generator is a value": Bug(
        11,
        attribute(user_code, "_NO_VALUES", (CoroutineType,)),
        functions.test_a_generator_returned_by_accident_is_one_clear_failure,
    ),
    "a removed tool opens what it gated": Bug(
        12, attribute(Transitions, "remove", opened), graph.test_removing_a_tool_never_opens_what_it_gated
    ),
    "a limit stays as it was declared first": Bug(
        12,
        attribute(Runtime, "_newest_limit", lambda self, name: 100),
        given_up.test_a_limit_follows_the_newest_declaration,
    ),
    "a resume without an answer never plans": Bug(
        13,
        attribute(resume, "_has_a_route_now", lambda run: False),
        impasses.test_a_tool_added_meanwhile_ends_the_impasse_of_a_child_when_somebody_looks,
    ),
    "a turn on a thread goes on with the last run": Bug(
        14,
        attribute(Nodes, "begin", same_run),
        partial(langgraph.test_each_turn_on_a_thread_is_a_run_with_its_own_inputs, inside=False),
    ),
    "closing ends no idle thread": Bug(
        15, attribute(Threads, "end_idle", nothing), at_close.test_closing_ends_idle_threads_at_once
    ),
    "ended runs keep their values": Bug(
        16,
        attribute(Outcome, "without_values", lambda self, keep=(): self),
        partial(retention.test_values_of_ended_runs_do_not_stay_in_memory, goal="small", store="memory"),
    ),
    "a secret in Base64 is not known": Bug(
        16,
        attribute(secret_search, "_base64", no_base64),
        partial(secrets.test_a_secret_is_found_in_every_form, base64.b64encode(secrets.KEY.encode()).decode()),
    ),
    "digests have no key": Bug(
        16,
        attribute(Runtime, "digest_key", property(lambda self: b"same", nothing)),
        workers.test_digests_of_inputs_are_keyed_by_the_store,
    ),
    "a queued run means any inputs": Bug(
        17,
        attribute(known, "check_same", nothing),
        partial(queued.test_a_queued_run_is_not_run_with_another_goal_or_other_inputs, None),
    ),
}


def given_to(
    check: Callable[..., Any], folder: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The fixtures that a test takes."""
    offered = {
        "tmp_path": folder,
        "gate": gate,
        "monkeypatch": monkeypatch,
        "world": str(bank(str(folder / "bank"))),
    }
    bound = check.keywords if isinstance(check, partial) else {}
    return {
        name: offered[name] for name in inspect.signature(check).parameters if name in offered and name not in bound
    }


def caught(check: Callable[..., Any], given: dict[str, Any]) -> str:
    """What a check says; empty where it finds nothing."""
    try:
        made = check(**given)
        if inspect.iscoroutine(made):
            asyncio.run(asyncio.wait_for(made, SECONDS))
    except (Exception, OwnershipLost, pytest.fail.Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BUGS)
def test_each_planted_bug_is_caught(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("orchestrator"), "disabled", True)
    bug, gate = BUGS[name], threading.Event()
    try:
        with pytest.MonkeyPatch.context() as patch:
            bug.plant(patch)
            said = caught(bug.check, given_to(bug.check, tmp_path, gate, patch))
    finally:
        gate.set()
    print(name, "->", said)
    assert said
    assert not said.startswith("TypeError: test_")


def test_every_kind_has_a_bug() -> None:
    assert {bug.kind for bug in BUGS.values()} == set(range(1, 18))
