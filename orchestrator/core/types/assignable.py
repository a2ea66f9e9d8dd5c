"""Whether one type is assignable to another: yes, no, or it depends on the value.

The rules are those of gradual typing (PEP 483, PEP 484: `Any` fits everything, `int` promotes to `float`), with two
differences. Containers are covariant, since a value is passed on, not shared for writing. And `NO` is said only
where no value can fit: a base class given for its subclass, or `str | None` for `str`, is `MAYBE`: the value is
validated at the call.
"""

import collections.abc
import inspect
import typing
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from enum import Enum, IntEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    LiteralString,
    Never,
    NewType,
    NoReturn,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

from pydantic import BaseModel, RootModel
from typing_extensions import TypeAliasType
from typing_extensions import is_typeddict as is_typed_dict


class Fit(IntEnum):
    """How a given type fits a taken one."""

    NO = 0
    """No value of the given type fits."""
    MAYBE = 1
    """Some may: the value is validated."""
    YES = 2
    """Every value fits."""


PROMOTED: typing.Final[Mapping[type, frozenset[type]]] = {int: frozenset({float, complex}), float: frozenset({complex})}
"""The numeric tower of PEP 484."""
UNREAD: typing.Final = (collections.abc.Callable, type)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
"""Generic types whose arguments cannot be read off a value."""


def fit(given: Any, taken: Any) -> Fit:
    """How values annotated `given` fit a parameter annotated `taken`."""
    try:
        return _cached(given, taken)
    except TypeError:  # an annotation that cannot be hashed
        return _fit(plain_type(given), plain_type(taken))


@lru_cache(maxsize=8192)
def _cached(given: Any, taken: Any) -> Fit:
    return _fit(plain_type(given), plain_type(taken))


def plain_type(annotation: Any) -> Any:
    """The type behind `Annotated`, `NewType`, an alias or a type variable; `Any` where there is none."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif _is_alias(annotation):
            annotation = annotation.__value__
        elif isinstance(annotation, TypeVar):
            bound = Union[annotation.__constraints__] if annotation.__constraints__ else annotation.__bound__  # noqa: UP007
            annotation = Any if bound is None else bound
        elif annotation is LiteralString or annotation is typing.LiteralString:
            return str
        elif annotation is None:
            return NoneType
        else:
            return Any if annotation is object else annotation


def is_checked_at_call(given: Any, taken: Any) -> bool:
    """Whether a value of the given type has to be validated before it is passed where `taken` is declared."""
    if taken is Any or given == taken:
        return False
    return fit(given, taken) is not Fit.YES or has_constraints(taken)


def has_constraints(annotation: Any) -> bool:
    """Whether metadata such as `Field(min_length=3)` belongs to the type, at any depth."""
    if get_origin(annotation) is Annotated:
        return True
    return any(has_constraints(arg) for arg in get_args(annotation))


def _is_alias(annotation: Any) -> bool:
    native = getattr(typing, "TypeAliasType", None)
    return isinstance(annotation, TypeAliasType) or (native is not None and isinstance(annotation, native))


def _fit(given: Any, taken: Any) -> Fit:
    if taken is Any or given == taken or given in (Never, NoReturn):
        return Fit.YES
    if given is Any:
        return Fit.MAYBE
    if _is_union(given):
        return _all(fit(arg, taken) for arg in get_args(given))
    if _is_union(taken):
        return max(fit(given, arg) for arg in get_args(taken))
    if get_origin(given) is Literal:
        return _all(_literal(value, taken) for value in get_args(given))
    if get_origin(taken) is Literal:
        return max(min(fit(type(value), given), Fit.MAYBE) for value in get_args(taken))
    return _classes(given, taken)


def _all(fits: Iterable[Fit]) -> Fit:
    """Of alternatives that are given: a value may be any of them."""
    found = set(fits)
    return found.pop() if len(found) == 1 else Fit.MAYBE


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _literal(value: Any, taken: Any) -> Fit:
    if get_origin(taken) is Literal:
        return Fit.YES if any(type(value) is type(arg) and value == arg for arg in get_args(taken)) else Fit.NO
    return fit(type(value), taken)


# -- classes -----------------------------------------------------------------------------------------------------------


def _classes(given: Any, taken: Any) -> Fit:
    one: Any = get_origin(given) or given
    other: Any = get_origin(taken) or taken
    if not inspect.isclass(one) or not inspect.isclass(other):
        return Fit.MAYBE
    related = _related(one, other)
    if related is not Fit.YES:
        return related
    wanted = get_args(taken)
    if all(plain_type(arg) is Any for arg in wanted) or other in UNREAD:
        return Fit.YES
    actual = _arguments(given, other, len(wanted))
    return Fit.MAYBE if actual is None else _pairwise(actual, wanted, is_tuple=other is tuple)


def _pairwise(actual: tuple[Any, ...], wanted: tuple[Any, ...], *, is_tuple: bool) -> Fit:
    if is_tuple:
        actual, wanted = _as_long(actual, wanted)
        if len(actual) != len(wanted):
            return Fit.NO
    if len(actual) != len(wanted):
        return Fit.MAYBE
    return min(
        (fit(plain_type(one), plain_type(two)) for one, two in zip(actual, wanted, strict=True)), default=Fit.YES
    )


def _as_long(actual: tuple[Any, ...], wanted: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Items of two tuple types, those of `tuple[X, ...]` repeated as often as the other has items."""
    if actual[-1:] == (...,) and wanted[-1:] == (...,):
        return actual[:1], wanted[:1]
    if actual[-1:] == (...,):
        return actual[:1] * len(wanted), wanted
    return actual, (wanted[:1] * len(actual) if wanted[-1:] == (...,) else wanted)


