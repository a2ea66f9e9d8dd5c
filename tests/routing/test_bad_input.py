"""Bad input: one clear error where it enters, or a clear impasse; never a wrong plan or an endless search."""

import math
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from orchestrator import START, DefinitionError, InputError, NoRoute, Orchestrator, Policy, Tool


@pytest.fixture
def orc() -> Iterator[Orchestrator]:
    """Two tools: a quote from a parcel, a label from a quote and an address that nobody gives."""
    with closing(Orchestrator()) as orc:
        orc.add(Tool(lambda parcel: 1.0, name="rate", gives="quote", cost=0.01))
        orc.add(Tool(lambda quote, address: "label", name="buy", gives="label"))
        yield orc


@pytest.mark.parametrize("field", ["cost", "latency", "risk", "undo_cost", "ttl", "timeout"])
@pytest.mark.parametrize("value", [-1.0, math.nan, True, "much"])
def test_numbers_that_are_none(field: str, value: Any) -> None:
    options: dict[str, Any] = {"name": "t", field: value}
    with pytest.raises(DefinitionError, match=f"'t': {field} is a"):
        Tool(lambda parcel: 1.0, **options)


@pytest.mark.parametrize(("field", "value"), [("cost", 1e12), ("cost", math.inf), ("latency", 1e9), ("risk", 1.01)])
def test_absurd_numbers(field: str, value: float) -> None:
    options: dict[str, Any] = {"name": "t", field: value}
    with pytest.raises(DefinitionError, match=f"'t': {field} is a number of at most"):
        Tool(lambda parcel: 1.0, **options)


def test_the_dearest_tools_are_still_summed_exactly(orc: Orchestrator) -> None:
    for i in range(40):
        orc.add(Tool(lambda p: 1, name=f"t{i:02}", needs={"p": f"k{i}"}, gives=f"k{i + 1}", cost=1e9, latency=1e7))
    route = orc.plan("k40", {"k0": 1})
    assert route.pico == sum(step.pico for step in route.steps)
    assert route.bound_pico == route.pico


def test_a_goal_that_nobody_gives(orc: Orchestrator) -> None:
    with pytest.raises(InputError, match=r"No tool gives or needs 'lable'\. Did you mean 'label'"):
        orc.plan("lable", {"parcel": 1})


def test_a_goal_that_is_only_needed(orc: Orchestrator) -> None:
    with pytest.raises(NoRoute, match="No tool gives 'address'"):
        orc.plan("address", {"parcel": 1})


def test_a_need_that_nobody_can_meet(orc: Orchestrator) -> None:
    with pytest.raises(NoRoute) as raised:
        orc.plan("label", {"parcel": 1})
    assert raised.value.impasse.unreachable == ("label", "address")
    assert "No tool gives 'address' (needed by buy)" in str(raised.value)
    assert orc.plan("label", {"parcel": 1, "address": "here"}).tools == ("rate", "buy")


def test_a_tool_that_gives_what_it_needs() -> None:
    with pytest.raises(DefinitionError, match="gives a key that it needs: page"):
        Tool(lambda page: page, name="tidy", gives="page")


def test_a_transition_from_a_tool_to_itself(orc: Orchestrator) -> None:
    with pytest.raises(DefinitionError, match="'rate' to itself"):
        orc.connect("rate", "rate")


def test_a_transition_twice(orc: Orchestrator) -> None:
    orc.connect(START, "rate", cost=1)
    with pytest.raises(DefinitionError, match="connected already"):
        orc.connect(START, "rate", cost=2)
    assert orc.plan("quote", {"parcel": 1}).price > 1


def test_circles_without_a_way_in_end_in_an_impasse(orc: Orchestrator) -> None:
    for i in range(30):
        orc.add(
            Tool(lambda p, q: 1, name=f"t{i}", needs={"p": f"x{i}", "q": f"x{(i + 7) % 30}"}, gives=f"x{(i + 1) % 30}")
        )
        orc.add(Tool(lambda: 1, name=f"s{i}", gives=f"y{i}"))
    for i in range(30):
        orc.connect(f"s{i}", f"s{(i + 1) % 30}")
    with pytest.raises(NoRoute, match="wait for each other"):
        orc.plan("x3")
    with pytest.raises(NoRoute):
        orc.plan("y3")
    assert orc.plan("x3", dict.fromkeys(["x0", "x7", "x8", "x9"], 1)).tools == ("t0", "t1", "t2")


def test_circles_that_cost_nothing_are_not_walked_forever() -> None:
    with closing(Orchestrator(policy=Policy(step_cost=0.0))) as orc:
        for i in range(12):
            orc.add(Tool(lambda p: 1, name=f"on{i:02}", needs={"p": f"k{i}"}, gives=f"k{(i + 1) % 12}"))
            orc.add(Tool(lambda p: 1, name=f"by{i:02}", needs={"p": f"k{i}"}, gives=f"k{(i + 5) % 12}"))
        route = orc.plan("k10", {"k0": 1})
        assert (route.tools, route.price) == (("by00", "by05"), 0.0)
