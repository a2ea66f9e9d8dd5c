"""Anthropic's wire protocol: the Messages API with tool use, streamed as server-sent events too, and its errors."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from tests.escalation.model_server import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Fails,
    ModelServer,
    Says,
    Sent,
    as_json,
    as_text,
    pieces,
    serving_protocol,
)

_FIELDS = {
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "stream", "temperature", "top_k", "top_p",
    "stop_sequences", "metadata", "thinking", "output_config", "service_tier", "cache_control", "container",
    "context_management", "mcp_servers", "inference_geo",
}  # fmt: skip
_LIMITS = {"minimum", "maximum", "multipleOf", "minLength", "maxLength", "maxItems"}
"""Words of JSON Schema that constrained decoding does not know."""
OVERLOADED = Fails(529, (("Content-Type", "application/json"),), b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}')  # fmt: skip  # noqa: E501


def limited(seconds: float) -> Fails:
    """Too many requests; come again in so many seconds."""
    body = {"type": "error", "error": {"type": "rate_limit_error", "message": "This would exceed your rate limit"}}
    headers = (("retry-after", f"{seconds:g}"), ("anthropic-ratelimit-requests-remaining", "0"))
    return Fails(429, (*headers, ("Content-Type", "application/json")), json.dumps(body).encode())


class AnthropicProtocol:
    """The Messages API. `tools`, `schemas`: whether the model knows them."""

    def __init__(self, *, tools: bool = True, schemas: bool = True) -> None:
        self.tools = tools
        self.schemas = schemas

    def refused(self, path: str, headers: Any, request: dict[str, Any]) -> Sent | None:
        """The errors of the API."""
        if path != "/v1/messages":
            return _error(404, "not_found_error", "Not found")
        if not headers["x-api-key"] and not str(headers["Authorization"]).startswith("Bearer "):
            return _error(401, "authentication_error", "x-api-key header is required")
        if not headers["anthropic-version"]:
            return _error(400, "invalid_request_error", "anthropic-version: header is required")
        wrong = next(self._wrong(request), None)
        return None if wrong is None else _error(400, "invalid_request_error", wrong)

    def answer(self, path: str, request: dict[str, Any], says: Says) -> Sent:
        """A message, whole or streamed."""
        if request.get("stream"):
            return Sent(200, b"".join(_events(request["model"], says)), "text/event-stream")
        return as_json(_message(request["model"], says))

    def _wrong(self, request: dict[str, Any]) -> Iterator[str]:
        unknown = sorted(set(request) - _FIELDS)
        if unknown:
            yield f"{unknown[0]}: Extra inputs are not permitted"
        if not isinstance(request.get("max_tokens"), int) or request["max_tokens"] < 1:
            yield "max_tokens: Field required"
        if any(message["role"] not in ("user", "assistant") for message in request["messages"]):
            yield "messages.0.role: Input should be 'user' or 'assistant'"
        for tool in request.get("tools", ()):
            if not self.tools:
                yield "tools: this model does not support tool use"
            if tool.get("input_schema", {}).get("type") != "object":
                yield "tools.0.custom.input_schema.type: Field required"
        choice = request.get("tool_choice")
        if choice is not None and choice.get("type") not in ("auto", "any", "tool", "none"):
            yield "tool_choice: Input tag is not one of 'auto', 'any', 'tool', 'none'"
        if request.get("thinking", {}).get("type") == "enabled" and choice and choice["type"] in ("any", "tool"):
            yield "Thinking may not be enabled when tool_choice forces tool use."
        yield from self._wrong_format(request.get("output_config", {}).get("format"))

    def _wrong_format(self, asked: dict[str, Any] | None) -> Iterator[str]:
        if asked is None:
            return
        if not self.schemas:
            yield "output_config.format: this model does not support structured outputs"
        schema = asked.get("schema", {})
        if asked.get("type") != "json_schema" or schema.get("type") != "object":
            yield "output_config.format.type: Input should be 'json_schema'"
        if schema.get("additionalProperties") is not False:
            yield "output_config.format.schema: 'additionalProperties' must be explicitly set to false"
        for name, part in schema.get("properties", {}).items():
            for word in sorted(_LIMITS & set(part)):
                yield f"output_config.format.schema: For {name!r}, property {word!r} is not supported"


@contextmanager
def serving_anthropic(*script: Says | Fails, tools: bool = True, schemas: bool = True) -> Generator[ModelServer]:
    """A server on the loopback interface that follows the script."""
    server = ModelServer(list(script))
    with serving_protocol(server, AnthropicProtocol(tools=tools, schemas=schemas)):
        yield server


def _error(status: int, kind: str, message: str) -> Sent:
    return as_json({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}, status)


def _blocks(says: Says) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [] if says.text is None else [{"type": "text", "text": says.text}]
    for place, made in enumerate(says.calls):
        blocks.append({"type": "tool_use", "id": f"toolu_{place}", "name": says.tool, "input": made})
    return blocks


def _message(model: str, says: Says) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _blocks(says),
        "stop_reason": "tool_use" if says.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
    }


def _events(model: str, says: Says) -> Iterator[bytes]:
    """message_start, for each block its start, deltas and stop, message_delta, message_stop; a ping in between."""
    whole = _message(model, says)
    usage = {"input_tokens": INPUT_TOKENS, "output_tokens": 1}
    yield _event("message_start", message={**whole, "content": [], "stop_reason": None, "usage": usage})
    yield _event("ping")
    for index, block in enumerate(_blocks(says)):
        start, deltas = _deltas(block)
        yield _event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=ended, usage=whole["usage"])
    yield _event("message_stop")


def _deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins, and the pieces of the rest."""
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    written = pieces(as_text(block["input"]))
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in written]


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()
