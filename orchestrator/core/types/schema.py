"""Signatures and types: what a callable needs and gives, read from its annotations and enforced by pydantic."""

import inspect
import sys
import types
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaError
from typing_extensions import is_typeddict

from orchestrator.core.calls.signatures import signature_of
from orchestrator.core.context import RunContext
from orchestrator.core.errors import DefinitionError, InvalidOutput

EXACT: Final = frozenset({int, float, bool, bytes})
"""Types of which every value is valid."""
OTHERS: Final = "__other_parameters__"
"""Attribute of a callable: name, type and whether it is required, of parameters that Python cannot write as one."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a callable."""

    name: str
    annotation: Any
    required: bool
    positional_only: bool


@dataclass(frozen=True, slots=True)
class CallSignature:
    """The signature of a callable: its parameters, the one for the `RunContext`, its return type."""

    parameters: tuple[Parameter, ...]
    context: str | None
    returns: Any
    takes_any: bool
    """Whether it has `**kwargs`."""


def read_signature(call: Callable[..., Any], frame_locals: Mapping[str, Any] | None = None) -> CallSignature | None:
    """Read a callable; `None` when Python cannot (some builtins).

    Raises `DefinitionError` when an annotation names something that cannot be found.
    """
    try:
        signature = signature_of(call)
    except (ValueError, TypeError):
        return None
    hints = _hints(call, frame_locals or {})
    parameters: list[Parameter] = []
    context: str | None = None
    takes_any = False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            takes_any = True
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        annotation = hints.get(parameter.name, Any)
        if _is_context(annotation):
            if context is not None:
                raise DefinitionError(
                    f"{getattr(call, '__name__', call)!r} takes two contexts of the run, {context!r} and "
                    f"{parameter.name!r}. Leave one out."
                )
            context = parameter.name
            continue
        parameters.append(
            Parameter(
                parameter.name,
                annotation,
                parameter.default is inspect.Parameter.empty,
                parameter.kind is inspect.Parameter.POSITIONAL_ONLY,
            )
        )
    for name, annotation, required in getattr(call, OTHERS, ()):
        parameters.append(Parameter(name, annotation, required, False))
    return CallSignature(tuple(parameters), context, hints.get("return", Any), takes_any)


def _is_context(annotation: Any) -> bool:
    """Whether a parameter takes the context of the run: `RunContext`, `RunContext[Deps]`, either `| None`."""
    plain = without_none(base_type(annotation))
    return plain is RunContext or get_origin(plain) is RunContext


def _hints(call: Callable[..., Any], frame_locals: Mapping[str, Any]) -> dict[str, Any]:
    target: Any = call
    while hasattr(target, "func") and not inspect.isfunction(target):  # functools.partial
        target = target.func
    if not (inspect.isfunction(target) or inspect.ismethod(target) or inspect.isbuiltin(target)):
        kind: Any = cast("Any", type(target))
        target = target.__init__ if inspect.isclass(target) else kind.__call__
    namespace = dict(frame_locals)
    module = sys.modules.get(getattr(target, "__module__", "") or "")
    try:
        hints = get_type_hints(target, vars(module) if module else None, namespace, include_extras=True)
    except NameError as error:
        raise _unknown_name(call, error) from error
    except TypeError:
        return {}
    if inspect.isclass(call):
        hints["return"] = call
    return hints


def _unknown_name(annotated: Any, error: NameError) -> DefinitionError:
    return DefinitionError(
        f"The annotations of {describe_call(annotated)} name {error.name!r}, which cannot be found. "
        "Define or import it at the top of the module."
    )


def describe_call(call: Callable[..., Any]) -> str:
    """A callable's name and place, for messages."""
    name = getattr(call, "__qualname__", None) or getattr(call, "__name__", None) or repr(call)
    module = getattr(call, "__module__", None)
    return f"{module}.{name}" if module else str(name)


