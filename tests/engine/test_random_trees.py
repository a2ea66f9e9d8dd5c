"""Random run trees keep the promises of the tree; planted bugs are caught."""

import asyncio
import logging
from collections.abc import Iterable

import pytest

from orchestrator.core.events import ChildEnded
from orchestrator.engine.run import Run
from orchestrator.engine.steps.children import ChildRuns
from orchestrator.engine.tree import BudgetAccount

from .trees import run_tree

SHORT, CAMPAIGN = 60, 10_000


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


def test_random_trees() -> None:
    for seed in range(SHORT):
        asyncio.run(asyncio.wait_for(run_tree(seed), 20))


@pytest.mark.campaign
def test_many_random_trees() -> None:
    for seed in range(CAMPAIGN):
        asyncio.run(asyncio.wait_for(run_tree(seed), 60))


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


BUGS = {
    "children are left behind": children_are_left_behind,
    "effects below are forgotten": effects_below_are_forgotten,
    "live children cost nothing": live_children_cost_nothing,
    "children are paid twice": children_are_paid_twice,
}


@pytest.mark.parametrize("name", BUGS)
def test_each_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    assert run_all(range(SHORT)) is not None
