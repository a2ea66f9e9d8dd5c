"""Copies of values for calls, so that a change that one call makes is not visible to another."""

import copy
import dataclasses
from collections import OrderedDict, defaultdict, deque
from typing import Any, Final

from pydantic import BaseModel

from .content import class_of

CONTAINERS: Final[tuple[type[Any], ...]] = (list, dict, set, tuple, frozenset, OrderedDict, defaultdict, deque)
FROZEN: Final[tuple[type[Any], ...]] = (tuple, frozenset)

IMMUTABLE: Final[frozenset[type[Any]]] = frozenset({str, int, float, bool, complex, bytes, type(None)})
"""Types whose values are shared as they are."""


def own_copy(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """A value that may be changed without changing `value`.

    Containers, dataclasses and models are copied, with what they hold; arrays are passed as read-only views; immutable
    values and opaque objects (connections, clients) are the same object.
    """
    if type(value) in IMMUTABLE:
        return value
    memo = {} if memo is None else memo
    if id(value) in memo:
        return memo[id(value)]
    kind = class_of(value)
    if kind in CONTAINERS:
        return _container(value, kind, memo)
    if issubclass(kind, BaseModel):
        return _model(value, memo)
    if dataclasses.is_dataclass(kind):
        return _dataclass(value, memo)
    return _array(value)


def _model(value: BaseModel, memo: dict[int, Any]) -> BaseModel:
    made = value.model_copy()
    memo[id(value)] = made
    fields: Any = made.__dict__
    for name, item in value.__dict__.items():
        fields[name] = own_copy(item, memo)
    if value.__pydantic_extra__ is not None:
        object.__setattr__(made, "__pydantic_extra__", own_copy(value.__pydantic_extra__, memo))
    return made


def _array(value: Any) -> Any:
    """An array read-only, a data frame copied, anything else itself."""
    if hasattr(value, "setflags") and hasattr(value, "view"):
        seen = value.view()
        seen.setflags(write=False)
        return seen
    if hasattr(value, "columns") and callable(getattr(value, "copy", None)):
        return value.copy()
    return value


def _container(value: Any, kind: type[Any], memo: dict[int, Any]) -> Any:
    if kind in FROZEN:
        items: list[Any] = [own_copy(item, memo) for item in value]
        unchanged = all(one is other for one, other in zip(items, value, strict=True))
        made_of: Any = kind
        return value if unchanged else made_of(items)
    made: Any = copy.copy(value)
    memo[id(value)] = made
    if issubclass(kind, dict):
        for key, item in value.items():
            made[key] = own_copy(item, memo)
    elif issubclass(kind, list | deque):
        for place, item in enumerate(value):
            made[place] = own_copy(item, memo)
    return made


def _dataclass(value: Any, memo: dict[int, Any]) -> Any:
    try:
        made: Any = copy.copy(value)
    except Exception:
        return value  # it cannot be copied: opaque
    memo[id(value)] = made
    for field in dataclasses.fields(value):
        if hasattr(value, field.name):
            object.__setattr__(made, field.name, own_copy(getattr(value, field.name), memo))
    return made
