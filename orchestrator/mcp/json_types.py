"""Python types for the simple parts of a JSON schema; anything else is `Any`, and the server judges it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

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
            return _together(type_of(part) for part in found[word])
    kind = found.get("type")
    if isinstance(kind, list):
        return _together(type_of({**found, "type": each}) for each in kind)  # pyright: ignore[reportUnknownVariableType]
    if kind == "array":
        items: Any = type_of(found.get("items"))
        return list[items]
    return _SIMPLE.get(str(kind), Any)


def _together(kinds: Iterable[Any]) -> Any:
    every = list(kinds)
    if not every or Any in every:
        return Any
    made = every[0]
    for kind in every[1:]:
        made = made | kind
    return made
