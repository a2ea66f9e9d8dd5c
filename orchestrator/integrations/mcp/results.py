"""Converts the result of an MCP call into the value of a tool, or into a failure."""

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any, Final

import mcp_types as types

from orchestrator.integrations.tool_results import first_fitting, reported_error

WRAPPED: Final = "result"
"""The field in which servers wrap a structured value that is no object."""


def content_text(content: Iterable[types.ContentBlock]) -> str:
    """The text of a result; other content is described by its type."""
    parts: list[str] = []
    for block in content:
        if isinstance(block, types.TextContent):
            parts.append(block.text)
        elif isinstance(block, types.EmbeddedResource) and isinstance(block.resource, types.TextResourceContents):
            parts.append(block.resource.text)
        else:
            parts.append(f"[{block.type}]")
    return "\n".join(parts)


def output_value(result: types.CallToolResult, gives: dict[str, Any]) -> Any:
    """The output of a call, in the form that fits the type of the key: structured data, its one field, text, what the
    text says as JSON, or the bytes of an image, a sound or a resource.

    Raises `Refused`, `CallerError`, `RateLimited` or `ToolReported` for an answer that is marked as an error.
    """
    text = content_text(result.content)
    if result.is_error:
        raise reported_error(text)
    structured: Any = result.structured_content
    if len(gives) != 1:
        return structured if structured is not None else _parsed(text)
    annotation = next(iter(gives.values()))
    candidates = [*_structured(structured, text, annotation), *_blobs(result, structured, annotation), text]
    return first_fitting([*candidates, _parsed(text)], annotation)


def _structured(structured: Any, text: str, annotation: Any) -> list[Any]:
    if structured is None:
        return []
    if not isinstance(structured, dict) or len(structured) != 1:  # pyright: ignore[reportUnknownArgumentType]
        return [structured]
    (name, inner), *_ = structured.items()  # pyright: ignore[reportUnknownVariableType]
    unwrap = annotation is Any and bool(name == WRAPPED or inner == text)  # pyright: ignore[reportUnknownArgumentType]
    return [inner, structured] if unwrap else [structured, inner]


def _blobs(result: types.CallToolResult, structured: Any, annotation: Any) -> list[Any]:
    found = [blob for block in result.content if (blob := _bytes_of(block)) is not None]
    if not found or annotation is str or (annotation is Any and (structured is not None or len(result.content) > 1)):
        return []
    return [found[0], found]


def _bytes_of(block: types.ContentBlock) -> bytes | None:
    data: Any = None
    if isinstance(block, types.ImageContent | types.AudioContent):
        data = block.data
    elif isinstance(block, types.EmbeddedResource) and isinstance(block.resource, types.BlobResourceContents):
        data = block.resource.blob
    try:
        return None if data is None else base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
