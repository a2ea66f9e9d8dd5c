"""Asks a chat model for a choice by the best method it supports: a tool call, a JSON schema, or plain JSON."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from orchestrator.health.failures.rules import status_of

from .parse import RawAnswer

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage


class OutputMode(StrEnum):
    """How a model is asked for structured output."""

    TOOL = "tool"
    SCHEMA = "schema"
    JSON = "json"


ANSWER_TOOL: Final = "answer"
"""The tool whose call is a model's answer."""
NOT_SUPPORTED: Final = frozenset({400, 404, 415, 422, 501})
"""HTTP statuses by which servers reject a request for tools or schemas that they do not support."""


def modes_of(model: "BaseChatModel") -> tuple[OutputMode, ...]:
    """The ways to ask a model, best first, as far as it says: its profile, and what its class binds at all.

    A server may still turn one down; then the next is tried. Plain JSON, the last, needs nothing of it.
    """
    from langchain_core.language_models import BaseChatModel

    profile: Mapping[str, Any] = getattr(model, "profile", None) or {}
    kind = type(model)
    binds = kind.bind_tools is not BaseChatModel.bind_tools and profile.get("tool_calling", True)
    structures = kind.with_structured_output is not BaseChatModel.with_structured_output
    tool = (OutputMode.TOOL,) if binds else ()
    schema = (OutputMode.SCHEMA,) if structures and profile.get("structured_output", binds) else ()
    return (*tool, *schema, OutputMode.JSON)


async def ask_for_choice(
    model: "BaseChatModel", system: str, user: str, schema: dict[str, Any], mode: OutputMode
) -> "AIMessage":
    """One request. Raises whatever the model's client raises."""
    messages = [("system", system), ("human", user)]
    if mode is OutputMode.TOOL:
        tool = {
            "type": "function",
            "function": {"name": ANSWER_TOOL, "description": schema.get("description", ""), "parameters": schema},
        }
        answer: AIMessage = await model.bind_tools([tool], tool_choice=ANSWER_TOOL).ainvoke(messages)
        return answer
    if mode is OutputMode.SCHEMA:
        structured: Any = model.with_structured_output(_closed(schema), method="json_schema", include_raw=True)
        both: dict[str, Any] = await structured.ainvoke(messages)
        raw: AIMessage = both["raw"]
        return raw
    return await model.ainvoke(messages)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without fields of any type, which constrained decoding does not know: such a value is JSON as text."""
    scalars = [{"type": kind} for kind in ("string", "number", "boolean", "null")]
    fields: dict[str, Any] = {
        name: field
        if field.get("type") in ("integer", "string")
        else {"anyOf": scalars, "description": f"{field['description']}. An object or a list is written as JSON text"}
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": fields, "required": list(fields), "additionalProperties": False}


def raw_answer(message: "AIMessage") -> RawAnswer:
    """The contents of the message: calls of the answering tool, well-formed or not, and its text."""
    calls: list[Any] = [call["args"] for call in message.tool_calls if call["name"] == ANSWER_TOOL]
    calls += [call["args"] or "" for call in message.invalid_tool_calls if call["name"] == ANSWER_TOOL]
    return RawAnswer(tuple(calls), _text(message))


def tokens(message: "AIMessage") -> tuple[int, int]:
    """Input and output tokens; 0 where the server did not say."""
    usage: Mapping[str, Any] = message.usage_metadata or {}
    return int(usage.get("input_tokens") or 0), int(usage.get("output_tokens") or 0)


def turned_down(error: BaseException) -> bool:
    """Whether the request failed because of its output mode, so that a simpler one may succeed."""
    return isinstance(error, NotImplementedError | TypeError | ValueError) or status_of(error) in NOT_SUPPORTED


def _text(message: "AIMessage") -> str:
    content: Any = message.content
    if isinstance(content, str):
        return content
    parts: Sequence[Any] = content
    return "".join(str(p.get("text", "")) if isinstance(p, Mapping) else str(p) for p in parts)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
