"""Which types fit which: yes, maybe, no."""

import datetime
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, List, Literal, NewType, Optional, Protocol, TypeVar, Union  # noqa: UP035

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field, SecretStr
from typing_extensions import TypeAliasType, TypedDict

from orchestrator.core.types.assignable import Fit, fit, is_checked_at_call
from orchestrator.core.types.schema import adapter


class Base(BaseModel):
    a: int = 1


class Derived(Base):
    b: int = 2


class Other(BaseModel):
    c: int = 3


class Row(TypedDict):
    a: int


class Wider(Row):
    b: str


class Clash(TypedDict):
    a: str


class Closes(Protocol):
    def close(self) -> None: ...


class Shape(ABC):
    @abstractmethod
    def area(self) -> float: ...


@dataclass
class Point:
    x: int


class Colour(StrEnum):
    RED = "red"


class Names(list[str]):
    pass


T = TypeVar("T")


class Box(Generic[T]):
    pass


UserId = NewType("UserId", int)
Money = TypeAliasType("Money", float)
YES, MAYBE, NO = Fit.YES, Fit.MAYBE, Fit.NO

PAIRS: list[tuple[Any, Any, Fit]] = [
    (str, str, YES),
    (str, Any, YES),
    (Any, str, MAYBE),
    (str, object, YES),
    (str, Optional[str], YES),  # noqa: UP045
    (str | None, str, MAYBE),
    (int | None, str, NO),
    (None, str, NO),
    (str | int, int | str, YES),
    (Union[str, int], bytes, NO),  # noqa: UP007
    (bool, int, YES),
    (int, float, YES),
    (float, int, MAYBE),
    (int, str, NO),
    (Derived, Base, YES),
    (Base, Derived, MAYBE),
    (Base, Other, NO),
    (dict[str, Any], Base, MAYBE),
    (Base, dict, NO),
    (Row, dict, YES),
    (Row, Mapping[str, Any], YES),
    (dict, Row, MAYBE),
    (Wider, Row, YES),
    (Row, Wider, MAYBE),
    (Row, Clash, NO),
    (Row, str, NO),
    (List[str], list[str], YES),  # noqa: UP006
    (list, list[Any], YES),
    (list[str], list, YES),
    (list, list[int], MAYBE),
    (list[dict[Any, Any]], list[dict[str, Any]], MAYBE),
    (list[int], list[float], YES),
    (list[str], list[int], NO),
    (list[str], Sequence[str], YES),
    (list[str], Iterable[str], YES),
    (Names, list[str], YES),
    (Names, list[int], NO),
    (str, Sequence[str], YES),
    (str, list[str], NO),
    (dict[str, int], Mapping[str, int], YES),
    (dict[str, int], Mapping[str, str], NO),
    (dict[str, int], Iterable[str], YES),
    (tuple[int, str], tuple[int, str], YES),
    (tuple[int, str], tuple[int, int], NO),
    (tuple[int], tuple[int, int], NO),
    (tuple[int, ...], tuple[int, int], YES),
    (tuple[int, int], tuple[int, ...], YES),
    (tuple[int, str], Sequence[int], MAYBE),
    (Literal["a"], str, YES),
    (str, Literal["a"], MAYBE),
    (Literal["a", "b"], Literal["b"], MAYBE),
    (Literal["a"], Literal["b"], NO),
    (Literal[1], str, NO),
    (Annotated[str, "x"], str, YES),
    (str, Annotated[str, Field(min_length=3)], YES),
    (UserId, int, YES),
    (int, UserId, YES),
    (UserId, str, NO),
    (Money, float, YES),
    (int, Money, YES),
    (T, str, MAYBE),
    (Box[int], Box[int], YES),
    (Box[int], Box[str], NO),
    (Colour, str, YES),
    (str, Colour, MAYBE),
    (str, AnyUrl, MAYBE),
    (str, SecretStr, MAYBE),
    (dict, Point, MAYBE),
    (Point, Other, NO),
    (Other, Shape, MAYBE),
    (int, Shape, NO),
    (Base, Closes, MAYBE),
    (str, Hashable, YES),
    (int, Sequence[int], NO),
    (Callable[[int], str], Callable[..., Any], YES),
    (type[int], type, YES),
    (datetime.datetime, datetime.date, YES),
    (str, datetime.date, NO),
]


@pytest.mark.parametrize(("one", "other", "expected"), PAIRS, ids=str)
def test_fit(one: Any, other: Any, expected: Fit) -> None:
    assert fit(one, other) is expected


def test_what_is_validated_at_the_call() -> None:
    assert not is_checked_at_call(str, str | None)
    assert not is_checked_at_call(list[str], Iterable[str])
    assert is_checked_at_call(str | None, str)
    assert is_checked_at_call(str, Annotated[str, Field(min_length=3)])
    assert is_checked_at_call(Any, str)
    assert not is_checked_at_call(str, Any)


SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-5, 5),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=3),
    bytes: st.binary(max_size=3),
    None: st.none(),
    Literal["a"]: st.just("a"),
}
Typed = tuple[Any, st.SearchStrategy[Any]]


def _listed(t: Typed) -> Typed:
    return list.__class_getitem__(t[0]), st.lists(t[1], max_size=3)


def _mapped(t: Typed) -> Typed:
    return dict.__class_getitem__((str, t[0])), st.dictionaries(st.text(max_size=2), t[1], max_size=3)


def _tupled(t: Typed) -> Typed:
    return tuple.__class_getitem__((t[0], ...)), st.lists(t[1], max_size=3).map(tuple)


def _grow(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    return st.one_of(
        inner.map(_listed),
        inner.map(_mapped),
        inner.map(_tupled),
        st.tuples(inner, inner).map(lambda p: (Union[p[0][0], p[1][0]], st.one_of(p[0][1], p[1][1]))),  # noqa: UP007
    )


TYPED = st.recursive(st.sampled_from(list(SCALARS.items())), _grow, max_leaves=4)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(TYPED, TYPED, st.data())
def test_every_value_of_a_type_that_fits_is_taken(one: Typed, other: Typed, data: st.DataObject) -> None:
    """The verdicts agree with pydantic's: what fits is valid, and what never fits is valid only when it is empty."""
    said = fit(one[0], other[0])
    value = data.draw(one[1])
    if said is Fit.YES:
        adapter(other[0]).validate_python(value)
    assert fit(one[0], one[0]) is Fit.YES
    assert fit(one[0], Any) is Fit.YES
    if said is Fit.NO:
        assert fit(other[0], one[0]) is not Fit.YES
