"""OpenAI's wire protocol: chat completions and responses, streaming included; and what vLLM makes of it."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_openai import ChatOpenAI

from tests.escalation.model_server import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Fails,
    ModelServer,
    Says,
    Sent,
    as_json,
    as_text,
    chooses,
    pieces,
    serving_protocol,
)


class OpenAIServer(ModelServer):
    """A server of chat models that LangChain's `ChatOpenAI` talks to."""

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"{self.root}/v1"

    def model(self, **options: Any) -> ChatOpenAI:
        """A LangChain chat model that talks to this server."""
        given: dict[str, Any] = {"model": "scripted", "base_url": self.url, "api_key": "none", "max_retries": 0}
        return ChatOpenAI(**{**given, **options})

    @property
    def prompts(self) -> list[str]:
        """The user messages that it got."""
        return [request["messages"][-1]["content"] for request in self.requests]


@dataclass(frozen=True)
class OpenAIProtocol:
    """Chat completions and responses. `tools`, `guided`: whether the server knows them, as vLLM may or may not."""

    tools: bool = True
    guided: bool = True

    def refused(self, path: str, headers: Any, request: dict[str, Any]) -> Sent | None:
        """The errors of OpenAI's API, and those of vLLM without a parser for tools."""
        if path not in ("/v1/chat/completions", "/v1/responses"):
            return _error(404, f"Invalid URL (POST {path})", "invalid_request_error")
        if not str(headers["Authorization"]).startswith("Bearer "):
            return _error(401, "You didn't provide an API key.", "invalid_request_error")
        if "tools" in request and not self.tools:
            said = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
            return _error(400, said, "BadRequestError")
        if "response_format" in request and not self.guided:
            return _error(400, "guided decoding is not supported by this engine", "BadRequestError")
        for tool in request.get("tools", ()):
            if tool["type"] != "function" or "name" not in tool.get("function", tool):
                return _error(400, "Missing required parameter: 'tools[0].function.name'.", "invalid_request_error")
        return None

    def answer(self, path: str, request: dict[str, Any], says: Says) -> Sent:
        """A completion or a response, whole or streamed."""
        if path == "/v1/responses":
            return as_json(_response(says))
        if request.get("stream"):
            return Sent(200, _stream(says), "text/event-stream")
        return as_json(_completion(says))


@contextmanager
def serving(*script: Says | Fails, tools: bool = True, guided: bool = True) -> Generator[OpenAIServer]:
    """A server on the loopback interface that follows the script."""
    server = OpenAIServer(list(script))
    with serving_protocol(server, OpenAIProtocol(tools, guided)):
        yield server


def _error(status: int, message: str, kind: str) -> Sent:
    return as_json({"error": {"message": message, "type": kind, "param": None, "code": None}}, status)


USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


def _calls(reply: Says) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{place}",
            "type": "function",
            "function": {"name": reply.tool, "arguments": as_text(made)},
        }
        for place, made in enumerate(reply.calls)
    ]


def _completion(reply: Says) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.calls:
        message["tool_calls"] = _calls(reply)
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if reply.calls else "stop"}
    return {**_head("chat.completion"), "choices": [choice], "usage": USAGE}


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "scripted"}


def _stream(reply: Says) -> bytes:
    """The same as server-sent events: text by the character, arguments in pieces of five."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": character} for character in reply.text or ""]
    for place, call in enumerate(_calls(reply)):
        deltas.append({"tool_calls": [{**call, "index": place, "function": {**call["function"], "arguments": ""}}]})
        for piece in pieces(call["function"]["arguments"]):
            deltas.append({"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
    head = _head("chat.completion.chunk")
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({**head, "choices": [], "usage": USAGE})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _response(reply: Says) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    if reply.text is not None:
        part = {"type": "output_text", "text": reply.text, "annotations": []}
        said = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}
        output.append(said)
    for place, made in enumerate(reply.calls):
        call = {"type": "function_call", "id": f"fc_{place}", "call_id": f"call_{place}", "name": reply.tool}
        output.append({**call, "arguments": as_text(made), "status": "completed"})
    usage = {
        "input_tokens": INPUT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }
    head = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "scripted"}
    rest: dict[str, Any] = {
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "tools": [],
    }
    return {**head, **rest, "output": output, "parallel_tool_calls": True, "tool_choice": "auto", "usage": usage}


__all__ = ["Fails", "OpenAIProtocol", "OpenAIServer", "Says", "chooses", "serving"]
