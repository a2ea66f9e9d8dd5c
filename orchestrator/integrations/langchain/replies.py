"""Replies to tool calls as plain data, for a process that finds the run ended but no replies in the graph."""

import base64
from collections.abc import Mapping
from typing import Any, Final

from langchain_core.messages import ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command

_SERIALISER: Final = JsonPlusSerializer()
"""LangGraph's checkpoint serialiser, with which replies are stored anyway."""
LOST: Final = "This call was made and ended; its answer was lost with the process that had it."


def as_data(replies: Mapping[str, Any]) -> dict[str, list[str]]:
    """Key of a call -> its serialised reply. If a reply cannot be serialised, only its message."""
    return {key: _written(reply) for key, reply in replies.items()}


def _written(reply: Any) -> list[str]:
    for form in (reply, *_messages(reply)[:1]):
        try:
            kind, data = _SERIALISER.dumps_typed(form)
            _SERIALISER.loads_typed((kind, data))
        except Exception:  # a tool's value may raise anything
            continue
        return [kind, base64.b64encode(data).decode()]
    return []


def _messages(reply: Any) -> list[ToolMessage]:
    if isinstance(reply, list):
        listed: list[Any] = reply  # pyright: ignore[reportUnknownVariableType]
        return [message for each in listed for message in _messages(each)]
    if isinstance(reply, Command):
        update: Any = reply.update  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return _messages(update.get("messages", []) if isinstance(update, Mapping) else [])  # pyright: ignore[reportUnknownMemberType]
    return [reply.model_copy(update={"artifact": None})] if isinstance(reply, ToolMessage) else []


def from_data(data: Any) -> dict[str, Any]:
    """The replies that `as_data` wrote, `LOST` for an unreadable one; empty for other data."""
    if not isinstance(data, Mapping):
        return {}
    stated: Mapping[Any, Any] = data  # pyright: ignore[reportUnknownVariableType]
    return {str(key): _read(each) for key, each in stated.items()}


def _read(written: Any) -> Any:
    try:
        kind, data = written
        return _SERIALISER.loads_typed((kind, base64.b64decode(data)))
    except Exception:  # a type that this program does not have
        return LOST


__all__ = ["LOST", "as_data", "from_data"]
