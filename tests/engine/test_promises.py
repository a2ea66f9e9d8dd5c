"""The promises of DESIGN.md, section 4, over random worlds.

Two kinds of worlds. Those of `worlds.py` stand still: what is broken stays broken, so brute force tells which goals can
be reached, and a run must reach exactly those. Those of `schedules.py` move: on a virtual clock tools fail for a while,
hang, are slow, answer nonsense, flap, are rate-limited, refuse, recover, or lose the answer of an effect that took
place, and compensations fail; several runs share their health. There, `story.py` checks the event record alone, and the
record is compared with what really happened.

| promise | here |
|---|---|
| 1 every failure is answered | by exactly one decision, in every run |
| 2 no model while a route exists | no model is asked where none is on the ladder; with one: `tests/escalation` |
| 3 work is not repeated | nothing done or given up starts again; no impasse while calls are in flight |
| 4 ambiguity is not failure | no unsafe repetition, no other way, told in the end; none doubled or lost in reality |
| 5 undone or reported | in reverse order, never while waiting, nothing that is used; what stands unused is listed |
| 6 same facts, same decision | tools added in another order; every run is replayed, with no difference |
| 7 the price shown is the true price | recomputed from the recorded facts, where no transitions are priced |
| 8 commit last | no effect begins while something milder that waits for no such effect is still to be done |
| 9 a broken part stays local | a sink and a monitor that break change nothing; the store: `tests/store` |
| 10 private by default | no value is in any record; files, keys and redaction: `tests/test_privacy.py` |

A world is made from one number: `python -m tests.engine.test_promises SEED` runs that world again, both kinds.
"""

import asyncio
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import Event, Outcome
from tests.engine.schedules import RUNS, run_and_check
from tests.engine.worlds import check, make_world, run


async def run_still(seed: int) -> None:
    """A world that stands still, from its number to its last check."""
    world = make_world(seed)
    async with world.orchestrator() as orc:
        outcome = await run(world, orc)
        check(world, outcome)
        assert [str(difference) for difference in orc.replay(outcome.run_id).differences] == [], seed


@settings(max_examples=150)
@given(st.integers(0, 10**9))
def test_promises_hold_in_every_world(seed: int) -> None:
    asyncio.run(run_still(seed))


@settings(max_examples=25)
@given(st.integers(0, 10**9))
def test_promises_hold_while_the_world_moves(seed: int) -> None:
    asyncio.run(run_and_check(seed))


def gist(outcome: Outcome[Any]) -> list[Any]:
    """What was decided."""
    return [(decision.kind, decision.chosen, decision.price) for decision in outcome.decisions]


@settings(max_examples=40)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_same_facts_same_decisions_whatever_the_order(seed: int, order: int) -> None:
    one, other = make_world(seed), make_world(seed)
    first = asyncio.run(run(one, one.orchestrator()))
    second = asyncio.run(run(other, other.orchestrator(Random(order))))
    assert gist(first) == gist(second)
    assert one.calls == other.calls


class Breaks:
    """A monitor and a sink that break whenever they are asked."""

    name = "breaks"
    interval = 1.0

    async def watch(self, facts: Any) -> Any:
        """Look."""
        raise RuntimeError("it breaks")

    def on_event(self, event: Event) -> None:
        """Listen."""
        raise RuntimeError("it breaks")


@settings(max_examples=25)
@given(st.integers(0, 10**9))
def test_what_breaks_beside_the_work_changes_nothing(seed: int) -> None:
    one, other = make_world(seed), make_world(seed)
    first = asyncio.run(run(one, one.orchestrator(monitors=())))
    orc = other.orchestrator(monitors=[Breaks()])
    orc.add_sink(Breaks())
    second = asyncio.run(run(other, orc))
    check(other, second)
    assert (gist(first), one.calls) == (gist(second), other.calls)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_ten_thousand_worlds() -> None:
    async def all_of_them() -> None:
        for seed in range(10_000):
            await run_still(seed)

    asyncio.run(all_of_them())


@pytest.mark.campaign
@pytest.mark.timeout(3000)
def test_ten_thousand_runs_in_worlds_that_move() -> None:
    for seed in range(10_000 // RUNS):
        try:
            asyncio.run(run_and_check(seed))
        except Exception as error:
            error.add_note(f"world {seed}")
            raise


if __name__ == "__main__":
    asyncio.run(run_still(int(sys.argv[1])))
    asyncio.run(run_and_check(int(sys.argv[1])))
