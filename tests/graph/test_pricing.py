"""The one price: its formulas, its facts, and when it is worked out again."""

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.enums import START
from orchestrator.core.policy import Policy
from orchestrator.core.price import QualityOnce, QualityPerAttempt, formula_name, recorded_formula
from orchestrator.errors import DefinitionError
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import (
    PICO,
    NoHealthFacts,
    PriceFacts,
    PriceTable,
    RecordedHealthFacts,
    self_healing_router,
    standard,
    transition_name,
)
from orchestrator.graph.tool import Tool


class Watched(NoHealthFacts):
    """Health that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.successes: dict[str, float] = {}
        self.passing: dict[tuple[str, str], float] = {}

    def success(self, name: str) -> float:
        self.asked.append(name)
        return self.successes.get(name, 0.5)

    def transition_success(self, source: str, target: str) -> float:
        return self.passing.get((source, target), 1.0)


class Heard(Watched):
    """The same, for tools that it has heard of only."""

    def touched(self) -> list[str]:
        return sorted(self.successes)

    def touched_transitions(self) -> list[tuple[str, str]]:
        return sorted(self.passing)


def two() -> ToolGraph:
    """A leads to b."""
    graph = ToolGraph()
    for name, cost in (("a", 0.25), ("b", 0.5)):
        graph.add(Tool(lambda: None, name=name, needs=[], gives=f"{name}s", cost=cost, latency=2.0, risk=0.5))
    graph.connect("a", "b", cost=0.125)
    return graph


def test_the_standard_formula() -> None:
    policy = Policy(step_cost=0.001, time_value=0.01, risk_value=0.1, quality_value=0.05)
    facts = PriceFacts("t", money=0.5, latency=2, risk=0.5, competence=0.8, pressure=1.5, success=0.75)
    assert standard(policy)(facts) == pytest.approx((0.001 + 0.5 + 0.02 + 0.05) * 1.5 / 0.75 + 0.01)
    assert QualityPerAttempt(policy)(facts) == pytest.approx((0.001 + 0.5 + 0.02 + 0.05 + 0.01) * 1.5 / 0.75)
    assert standard(policy).terms(facts) == pytest.approx(
        {"step": 0.001, "money": 0.5, "time": 0.02, "risk": 0.05, "quality": 0.01}
    )


def test_a_record_replays_by_the_formula_that_it_names() -> None:
    policy = Policy()
    assert recorded_formula({}, policy).pricing == QualityPerAttempt.name
    assert recorded_formula({"formula": formula_name(policy)}, policy).pricing == QualityOnce.name
    published = Policy(pricing="self_healing_router")
    assert recorded_formula({}, published) == published


shares = st.floats(0.001, 1)


@given(st.lists(st.tuples(st.floats(0, 10), shares, shares), min_size=2, max_size=5))
def test_ascending_price_is_the_cheapest_order_of_independent_alternatives(
    tools: list[tuple[float, float, float]],
) -> None:
    """Each is tried until one succeeds: its cost is paid then, its loss of quality is had where it succeeds."""
    policy = Policy(step_cost=0, time_value=0, risk_value=0, quality_value=1)

    def expected(order: Sequence[tuple[float, float, float]]) -> float:
        total, left = 0.0, 1.0
        for cost, success, competence in order:
            total += left * (cost + success * (1 - competence))
            left *= 1 - success
        return total

    def price(tool: tuple[float, float, float]) -> float:
        cost, success, competence = tool
        return standard(policy)(PriceFacts("t", cost, 0, 0, competence, 1, success))

    best = expected(sorted(tools, key=price))
    assert best <= min(map(expected, permutations(tools))) + 1e-9


def test_the_published_routers_formula() -> None:
    price = self_healing_router(Policy())
    assert price(PriceFacts("t", 0.3, 0.25, 0.9, 0.1, 2.0, 0.5)) == pytest.approx(0.3 * 2.5 / 0.5 * 2)
    assert price(PriceFacts("t", 0.3, 0.0, 0.9, 0.1, 1.0, 0.001)) == pytest.approx(0.3 * 0.5 / 0.01)
    assert math.isinf(price(PriceFacts("t", 0.3, 0.0, 0.9, 0.1, 1.0, 0.0)))


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1), st.floats(0, 1), st.floats(1, 100), st.floats(1e-3, 1))
def test_a_table_gives_the_price_of_its_formula(
    money: float, latency: float, risk: float, competence: float, pressure: float, success: float
) -> None:
    policy = Policy()
    facts = PriceFacts("a", money, latency, risk, competence, pressure, success)
    table = PriceTable(two(), policy, facts=RecordedHealthFacts({"a": facts}))
    price = table.price("a", overrides=facts)
    assert price == round(standard(policy)(facts) * PICO)


def test_a_price_is_worked_out_once_and_again_when_it_changed() -> None:
    health = Watched()
    table = PriceTable(two(), Policy(), facts=health)
    first = table.price("b", 0.125, source="a")
    assert first is not None
    table.price("b")
    table.price("a")
    assert health.asked == ["b", "a"]
    health.successes["b"] = 0.25
    assert table.price("b", 0.125, source="a") == first
    table.invalidate(["b"])
    assert table.price("b", 0.125, source="a") == 2 * first
    table.price("a")
    assert health.asked == ["b", "a", "b"]


def test_changes_are_told_to_each_who_asks() -> None:
    table = PriceTable(two(), Policy())
    here, _ = table.changes_since(0)
    table.invalidate(["b", "a"])
    table.invalidate(["b"])
    there, changed = table.changes_since(here)
    assert changed is not None
    assert list(changed) == ["b", "a"]
    assert table.changes_since(there) == (there, ())


def test_what_is_down_is_infinite_whatever_the_pricing_says() -> None:
    health = Watched()
    health.successes["a"] = 0.0
    health.passing["a", "b"] = 0.0
    table = PriceTable(two(), Policy(), lambda facts: 1.0, health)
    assert table.price("a") is None
    assert table.price("b") == PICO
    assert table.price("b", 0.125, source="a") is None
    assert math.isinf(table.weight(two().view().nodes["a"]))


@pytest.mark.parametrize("said", [-1.0, math.nan, "dear", None])
def test_a_pricing_that_gives_nonsense_is_refused(said: Any) -> None:
    table = PriceTable(two(), Policy(), lambda facts: said)
    with pytest.raises(DefinitionError, match="pricing gave"):
        table.price("a")


def test_a_policy_with_an_unknown_pricing_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"no pricing 'standart'\. Did you mean 'standard'"):
        PriceTable(two(), Policy(pricing="standart"))


def test_an_unknown_tool_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no tool 'c'"):
        PriceTable(two(), Policy()).price("c")


def test_a_transitions_cost_and_health_enter_the_facts() -> None:
    health = Watched()
    health.passing["a", "b"] = 0.5
    table = PriceTable(two(), Policy(), facts=health)
    facts = table.facts("b", 0.125, "a")
    assert (facts.money, facts.success) == (0.625, 0.25)


def test_recorded_facts_give_the_same_prices() -> None:
    health = Watched()
    health.passing["a", "b"] = 0.5
    graph = two()
    table = PriceTable(graph, Policy(), facts=health)
    record = table.record(graph.view())
    assert set(record) == {"a", "b", transition_name("a", "b")}
    again = PriceTable(graph.view(), Policy(), facts=RecordedHealthFacts(record))
    assert again.price("b", 0.125, source="a") == table.price("b", 0.125, source="a")
    assert again.price("a") == table.price("a")
    assert PriceTable(graph.view(), Policy(), facts=RecordedHealthFacts({})).price("a") is None
    assert PriceTable(graph.view(), Policy(), facts=RecordedHealthFacts({}, 0.5)).price("a") == table.price("a")


def test_who_knows_what_he_heard_of_is_not_asked_about_the_rest() -> None:
    health = Heard()
    health.successes["a"] = 0.9
    graph = two()
    graph.add(Tool(lambda: None, name="c", needs=[]))
    graph.connect(START, "a")
    table = PriceTable(graph, Policy(), facts=health)
    health.asked.clear()
    for name in ("a", "b", "c"):
        table.price(name)
    assert health.asked == ["a"]
    assert table.facts("c").success == table.untouched_success == 0.5
    assert set(table.touched(["a", "b", "c"])) == {"a"}
    table.invalidate(["c"])
    assert set(table.touched(["a", "b", "c"])) == {"a", "c"}


@pytest.mark.parametrize("said", [math.inf, 1e30, 1e300, 10**400])
def test_an_infinite_price_is_no_number(said: float) -> None:
    table = PriceTable(two(), Policy(), lambda facts: said)
    assert table.price("a") is None