def without_none(annotation: Any) -> Any:
    """`X` for `X | None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [arg for arg in get_args(annotation) if arg is not type(None)]
        if len(rest) < len(get_args(annotation)):
            union: Any = rest[0]
            for arg in rest[1:]:
                union = union | arg
            return union
    return annotation


def base_type(annotation: Any) -> Any:
    """The type without its `Annotated` metadata."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def type_name(annotation: Any) -> str:
    """The name of an annotation for people."""
    if annotation is Any:
        return "Any"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def given_types(name: str, gives: Any, returns: Any) -> dict[str, Any]:
    """The types of the keys that a tool gives, from its `gives` option and its return annotation.

    Raises `DefinitionError` when `gives` is empty, or holds something that is no key.
    """
    typed: dict[str, Any]
    if gives is None:
        return {name: returns}
    if isinstance(gives, str):
        return {_key(gives): returns}
    if isinstance(gives, Mapping):
        typed = _typed_keys(gives)
    else:
        keys = [_key(key) for key in gives]
        twice = [key for key, times in Counter(keys).items() if times > 1]
        if twice:
            raise DefinitionError(f"Tool {name!r} names the key {twice[0]!r} twice in gives=.")
        if len(keys) == 1:
            return {keys[0]: returns}
        typed = dict.fromkeys(keys, Any)
        if is_typeddict(returns):
            try:
                hints = get_type_hints(returns, include_extras=True)
            except NameError as error:
                raise _unknown_name(returns, error) from error
            typed |= {key: hint for key, hint in hints.items() if key in typed}
    if not typed:
        raise DefinitionError(f"Tool {name!r} gives nothing. Name at least one key in `gives`.")
    return typed


def _typed_keys(gives: Any) -> dict[str, Any]:
    return {_key(key): annotation for key, annotation in gives.items()}


def _key(key: Any) -> str:
    if not isinstance(key, str) or not key:
        raise DefinitionError(f"A key is a non-empty string, not {key!r}.")
    return key


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """The pydantic adapter of a type; classes that pydantic does not know are checked by `isinstance`.

    Raises `DefinitionError` for what no adapter can be made of.
    """
    try:
        return _cached_adapter(annotation)
    except TypeError:  # an unhashable annotation
        return _make_adapter(annotation)


@lru_cache(maxsize=4096)
def _cached_adapter(annotation: Any) -> TypeAdapter[Any]:
    return _make_adapter(annotation)


def _make_adapter(annotation: Any) -> TypeAdapter[Any]:
    if hasattr(annotation, "__get_validators__") and not hasattr(annotation, "__get_pydantic_core_schema__"):
        raise DefinitionError(
            f"The type {type_name(annotation)} cannot be used for a key: it is a model of pydantic 1. Make it one of "
            "pydantic 2: `from pydantic import BaseModel`."
        )
    if getattr(annotation, "_is_protocol", False) and not getattr(annotation, "_is_runtime_protocol", False):
        raise DefinitionError(
            f"The type {type_name(annotation)} cannot be used for a key: values cannot be checked against a protocol "
            "without @runtime_checkable. Decorate it so: `from typing import runtime_checkable`."
        )
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticUserError, SchemaError):
        pass  # a model, dataclass or typed dict brings its own config
    try:
        return TypeAdapter(annotation)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise DefinitionError(f"The type {type_name(annotation)} cannot be used for a key: {reason}") from error


LAZY: Final = (Iterable, Iterator, Generator, AsyncIterable, AsyncIterator, AsyncGenerator)
"""Types that are not consumed during validation."""


def _is_instance(value: Any, kind: type) -> bool:
    return isinstance(value, kind)


def validate(key: str, annotation: Any, value: Any) -> Any:
    """`value` as the key's type. Raises `InvalidOutput` in one line, naming the key and what was wrong.

    The message never holds the value: it may be private.
    """
    if annotation is Any:
        return value
    if type(value) is annotation and (annotation in EXACT or (annotation is str and value.isascii())):
        return value  # as pydantic gives it back
    lazy: Any = get_origin(annotation)
    if lazy in LAZY:
        if _is_instance(value, lazy):
            return value  # validated as it is read, pydantic would pass on an iterator that can be read only once
        raise InvalidOutput(f"{key} is no {type_name(base_type(annotation))}: it cannot be iterated over")
    try:
        return adapter(annotation).validate_python(value)
    except ValidationError as error:
        raise InvalidOutput(f"{key} is no {type_name(base_type(annotation))}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """What was wrong, field by field, without the values."""
    parts: list[str] = []
    for item in error.errors(include_input=False, include_url=False, include_context=False)[:5]:
        place = ".".join(str(part) for part in item["loc"])
        parts.append(f"{place}: {item['msg']}" if place else item["msg"])
    return "; ".join(parts)
