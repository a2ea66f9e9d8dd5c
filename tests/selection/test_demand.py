"""What a step needs, and nonsense refused."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.selection import NEUTRAL, Demand


def test_weights_become_shares() -> None:
    demand = Demand({"b": 1, "a": 3, "c": 0})
    assert demand.items == (("a", 0.75), ("b", 0.25))
    assert demand == Demand({"a": 6, "b": 2})
    assert hash(demand) == hash(Demand({"a": 6, "b": 2}))


def test_a_name_and_a_list_are_demands() -> None:
    assert Demand("a").weights == {"a": 1.0}
    assert Demand(["b", "a"]).weights == {"a": 0.5, "b": 0.5}
    assert Demand.of({"a": 1}) == Demand("a")


def test_nothing_is_neutral() -> None:
    assert Demand().neutral
    assert Demand.of(None) is NEUTRAL
    assert Demand({}).source == "neutral"
    assert str(NEUTRAL) == "neutral"


@pytest.mark.parametrize(
    "skills", [{"a": -1}, {"a": math.nan}, {"a": math.inf}, {"a": 0}, {"": 1}, [1], 3, {"a": "much"}, {"a": True}]
)
def test_nonsense_is_refused(skills: Any) -> None:
    with pytest.raises(InputError):
        Demand(skills)


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0.001, 1000), max_size=6))
def test_records_give_the_same_demand(weights: dict[str, float]) -> None:
    demand = Demand(weights)
    again = Demand.from_json(demand.to_json())
    assert again == demand
    assert again.source == demand.source
    if weights:
        assert math.isclose(sum(demand.weights.values()), 1.0)
