"""Spans of an agent's own model calls, by the GenAI conventions: `chat {model}` with provider, tokens, finish reason.

The tracer comes from the OpenTelemetry context of the attempt (`conventions.TRACER_KEY`): without tracing, no handler
is added. Messages are exported only if content capture is on, through the user's redaction hook.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from orchestrator.agents.models.providers import provider_name
from orchestrator.core import conventions as names
from orchestrator.core.text import plain

Show = Callable[[str, str], str]
"""(attribute, text) -> what may be shown of a message's text; from the capture of the tracing."""


def span_handler() -> BaseCallbackHandler | None:
    """A handler for the model calls of the running attempt; `None` where nothing traces it."""
    tracer = contexts.get_value(names.TRACER_KEY)
    if tracer is None or not trace.get_current_span().is_recording():
        return None
    show: Any = contexts.get_value(names.SHOW_KEY)
    common: Any = contexts.get_value(names.COMMON_KEY)
    return ModelSpans(tracer, show, common or {})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class ModelSpans(BaseCallbackHandler):
    """Makes a span of every call of a chat model."""

    run_inline = True

    def __init__(self, tracer: Tracer, show: Show | None, common: dict[str, Any]) -> None:
        self._tracer = tracer
        self._show = show
        self._common = common
        self._context = contexts.get_current()
        self._spans: dict[UUID, Span] = {}

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """A chat model is asked."""
        metadata: dict[str, Any] = kwargs.get("metadata") or {}
        asked: dict[str, Any] = kwargs.get("invocation_params") or {}
        model = str(metadata.get("ls_model_name") or asked.get("model") or asked.get("model_name") or _name(serialized))
        found: dict[str, Any] = {
            **self._common,
            names.SPAN_KIND: names.LLM,
            names.OPERATION: names.CHAT,
            names.PROVIDER: provider_name(metadata.get("ls_provider"), model),
            names.REQUEST_MODEL: plain(model, 100),
            names.LLM_MODEL: plain(model, 100),
        }
        for key, attribute in (
            ("ls_temperature", names.REQUEST_TEMPERATURE),
            ("ls_max_tokens", names.REQUEST_MAX_TOKENS),
        ):
            if isinstance(metadata.get(key), int | float):
                found[attribute] = metadata[key]
        if self._show is not None and messages:
            messages_json = self._messages(messages[0], names.INPUT_MESSAGES)
            found |= {
                names.INPUT_MESSAGES: messages_json,
                names.INPUT_VALUE: messages_json,
                names.INPUT_TYPE: names.JSON,
            }
        self._spans[run_id] = self._tracer.start_span(
            f"{names.CHAT} {plain(model, 60)}", self._context, kind=SpanKind.CLIENT, attributes=found
        )

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """It has answered."""
        del kwargs
        span = self._spans.pop(run_id, None)
        if span is None:
            return
        answers = [getattr(each, "message", None) for row in response.generations for each in row]
        messages = [each for each in answers if isinstance(each, BaseMessage)]
        for message in messages:
            span.set_attributes(_answered(message))
        if self._show is not None and messages:
            messages_json = self._messages(messages, names.OUTPUT_MESSAGES)
            span.set_attributes(
                {names.OUTPUT_MESSAGES: messages_json, names.OUTPUT_VALUE: messages_json, names.OUTPUT_TYPE: names.JSON}
            )
        span.end()

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """It failed, or its call was cancelled."""
        del kwargs
        span = self._spans.pop(run_id, None)
        if span is not None:
            kind = type(error)
            name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            span.set_attribute(names.ERROR_TYPE, name)
            span.set_status(StatusCode.ERROR, name)
            span.end()

    def _messages(self, messages: Sequence[BaseMessage], attribute: str) -> str:
        """Messages in the form of the conventions: a role and parts."""
        assert self._show is not None
        shown: list[dict[str, Any]] = []
        for message in messages:
            parts: list[dict[str, Any]] = []
            text = str(message.text)
            if text:
                kind = "tool_call_response" if message.type == "tool" else "text"
                parts.append({"type": kind, "content": self._show(attribute, text)})
            for call in getattr(message, "tool_calls", ()):
                arguments = self._show(attribute, json.dumps(call.get("args"), default=repr))
                part = {"type": "tool_call", "id": call.get("id"), "name": call.get("name"), "arguments": arguments}
                parts.append(part)
            shown.append({"role": _ROLES.get(message.type, message.type), "parts": parts})
        return json.dumps(shown, ensure_ascii=False)


_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def _name(serialized: dict[str, Any] | None) -> str:
    found: Any = (serialized or {}).get("name")
    return str(found) if found else "unknown"


_PARTS_OF_USAGE = (
    (names.CACHE_READ_TOKENS, "input_token_details", "cache_read"),
    (names.CACHE_CREATION_TOKENS, "input_token_details", "cache_creation"),
    (names.REASONING_TOKENS, "output_token_details", "reasoning"),
)
"""Attribute, and where LangChain's usage metadata has the number of tokens, which the totals include."""


def _answered(message: BaseMessage) -> dict[str, Any]:
    """The metadata of an answer: tokens, model, id, finish reason."""
    found: dict[str, Any] = {}
    used: Any = getattr(message, "usage_metadata", None)
    if used:
        found[names.INPUT_TOKENS] = found[names.LLM_PROMPT_TOKENS] = int(used.get("input_tokens") or 0)
        found[names.OUTPUT_TOKENS] = found[names.LLM_COMPLETION_TOKENS] = int(used.get("output_tokens") or 0)
        found[names.LLM_TOKENS] = int(used.get("total_tokens") or 0)
        for attribute, half, part in _PARTS_OF_USAGE:
            details: Any = used.get(half)
            if details and details.get(part):
                found[attribute] = int(details[part])
    about: dict[str, Any] = message.response_metadata
    if isinstance(model := about.get("model_name") or about.get("model"), str):
        found[names.RESPONSE_MODEL] = plain(model, 100)
    if isinstance(identifier := about.get("id"), str):
        found[names.RESPONSE_ID] = plain(identifier, 200)
    if isinstance(reason := about.get("finish_reason") or about.get("stop_reason"), str):
        found[names.FINISH_REASONS] = (plain(reason, 60),)
    return found


__all__ = ["ModelSpans", "span_handler"]
