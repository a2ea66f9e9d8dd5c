"""Annotations that only type checkers can resolve: the function works, a tool made of it is a clear error."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import DefinitionError, Orchestrator, Tool
from orchestrator.core.calls.options import signature_options
from orchestrator.core.calls.signatures import annotations_of, signature_of

LATE = sys.version_info >= (3, 14)
SOURCE = """
from typing import TYPE_CHECKING
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from elsewhere import Parcel

class Known(TypedDict):
    weight: int

class Sent(TypedDict):
    parcel: {quote}Parcel{quote}
    weight: int

def asks(weight: Parcel, other: int = 0) -> Parcel: ...
def sends(heavy: bool) -> Sent: ...
def stores(sent: Sent) -> int: ...
def knows(weight: int) -> Known: ...
def weighs(weight: int) -> int: ...
"""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Names of a module whose annotations are late: as every module is since 3.14, before by the future import."""
    module = type(sys)("late_annotations")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    future = "" if LATE else "from __future__ import annotations"
    exec(compile(future + SOURCE.format(quote="" if LATE else "'"), "late.py", "exec"), vars(module))
    return vars(module)


def test_a_signature_is_had_where_an_annotation_cannot_be_resolved(names: dict[str, Any]) -> None:
    assert list(signature_of(names["asks"]).parameters) == ["weight", "other"]
    assert list(annotations_of(names["asks"])) == ["weight", "other", "return"]


def test_options_with_such_annotations_take_anything(names: dict[str, Any]) -> None:
    options = signature_options(names["asks"])
    options.check("asks()", {"weight": object(), "other": 1})
    with pytest.raises(DefinitionError, match="asks\\(\\): other is a whole number, not 'many'"):
        options.check("asks()", {"other": "many"})


@pytest.mark.parametrize("option", ["when", "ensure", "latency", "cost", "approval", "compensate", "reconcile"])
def test_functions_of_a_tool_may_have_them(names: dict[str, Any], option: str) -> None:
    given: dict[str, Any] = {option: names["asks"], "effect": "write"}
    assert Tool(names["weighs"], **given).name == "weighs"


@pytest.mark.parametrize(
    "make",
    [
        lambda names: Tool(names["asks"]),
        lambda names: Tool(names["asks"], needs=["weight"]),
        lambda names: Tool(names["sends"], gives=["parcel", "weight"]),
    ],
)
def test_a_tool_whose_own_types_cannot_be_found_is_one_clear_error(
    names: dict[str, Any], make: Callable[[dict[str, Any]], Tool]
) -> None:
    with pytest.raises(DefinitionError, match=r"late_annotations\.\w+ name 'Parcel', which cannot be found"):
        make(names)


def test_typed_dicts_that_cannot_be_resolved_may_fit(names: dict[str, Any]) -> None:
    orchestrator = Orchestrator([Tool(names["knows"], gives="sent"), Tool(names["stores"])])
    assert orchestrator.plan("stores", {"weight": 1}).tools == ("knows", "stores")


def test_a_typed_dict_of_either_module_gives_the_types_of_its_keys(names: dict[str, Any]) -> None:
    assert Tool(names["knows"], gives=["heavy", "weight"], needs=["one"]).gives == {"heavy": Any, "weight": int}
