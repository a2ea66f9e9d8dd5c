"""Identity by content, and own copies."""

import datetime
import enum
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PrivateAttr, SecretStr

from orchestrator.core.values.content import content_of, same_content
from orchestrator.core.values.copies import own_copy


class Animal(BaseModel):
    name: str = "rex"
    hidden: str = Field(default="", exclude=True)
    _seen: int = PrivateAttr(default=0)


class Dog(Animal):
    breed: str = "x"


class Cat(Animal):
    breed: str = "x"


@dataclass
class Box:
    items: list[int] = field(default_factory=list[int])
    note: str = field(default="", compare=False)


class Colour(enum.StrEnum):
    RED = "red"


class Client:
    def __init__(self, address: str) -> None:
        self.address = address


def petted() -> Animal:
    animal = Animal()
    animal._seen = 3  # pyright: ignore[reportPrivateUsage]
    return animal


UTC = datetime.UTC
DIFFERENT: list[tuple[Any, Any]] = [
    (1, True),
    (1, 1.0),
    (0.0, -0.0),
    ("1", 1),
    ("a", b"a"),
    ([1, 2], (1, 2)),
    ([1, 2], [2, 1]),
    ({"a": 1}, OrderedDict(a=1)),
    ({1: 2}, {"1": 2}),
    ({1}, frozenset({1})),
    (Dog(), Cat()),
    (Dog(), Dog(hidden="x")),
    (Animal(), petted()),
    (Box(note="a"), Box(note="b")),
    (SecretStr("a"), SecretStr("b")),
    (Colour.RED, "red"),
    (datetime.datetime(2020, 1, 1, tzinfo=UTC), datetime.datetime(2020, 1, 1, tzinfo=ZoneInfo("UTC"))),
    (np.array([1, 2]), np.array([1, 3])),
    (np.array([1, 2]), np.array([[1, 2]])),
    (np.array([1], dtype="i4"), np.array([1], dtype="i8")),
    (Client("a"), Client("b")),
    (["a", "b"], ["ab", ""]),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_different_values_are_told_apart(one: Any, other: Any) -> None:
    assert same_content(one, other) is False
    assert same_content(one, one) is True


def test_order_of_mappings_and_sets_is_no_content() -> None:
    assert same_content({"a": 1, "b": math.nan}, {"b": math.nan, "a": 1})
    assert same_content({"a", "b", "c"}, {"c", "b", "a"})
    assert same_content(Client("a"), Client("a"))
    assert content_of([Dog()]).digest == content_of([Dog()]).digest


def test_what_has_no_readable_content_is_opaque() -> None:
    one, other = threading.Lock(), threading.Lock()
    assert same_content(one, other) is None
    assert same_content(one, 1) is False
    holds_itself: list[Any] = []
    holds_itself.append(holds_itself)
    assert content_of(holds_itself).opaque


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(VALUES)
def test_a_copy_is_the_same_and_its_own(value: Any) -> None:
    made = own_copy(value)
    assert same_content(made, value) is True
    if isinstance(value, list | dict):
        before = content_of(value).digest
        made.clear()
        assert content_of(value).digest == before


def test_what_is_copied_and_what_is_shared() -> None:
    client, array = Client("a"), np.array([1, 2])
    value = {"box": Box([1]), "dog": Dog(), "client": client, "array": array, "pair": (1, [2])}
    made = own_copy(value)
    made["box"].items.append(9)
    made["dog"].name = "new"
    made["pair"][1].append(9)
    assert (value["box"].items, value["dog"].name, value["pair"]) == ([1], "rex", (1, [2]))  # type: ignore[attr-defined]
    assert made["client"] is client
    with pytest.raises(ValueError, match="read-only"):
        made["array"][0] = 5
    assert own_copy(("a", 1)) == ("a", 1)
    twice = [1]
    both = own_copy([twice, twice])
    assert both[0] is both[1]
