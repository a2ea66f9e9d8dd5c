"""Serialisation of parameters and bodies: the styles of OpenAPI 3, section "Style Values"."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from orchestrator.core.errors import CallerError

from .document import OperationParameter

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
_SEPARATORS: Final = {"spaceDelimited": " ", "pipeDelimited": "|"}
_PREFIXES: Final = {"label": (".", "."), "matrix": (";", ";")}
"""Style of a path parameter -> its prefix, and the separator of exploded items."""


def plain_value(value: Any) -> Any:
    """A value as JSON data, in which bytes stay bytes. Fields that were left out are left out."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            str((fields[name].alias if name in fields else None) or name): plain_value(each)
            for name, each in value
            if each is not None or (name in fields and fields[name].is_required())
        }
    if _is_object(value):
        return {name: plain_value(each) for name, each in _fields(value)}
    if _is_list(value):
        return [plain_value(each) for each in _items(value)]
    return value if isinstance(value, bytes) else to_jsonable_python(value, by_alias=True, exclude_none=True)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _fields(value: Any) -> list[tuple[str, Any]]:
    return [(str(name), each) for name, each in value.items()]


def _items(value: Any) -> list[Any]:
    return list(value)


def text(value: Any) -> str:
    """A value as the text of a parameter; what is nested is JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def in_query(parameter: OperationParameter, value: Any) -> list[tuple[str, str]]:
    """The pairs of a query parameter, or of a field of a form."""
    name, style = parameter.name, parameter.style
    if parameter.is_json:
        return [(name, json.dumps(value, ensure_ascii=False, separators=(",", ":")))]
    if style == "deepObject" and (_is_object(value) or _is_list(value)):
        return _deep(name, value)
    if _is_object(value):
        pairs = [(key, text(each)) for key, each in _fields(value)]
        return pairs if parameter.explode else [(name, _joined(pairs, _SEPARATORS.get(style, ",")))]
    if _is_list(value):
        items = [text(each) for each in _items(value)]
        return (
            [(name, each) for each in items] if parameter.explode else [(name, _SEPARATORS.get(style, ",").join(items))]
        )
    return [(name, text(value))]


def _deep(name: str, value: Any) -> list[tuple[str, str]]:
    """`name[field]=value`; of lists, one pair for each item, and of objects in them `name[0][field]`."""
    if _is_object(value):
        fields = _fields(value)
        return [pair for key, each in fields for pair in _deep(f"{name}[{key}]", each)]
    if _is_list(value):
        items = list(enumerate(_items(value)))
        nested = any(_is_object(each) or _is_list(each) for _, each in items)
        return [pair for n, each in items for pair in _deep(f"{name}[{n}]" if nested else f"{name}[]", each)]
    return [(name, text(value))]


def _joined(pairs: list[tuple[str, str]], separator: str) -> str:
    return separator.join(part for pair in pairs for part in pair)


def in_path(parameter: OperationParameter, value: Any) -> str:
    """The text of a parameter in the path."""
    if parameter.is_json:
        return _escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    before, between = _PREFIXES.get(parameter.style, ("", ","))
    named = f"{_escaped(parameter.name)}=" if parameter.style == "matrix" else ""
    between = between if parameter.explode else ","
    if _is_object(value):
        pairs = [(_escaped(k), _escaped(text(v))) for k, v in _fields(value)]
        if parameter.explode:
            return before + between.join(f"{key}={each}" for key, each in pairs)
        return before + named + _joined(pairs, ",")
    if _is_list(value):
        items = [_escaped(text(each)) for each in _items(value)]
        return before + (
            between.join(f"{named}{each}" for each in items) if parameter.explode else named + ",".join(items)
        )
    return before + named + _escaped(text(value))


def in_header(parameter: OperationParameter, value: Any) -> str:
    """The value of a header, style `simple`. Raises `CallerError` for a value that a header cannot contain."""
    written = _simple(parameter, value, text)
    if not (written.isascii() and written.isprintable()):
        raise CallerError(f"The header {parameter.name} takes printable ASCII, not {written!r}.")
    return written


def in_cookie(parameter: OperationParameter, value: Any) -> str:
    """The value of a cookie."""
    return quote(_simple(parameter, value, text), safe="")


def _simple(parameter: OperationParameter, value: Any, write: Callable[[Any], str]) -> str:
    if _is_object(value) and not parameter.is_json:
        pairs = [(key, write(each)) for key, each in _fields(value)]
        return ",".join(f"{k}={v}" for k, v in pairs) if parameter.explode else _joined(pairs, ",")
    if _is_list(value) and not parameter.is_json:
        return ",".join(write(each) for each in _items(value))
    return write(value)


def _escaped(value: str) -> str:
    return quote(value, safe="")


def in_body(kind: str, value: Any, encoding: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `httpx` for a body of a media type. Raises `CallerError` for a value that it cannot contain."""
    if is_json(kind) or ("*" in kind and not isinstance(value, str | bytes)):
        written = json.dumps(to_jsonable_python(value), ensure_ascii=False, separators=(",", ":"))
        return {"content": written.encode(), "headers": {"Content-Type": "application/json" if "*" in kind else kind}}
    if kind == FORM and _is_object(value):
        pairs = [pair for name, each in _fields(value) for pair in in_query(_field(name, each, encoding), each)]
        return {"data": _grouped(pairs)}
    if kind == MULTIPART and _is_object(value):
        items = [(n, e) for n, each in _fields(value) for e in (_items(each) if _is_list(each) else [each])]
        return {"files": [(name, _part(name, each)) for name, each in items]}
    if not isinstance(value, str | bytes):
        raise CallerError(f"A body of the type {kind} is given as text or bytes, not as {type(value).__name__}.")
    headers = {} if "*" in kind else {"Content-Type": kind}
    return {"content": value if isinstance(value, bytes) else value.encode(), "headers": headers}


def is_json(kind: str) -> bool:
    """Whether a media type is JSON."""
    return kind.partition(";")[0].strip().lower().endswith(("/json", "+json"))


def _field(name: str, value: Any, encoding: Mapping[str, Any]) -> OperationParameter:
    """How a field of a form is written: as its `encoding` says, else objects as JSON and lists as repeated fields."""
    stated: Mapping[str, Any] = encoding.get(name) or {}
    style = str(stated.get("style") or "form")
    as_json = "style" not in stated and _is_object(value)
    return OperationParameter(
        name, "query", {}, required=False, style=style, explode=stated.get("explode", style == "form"), is_json=as_json
    )


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, each in pairs:
        found.setdefault(name, []).append(each)
    return found


def _part(name: str, value: Any) -> tuple[str | None, bytes] | tuple[None, bytes, str]:
    if isinstance(value, bytes):
        return name, value
    if _is_object(value) or _is_list(value):
        return None, text(value).encode(), "application/json"
    return None, text(value).encode()


__all__ = [
    "FORM",
    "MULTIPART",
    "in_body",
    "in_cookie",
    "in_header",
    "in_path",
    "in_query",
    "is_json",
    "plain_value",
    "text",
]
