"""Identity by content, and own copies."""

import array
import datetime
import enum
import io
import math
import random
import re
import threading
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, partial
from types import GenericAlias, MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PrivateAttr, Secret, SecretStr

from orchestrator import RateLimited
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

    def called(self) -> str:
        return self.address


def petted() -> Animal:
    animal = Animal()
    animal._seen = 3  # pyright: ignore[reportPrivateUsage]
    return animal


class Stamp(datetime.datetime):
    pass


class Price(float):
    def __repr__(self) -> str:
        return f"{self:.0f} dollars"


class Batch(list[int]):
    note = ""


class Slotted:
    __slots__ = ("n",)

    def __init__(self, n: int) -> None:
        self.n = n


class Order(BaseModel):
    n: int = 1
    _log: list[int] = PrivateAttr(default_factory=list[int])

    @cached_property
    def total(self) -> list[int]:
        return [self.n]


class Pair(NamedTuple):
    items: list[int]


@dataclass
class Reader:
    n: int = 1

    def __post_init__(self) -> None:
        self.seen = [0]


def adding(n: int) -> Callable[[int], int]:
    return lambda m: n + m


def named(note: str) -> Batch:
    batch = Batch([1])
    batch.note = note
    return batch


def read(order: Order) -> Order:
    assert order.total
    return order


UTC = datetime.UTC
BUILT: list[tuple[Callable[[Any], Any], Any, Any]] = [
    (lambda year: Stamp(year, 1, 1), 2020, 2021),
    (pd.Timestamp, 1, 2),
    (Price, 1.1, 1.2),
    (named, "a", "b"),
    (Slotted, 1, 2),
    (adding, 1, 2),
    (lambda base: partial(int, base=base), 2, 3),
    (lambda n: deque([1], maxlen=n), 2, 3),
    (lambda flags: re.compile("a", flags), re.I, re.M),
    (lambda n: Fraction(1, n), 2, 3),
    (lambda code: array.array(code, [1]), "i", "h"),
    (io.BytesIO, b"a", b"b"),
    (random.Random, 1, 2),
    (Secret[int], 1, 2),
    (lambda wait: RateLimited(retry_after=wait), 1, 2),
    (lambda make: defaultdict(make), list, int),
    (lambda name: pd.DataFrame({name: [1, math.nan]}), 1, "1"),
    (lambda name: pd.DataFrame({"a": [1]}).rename_axis(name), "x", "y"),
    (lambda name: pd.Series([1], name=name), "a", "b"),
    (lambda item: np.array([item, None], dtype=object), 1, 2),
    (lambda mask: np.ma.masked_array([1, 2], [False, bool(mask)]), 0, 1),
    (lambda name: datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(), name)), "A", "B"),
    (lambda item: GenericAlias(list, (item,)), int, str),
    (lambda n: Client(f"{n}").called, 1, 2),
]
"""What makes a value, and what of it tells two of them apart."""


@pytest.mark.parametrize(("make", "one", "other"), BUILT, ids=range(len(BUILT)))
def test_values_made_alike_are_the_same_and_others_are_not(make: Callable[[Any], Any], one: Any, other: Any) -> None:
    assert same_content(make(one), make(one)) is True
    assert same_content(make(one), make(other)) is False


def test_a_cached_property_is_no_field() -> None:
    assert same_content(Order(), read(Order())) is True


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


CHANGES: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (lambda: bytearray(b"a"), lambda v: v.append(1)),
    (lambda: array.array("i", [1]), lambda v: v.append(2)),
    (lambda: Counter("aab"), lambda v: v.update("z")),
    (lambda: Batch([1]), lambda v: v.append(2)),
    (lambda: UserDict(a=[1]), lambda v: v["a"].append(2)),
    (lambda: UserList([[1]]), lambda v: v[0].append(2)),
    (lambda: ChainMap({}, {"a": [1]}), lambda v: v["a"].append(2)),
    (lambda: MappingProxyType({"a": [1]}), lambda v: v["a"].append(2)),
    (lambda: Pair([1]), lambda v: v.items.append(2)),
    (lambda: deque([[1]], maxlen=2), lambda v: v[0].append(2)),
    (Order, lambda v: v._log.append(2)),
    (lambda: np.array([[1], None], dtype=object), lambda v: v[0].append(2)),
    (lambda: pd.Series([1, 2]), lambda v: v.__setitem__(0, 9)),
    (lambda: {1: [Pair([1])]}, lambda v: v[1][0].items.append(2)),
]


@pytest.mark.parametrize(("make", "change"), CHANGES, ids=range(len(CHANGES)))
def test_a_change_of_a_copy_does_not_reach_the_value(make: Callable[[], Any], change: Callable[[Any], Any]) -> None:
    value = make()
    made = own_copy(value)
    assert type(made) is type(value)
    assert same_content(made, value) is True
    change(made)
    assert same_content(value, make()) is True
    assert same_content(made, value) is False


def test_attributes_of_a_dataclass_that_are_no_fields_are_copied() -> None:
    reader = Reader()
    own_copy(reader).seen.append(1)
    assert reader.seen == [0]


def test_what_is_deep_or_holds_itself_is_copied_too() -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    made = own_copy(deep)
    made[0].append(1)
    assert len(deep[0]) == 1
    deep.append(deep)
    own = own_copy(deep)
    assert own is not deep
    assert own[1] is own


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
