"""Copies of values for calls, so that a change that one call makes is not visible to another."""

import array
import copy
import dataclasses
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel

from .content import class_of

_DICT: Final[Any] = dict
_SET: Final[Any] = set
_FROZEN: Final[tuple[Any, ...]] = (tuple, frozenset)
"""The builtins themselves: a subclass may have its own idea of reading and writing items."""

IMMUTABLE: Final[frozenset[type[Any]]] = frozenset({str, int, float, bool, complex, bytes, type(None)})
"""Types whose values are shared as they are."""


Memo = dict[int, tuple[Any, Any]]
"""By identity: a value, which is kept alive, and its copy."""


def own_copy(value: Any, memo: Memo | None = None) -> Any:
    """A value that may be changed without changing `value`.

    Containers (those of the standard library, and subclasses), dataclasses and models are copied, with what they hold,
    however deep; arrays are passed as read-only views; immutable values and opaque objects (connections, clients) are
    the same object, as is what cannot be copied.
    """
    if type(value) in IMMUTABLE:
        return value
    copies = _Copies({} if memo is None else memo)
    made = copies.of(value)
    copies.fill()
    return made


class _Copies:
    """Copies that are made shallow first and then filled, one after another, so that depth needs no stack."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._waiting: list[tuple[Callable[[_Copies, Any], None], Any]] = []

    def fill(self) -> None:
        """Put own copies into the copies made so far, and into those made by that."""
        while self._waiting:
            inner, made = self._waiting.pop()
            inner(self, made)

    def of(self, value: Any) -> Any:
        """The copy of a value, which `fill` completes."""
        kind = class_of(value)
        if kind in IMMUTABLE:
            return value
        known = self._memo.get(id(value))
        if known is not None:
            return known[1]
        try:
            made = self._made(value, kind)
        except Exception:  # it cannot be copied: opaque
            made = value
        self._memo[id(value)] = value, made
        return made

    def each(self, values: Iterable[Any]) -> list[Any]:
        """The copies of several values."""
        return [self.of(value) for value in values]

    def _made(self, value: Any, kind: Any) -> Any:
        plain = _PLAIN.get(kind)
        if plain is not None:
            return self._later(plain, value.copy())
        if issubclass(kind, _FROZEN):
            return self._frozen(value, kind)
        if issubclass(kind, BaseModel):
            return self._later(_model, value.model_copy())
        for kinds, inner in _FILLED:
            if issubclass(kind, kinds):
                return self._later(inner, copy.copy(value))
        if dataclasses.is_dataclass(kind):
            return self._later(_attributes, copy.copy(value))
        if kind is MappingProxyType:
            return MappingProxyType(self._later(_mapping, _DICT(value)))
        return self._array(value)

    def _later(self, inner: Callable[["_Copies", Any], None], made: Any) -> Any:
        self._waiting.append((inner, made))
        return made

    def _frozen(self, value: Any, kind: Any) -> Any:
        items: list[Any] = self.each(value)
        if all(one is other for one, other in zip(items, value, strict=True)):
            return value
        return kind(items) if kind in _FROZEN else _rebuilt(value, kind, items)

    def _array(self, value: Any) -> Any:
        """An array read-only (one of objects with copies of these), a data frame copied, anything else itself."""
        if hasattr(value, "setflags") and hasattr(value, "view"):
            objects = getattr(getattr(value, "dtype", None), "kind", "") == "O"
            seen = value.copy() if objects else value.view()
            for place, item in enumerate(seen.flat if objects else ()):
                seen.flat[place] = self.of(item)
            seen.setflags(write=False)
            return seen
        if isinstance(value, memoryview):
            return value.toreadonly()
        frame = hasattr(value, "columns") or (hasattr(value, "dtype") and hasattr(value, "index"))
        return value.copy() if frame and callable(getattr(value, "copy", None)) else value


def _rebuilt(value: Any, kind: Any, items: list[Any]) -> Any:
    """A named tuple, or another subclass of a builtin that cannot be changed, with other items."""
    base = next(base for base in _FROZEN if issubclass(kind, base))
    made = base.__new__(kind, items)
    if hasattr(value, "__dict__"):
        made.__dict__.update(value.__dict__)
    return made


def _model(copies: _Copies, made: BaseModel) -> None:
    _plain_dict(copies, made.__dict__)
    for name in ("__pydantic_extra__", "__pydantic_private__"):
        held = getattr(made, name, None)
        if held:
            object.__setattr__(made, name, {key: copies.of(item) for key, item in held.items()})


def _attributes(copies: _Copies, made: Any) -> None:
    """Own copies of the fields of a dataclass, in slots too, and of other attributes."""
    if dataclasses.is_dataclass(made):
        names = [field.name for field in dataclasses.fields(made)]
        _fields(copies, made, {name: getattr(made, name) for name in names if hasattr(made, name)})
    if hasattr(made, "__dict__"):
        _plain_dict(copies, vars(made))


def _fields(copies: _Copies, made: Any, held: Mapping[str, Any]) -> None:
    for name, item in held.items():
        if (own := copies.of(item)) is not item:
            object.__setattr__(made, name, own)


def _plain_dict(copies: _Copies, made: Any) -> None:
    for key, item in made.items():  # no key is added
        if type(item) not in IMMUTABLE:
            made[key] = copies.of(item)


def _plain_list(copies: _Copies, made: Any) -> None:
    for place, item in enumerate(made):
        if type(item) not in IMMUTABLE:
            made[place] = copies.of(item)


def _mapping(copies: _Copies, made: Any) -> None:
    for key, item in list(_DICT.items(made)):
        _DICT.__setitem__(made, key, copies.of(item))
    _attributes(copies, made)


def _sequence(copies: _Copies, made: Any) -> None:
    base: Any = list if isinstance(made, list) else deque
    for place, item in enumerate(base.__iter__(made)):
        base.__setitem__(made, place, copies.of(item))
    _attributes(copies, made)


def _members(copies: _Copies, made: Any) -> None:
    had: list[Any] = list(_SET.__iter__(made))
    items = copies.each(had)
    if any(one is not other for one, other in zip(items, had, strict=True)):
        _SET.clear(made)
        _SET.update(made, items)
    _attributes(copies, made)


_PLAIN: Final[Mapping[type[Any], Callable[[_Copies, Any], None]]] = {dict: _plain_dict, list: _plain_list}
_FILLED: Final[tuple[tuple[tuple[type[Any], ...], Callable[[_Copies, Any], None]], ...]] = (
    ((dict,), _mapping),
    ((list, deque), _sequence),
    ((set,), _members),
    ((UserDict, UserList, ChainMap, bytearray, array.array), _attributes),
)
"""Containers that can be changed, each with what puts copies into its copy."""
