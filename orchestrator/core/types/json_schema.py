"""JSON Schema as Python types: pydantic models for objects with known fields, plain types for the rest."""

import keyword
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

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


__all__ = ["enum_of", "is_plain_name", "together", "type_of"]