def _related(given: type, taken: type) -> Fit:
    """How two classes fit, their type arguments apart."""
    if is_typed_dict(given) or is_typed_dict(taken):
        return _typed_dicts(given, taken)
    if _is_protocol(given) or _is_protocol(taken):
        return Fit.MAYBE
    if issubclass(given, taken) or taken in PROMOTED.get(given, ()):
        return Fit.YES
    if issubclass(taken, given) or given in PROMOTED.get(taken, ()) or _is_converted(given, taken):
        return Fit.MAYBE
    open_ended = any(inspect.isabstract(one) and other.__module__ != "builtins" for one, other in _both(given, taken))
    return Fit.MAYBE if open_ended else Fit.NO  # a class may implement an abstract one, besides what it is


def _both(one: type, other: type) -> tuple[tuple[type, type], tuple[type, type]]:
    return (one, other), (other, one)


def _typed_dicts(given: type, taken: type) -> Fit:
    if is_typed_dict(given) and not is_typed_dict(taken):
        return _related(dict, taken)
    if not is_typed_dict(given):
        return Fit.NO if _related(given, Mapping) is Fit.NO else Fit.MAYBE
    try:
        actual, wanted = (typing.get_type_hints(each) for each in (given, taken))
    except NameError:  # an annotation that only type checkers can resolve
        return Fit.MAYBE
    required: frozenset[str] = cast("Any", taken).__required_keys__
    fits = [fit(actual[key], wanted[key]) for key in wanted if key in actual]
    complete = required <= cast("Any", given).__required_keys__
    return min([*fits, Fit.YES if complete else Fit.MAYBE])


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False)) and kind.__module__ != "collections.abc"


def _is_converted(given: type, taken: Any) -> bool:
    """Whether pydantic may build a `taken` from a `given` that is none."""
    if _is(taken, Enum):
        return any(fit(given, type(member.value)) is not Fit.NO for member in taken)
    if _is(taken, BaseModel):
        flexible = bool(taken.model_config.get("from_attributes")) or _is(taken, RootModel)
        return flexible or _has_before_validator(taken) or issubclass(given, Mapping)
    if is_dataclass(taken):
        return issubclass(given, Mapping)
    return hasattr(taken, "__get_pydantic_core_schema__")  # it says itself what it accepts: `EmailStr`, `AnyUrl`


def _is(kind: Any, base: type) -> bool:
    return issubclass(kind, base)


def _has_before_validator(model: type[BaseModel]) -> bool:
    decorators = model.__pydantic_decorators__.model_validators.values()
    return any(decorator.info.mode in ("before", "wrap") for decorator in decorators)


def _arguments(given: Any, taken: type, count: int) -> tuple[Any, ...] | None:
    """The type arguments that `given` has as a `taken`; `None` where they are not known."""
    origin: Any = get_origin(given) or given
    args = get_args(given)
    if origin in (str, bytes, bytearray):
        return (str if origin is str else int,)
    if _is(origin, tuple) and taken is not tuple:
        items = tuple(arg for arg in args if arg is not ...)
        return (Union[items],) if items else None  # noqa: UP007
    if is_typed_dict(origin):
        return (str, Any)[:count]
    if args and (origin is taken or origin.__module__ in ("builtins", "collections", "collections.abc")):
        return args if len(args) <= count or origin is tuple else args[:count]
    if not args and origin is not taken:
        for base in getattr(origin, "__orig_bases__", ()):
            found: Any = get_origin(base)
            if inspect.isclass(found) and _is(found, taken):
                return _arguments(base, taken, count)
    return None
