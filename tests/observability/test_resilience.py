"""The analysis of a goal against a brute-force count over all combinations of working and failed tools."""

import itertools
import math
import random

import pytest

from orchestrator import NoRoute, Orchestrator, Tool
from orchestrator.core.route import Problem
from orchestrator.graph.price_table import PriceTable, RecordedHealthFacts
from orchestrator.observability.resilience import Resilience, analyse, source_keys
from orchestrator.routing import Planner


def program(seed: int) -> Orchestrator:
    """A small random graph of tools with joins and alternatives."""
    draw = random.Random(seed)
    keys = ["given", "a", "b", "c", "goal"]
    tools = []
    for n in range(7):
        place = draw.randrange(1, len(keys))
        needs = draw.sample(keys[:place], k=min(place, draw.choice((1, 1, 2))))
        tools.append(Tool(lambda **_: 1, name=f"t{n}", needs=needs, gives=keys[place], cost=draw.random()))
    orc = Orchestrator(tools)
    for tool in tools:
        for _ in range(draw.randrange(4)):
            orc.health.record(tool.name, ok=draw.random() < 0.5, seconds=0.1)
    return orc


def analysed(orc: Orchestrator, most: int = 3) -> Resilience:
    view = orc.graph.view()
    problem = Problem(("goal",), {"given": None})
    return analyse(view, {name: orc.price_facts(name) for name in view.nodes}, problem, orc.policy, most=most)


def reachable(orc: Orchestrator, working: frozenset[str]) -> bool:
    at_hand = {"given"}
    for _ in orc.graph:
        for tool in orc.graph:
            if tool.name in working and at_hand.issuperset(tool.needs.values()):
                at_hand |= set(tool.gives)
    return "goal" in at_hand


def price_without(orc: Orchestrator, lost: frozenset[str]) -> float:
    """The price of the cheapest route without these tools."""
    view = orc.graph.view()
    left = [tool for tool in orc.graph if tool.name not in lost]
    facts = RecordedHealthFacts({name: orc.price_facts(name) for name in view.nodes})
    smaller = Orchestrator(left).graph
    planner = Planner(smaller, PriceTable(smaller.view(), orc.policy, None, facts), orc.policy)
    return planner.plan(Problem(("goal",), {"given": None})).price


@pytest.mark.parametrize("seed", range(30))
def test_chance_and_cuts_are_those_of_all_combinations(seed: int) -> None:
    orc = program(seed)
    names = [tool.name for tool in orc.graph]
    if not reachable(orc, frozenset(names)):
        with pytest.raises(NoRoute):
            analysed(orc)
        return
    found = analysed(orc, most=7)
    chance = paid = 0.0
    cuts: list[frozenset[str]] = []
    for size in range(len(names) + 1):
        for lost in map(frozenset, itertools.combinations(names, size)):
            works = frozenset(names) - lost
            if reachable(orc, works):
                p = [orc.price_facts(n).success if n in works else 1 - orc.price_facts(n).success for n in names]
                chance += math.prod(p)
                paid += math.prod(p) * price_without(orc, lost)
            elif not any(cut <= lost for cut in cuts):
                cuts.append(lost)
    assert found.chance == pytest.approx(chance, abs=1e-6)
    assert found.expected_price == pytest.approx(paid / chance, abs=1e-6)
    assert set(map(frozenset, found.cuts)) == set(cuts)
    assert found.cuts_complete
    assert set(found.single_points) == {next(iter(cut)) for cut in cuts if len(cut) == 1}
    for tool in found.tools:
        assert (tool.without is None) == (tool.tool in found.single_points)
        assert tool.more is None or tool.more >= -1e-9
        assert tool.chance_with_alternative >= found.chance - 1e-9


def test_what_nobody_gives_is_what_a_caller_provides() -> None:
    tools = [Tool(lambda x: x, name="one", gives="b", needs=["x"]), Tool(lambda b: b, name="two", gives="c")]
    assert source_keys(Orchestrator(tools).graph.view(), ("c",)) == ("x",)
