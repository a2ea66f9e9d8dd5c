"""The promises, over random worlds: every failure answered, no work repeated, reached if and only if reachable."""

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.execution.worlds import check, make_world, run


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9))
def test_promises_hold_in_every_world(seed: int) -> None:
    world = make_world(seed)
    check(world, asyncio.run(run(world, world.orchestrator())))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_same_facts_same_decisions_whatever_the_order(seed: int, order: int) -> None:
    one, other = make_world(seed), make_world(seed)
    first = asyncio.run(run(one, one.orchestrator()))
    second = asyncio.run(run(other, other.orchestrator(Random(order))))
    assert [(d.kind, d.chosen, d.price) for d in first.decisions] == [
        (d.kind, d.chosen, d.price) for d in second.decisions
    ]
    assert one.calls == other.calls


@pytest.mark.campaign
def test_ten_thousand_worlds() -> None:
    async def all_of_them() -> None:
        for seed in range(10_000):
            world = make_world(seed)
            check(world, await run(world, world.orchestrator()))

    asyncio.run(all_of_them())
