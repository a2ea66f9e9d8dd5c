"""What an MCP server answered, as the value of a tool or as the failure that it is."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import mcp_types as types

from orchestrator.core.enums import FailureKind
from orchestrator.core.errors import CallerError, OrchestratorError, RateLimited, Refused
from orchestrator.core.schema import adapter
from orchestrator.core.text import clean
from orchestrator.health.failures.inspect import of_text

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


WRAPPED: Final = "result"
"""The field in which servers wrap a structured value that is no object."""
MAX_ERROR: Final = 500
"""Characters of an error that are kept."""


_PREFIX: Final = re.compile(r"^error (?:executing|calling) tool \S+?(?::\s*|$)", re.IGNORECASE)
"""What servers put before the words of an error; alone it says that the tool broke down."""
_BROKE: Final = re.compile(
    r"internal (?:server )?error|unexpected(?:ly)?\b|unhandled|traceback|exception\b", re.IGNORECASE
)


class ToolReported(Exception):
    """A tool said that it failed, and not that nothing happened: overload, a time-out, a defect of its own."""

    def __init__(self, said: str, kind: FailureKind) -> None:
        super().__init__(said)
        self.kind = kind


def kind_of(error: BaseException) -> FailureKind | None:
    """The row of the failure table for `ToolReported`."""
    return error.kind if isinstance(error, ToolReported) else None


def text_of(content: Iterable[types.ContentBlock]) -> str:
    """The text of an answer; what is no text is named."""
    parts: list[str] = []
    for block in content:
        if isinstance(block, types.TextContent):
            parts.append(block.text)
        elif isinstance(block, types.EmbeddedResource) and isinstance(block.resource, types.TextResourceContents):
            parts.append(block.resource.text)
        else:
            parts.append(f"[{block.type}]")
    return "\n".join(parts)


def value_of(result: types.CallToolResult, gives: dict[str, Any]) -> Any:
    """The output of a call: structured where the server gave that, else its text, which may be JSON.

    Raises `Refused`, `CallerError`, `RateLimited` or `ToolReported` for an answer that is marked as an error.
    """
    text = text_of(result.content)
    if result.is_error:
        raise failure_of(text)
    structured: Any = result.structured_content
    if structured is None:
        return _parsed(text, gives)
    if len(gives) == 1 and isinstance(structured, dict) and list(structured) == [WRAPPED]:  # pyright: ignore[reportUnknownArgumentType]
        structured = structured[WRAPPED]  # pyright: ignore[reportUnknownVariableType]
    return cast("Any", structured)


def failure_of(text: str) -> OrchestratorError | ToolReported:
    """What an error that a tool reports means. Most are its own no; some words say that it is busy or broke down."""
    said = clean(text, MAX_ERROR)
    words = _PREFIX.sub("", said)
    kind = of_text(words)
    if not words or (kind is FailureKind.REFUSAL and _BROKE.search(words)):
        return ToolReported(said or "the tool failed and did not say why", FailureKind.BUG)
    if kind is FailureKind.REFUSAL:
        return Refused(words)
    if kind is FailureKind.CALLER_ERROR:
        return CallerError(words)
    limited = kind is FailureKind.TRANSIENT and re.search(
        r"rate.?limit|too many requests|\b429\b", words, re.IGNORECASE
    )
    return RateLimited(words) if limited else ToolReported(words, kind)


def _parsed(text: str, gives: dict[str, Any]) -> Any:
    """Text as what is wanted: as it is where a text will do, else what its JSON says, if it is any."""
    if len(gives) == 1 and _takes(next(iter(gives.values())), text):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _takes(annotation: Any, text: str) -> bool:
    try:
        adapter(annotation).validate_python(text, strict=True)
    except ValueError:
        return False
    return True
