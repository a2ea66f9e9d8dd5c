"""JSON Schema as Python types and signatures: pydantic models, plain types, functions with the parameters it states."""

import inspect
import keyword
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final, Literal

from orchestrator.core.context import RunContext

from .schema import OTHERS

_SIMPLE: Final[Mapping[str, Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
    "object": dict[str, Any],
}


def type_of(schema: Any) -> Any:
    """`str`, `int`, `float`, `bool`, lists of these, mappings, and unions of all that; else `Any`."""
    if not isinstance(schema, Mapping):
        return Any
    found: Mapping[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
    if any(word in found for word in ("enum", "const", "$ref", "allOf")):
        return Any
    for word in ("anyOf", "oneOf"):
        if isinstance(found.get(word), list):
            return together(type_of(part) for part in found[word])
    kind = found.get("type")
    if isinstance(kind, list):
        return together(type_of({**found, "type": each}) for each in kind)  # pyright: ignore[reportUnknownVariableType]
    if kind == "array":
        items: Any = type_of(found.get("items"))
        return list[items]
    return _SIMPLE.get(str(kind), Any)


def enum_of(schema: Mapping[str, Any]) -> Any:
    """A `Literal` of the values of an `enum` or `const`; `Any` for values that no literal can hold."""
    values: Any = [schema["const"]] if "const" in schema else schema.get("enum", [])
    if not values or not all(v is None or isinstance(v, str | int | bool) for v in values):
        return Any
    return Literal[tuple(values)]


def together(kinds: Iterable[Any]) -> Any:
    """The union of types; `Any` when one of them is."""
    every = list(kinds)
    if not every or Any in every:
        return Any
    made = every[0]
    for kind in every[1:]:
        made = made | kind
    return made


def is_plain_name(name: str) -> bool:
    """Whether a property's name can be the name of a field."""
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


CallBody = Callable[[RunContext[Any] | None, dict[str, Any]], Awaitable[Any]]
"""The implementation: takes the context of the call (`None` outside a run) and the arguments by name."""


def with_signature(
    work: CallBody, name: str, takes: Mapping[str, Any], required: Collection[str], *, doc: str = "", returns: Any = Any
) -> Callable[..., Awaitable[Any]]:
    """An async function with these parameters and types, and one more that takes the `RunContext`.

    A parameter whose name Python cannot write as one (`from`, `user-id`) is taken by `**kwargs`, and read by
    `read_signature` as any other.
    """
    context = "run_context"
    while context in takes:
        context = f"_{context}"

    async def call(**inputs: Any) -> Any:
        return await work(inputs.pop(context, None), inputs)

    kind, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    plain = [each for each in takes if each.isidentifier() and not keyword.iskeyword(each)]
    parameters = [inspect.Parameter(context, kind)]
    parameters += [inspect.Parameter(each, kind, default=empty if each in required else None) for each in plain]
    if len(plain) < len(takes):
        rest = "others"
        while rest in takes:
            rest = f"_{rest}"
        parameters.append(inspect.Parameter(rest, inspect.Parameter.VAR_KEYWORD))
    others = tuple((each, takes[each], each in required) for each in takes if each not in plain)
    setattr(call, OTHERS, others)
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {context: RunContext[Any], **{each: takes[each] for each in plain}, "return": returns}
    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return call
