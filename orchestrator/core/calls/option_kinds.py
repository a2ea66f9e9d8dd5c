"""`OptionKind`: which values an option takes, read from its annotation, and the words for them in messages."""

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from numbers import Integral, Real
from typing import Any, Literal, Union, cast, get_args, get_origin

from typing_extensions import get_protocol_members, is_typeddict

Accepts = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class OptionKind:
    """The values that an option accepts: types, and a predicate for all other values; and the words for them in
    messages.
    """

    words: str
    exact: frozenset[type] = frozenset()
    """A value of exactly one of these types is accepted without a further look."""
    test: Accepts | None = None
    """Decides about all other values; `None` accepts none of them."""
    shape: str = ""
    """`list`, `mapping` or `union`; empty for a plain value."""
    inner: "tuple[OptionKind, ...]" = ()
    """Of a list the kind of its members, of a mapping those of its keys and values, of a union its alternatives."""
    plain_keys: frozenset[type] = frozenset()
    """Of a mapping to anything: a dict with keys of exactly these types is accepted without a further look."""

    def accepts(self, value: Any) -> bool:
        """Whether it takes a value."""
        return type(value) in self.exact or (self.test is not None and self.test(value))


ANYTHING = OptionKind("anything", test=lambda _: True)


def option_kind(annotation: Any) -> OptionKind:
    """The kind of values that an annotation allows; anything where the annotation cannot be checked by itself."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is Any:  # a class, as Python 3.11 has it
        return ANYTHING
    if annotation is None or annotation is type(None):
        return OptionKind("None", frozenset({type(None)}))
    if origin in (Union, types.UnionType):
        return _union([option_kind(arg) for arg in args])
    if origin is Literal:
        return OptionKind(
            _words(map(repr, args)), test=lambda value: any(value == arg and type(value) is type(arg) for arg in args)
        )
    if origin is typing.Annotated:
        kind, words = option_kind(args[0]), [each for each in args[1:] if isinstance(each, str)]
        return replace(kind, words=words[0]) if words else kind
    target = origin or annotation
    if not inspect.isclass(target) or origin is type:
        return ANYTHING
    return _class_kind(target, args)


def _class_kind(target: Any, args: tuple[Any, ...]) -> OptionKind:
    if target is object or is_typeddict(target):
        return ANYTHING
    if getattr(target, "_is_protocol", False):
        return _protocol(target)
    if target is bool:
        return OptionKind("True or False", frozenset({bool}))
    if target in (int, float):
        number: Any = Integral if target is int else Real
        words = "a whole number" if target is int else "a number"
        exact = frozenset({int} if target is int else {int, float})
        return OptionKind(words, exact, lambda value: isinstance(value, number) and not isinstance(value, bool))
    if target is Callable:
        return OptionKind("a function", test=callable)
    if target is str:
        return OptionKind("a text", frozenset({str}), lambda value: isinstance(value, str))
    if _is(target, Mapping):
        return _mapping(target, args)
    if _is(target, Iterable) and target.__module__ in ("builtins", "collections.abc"):
        return _iterable(target, args)
    if _is(target, StrEnum):
        values = [str(member) for member in target]
        return OptionKind(_words(map(repr, values)), test=lambda value: isinstance(value, str) and value in values)
    article = "an" if target.__name__[0] in "AEIOU" else "a"
    return OptionKind(f"{article} {target.__name__}", frozenset({target}), lambda value: isinstance(value, target))


def _protocol(target: Any) -> OptionKind:
    """Whether a value is an instance (no class) with the methods of a protocol."""
    names = sorted(get_protocol_members(target))
    methods = [name for name in names if inspect.isfunction(inspect.getattr_static(target, name, None))]
    if "__call__" in methods:
        return OptionKind("a function", test=callable)
    return OptionKind(
        f"a {target.__name__}, with {' and '.join(f'{name}()' for name in methods[:4])}",
        test=lambda value: not inspect.isclass(value) and all(hasattr(value, name) for name in methods),
    )


def _is(kind: Any, base: type) -> bool:
    return issubclass(kind, base)


def _all(kind: OptionKind, values: Iterable[Any]) -> bool:
    return kind is ANYTHING or kind.exact.issuperset(map(type, values)) or all(map(kind.accepts, values))


def _mapping(target: type, args: tuple[Any, ...]) -> OptionKind:
    keys, values = map(option_kind, args) if len(args) == 2 else (ANYTHING, ANYTHING)
    only_keys = values is ANYTHING

    def accepts(value: Any) -> bool:
        if type(value) is not dict and not isinstance(value, target):
            return False
        given = cast("Mapping[Any, Any]", value)
        texts = keys.exact.issuperset(map(type, given)) or _all(keys, given)
        return texts and (only_keys or _all(values, given.values()))

    plain = keys.exact if only_keys and issubclass(dict, target) else frozenset[type]()
    return OptionKind("a mapping", test=accepts, shape="mapping", inner=(keys, values), plain_keys=plain)


def _iterable(target: type, args: tuple[Any, ...]) -> OptionKind:
    inner = _union([option_kind(arg) for arg in dict.fromkeys(args) if arg is not ...]) if args else ANYTHING

    def accepts(value: Any) -> bool:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, target):
            return False
        if not isinstance(value, list | tuple | set | frozenset):
            return True  # checking an iterator would consume it
        return _all(inner, cast("Iterable[Any]", value))

    words = "a list" if inner is ANYTHING else f"a list ({inner.words} each)"
    return OptionKind(words, test=accepts, shape="list", inner=(inner,))


def _union(kinds: list[OptionKind]) -> OptionKind:
    if ANYTHING in kinds:
        return ANYTHING
    words = _words(dict.fromkeys(kind.words for kind in kinds if kind.words != "None"))
    exact = frozenset[type]().union(*(kind.exact for kind in kinds))
    tests = [kind.test for kind in kinds if kind.test is not None]

    def any_of(value: Any) -> bool:
        return any(test(value) for test in tests)

    accepts: Accepts | None = any_of if len(tests) > 1 else tests[0] if tests else None
    plain = frozenset[type]().union(*(kind.plain_keys for kind in kinds))
    return OptionKind(words, exact, accepts, "union", tuple(kinds), plain)


def _words(alternatives: Iterable[str]) -> str:
    *most, last = list(alternatives) or ["None"]
    return f"{', '.join(most)} or {last}" if most else last


__all__ = ["ANYTHING", "OptionKind", "option_kind"]
