"""Ollama's wire protocol: `/api/chat` as newline-delimited JSON, with tools and with a JSON schema as the format."""

import json
from collections.abc import Generator
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
    pieces,
    serving_protocol,
)

MODEL = "scripted"


class OllamaProtocol:
    """The chat API of a server that has one model. `tools`: whether that model's template knows them."""

    def __init__(self, *, tools: bool = True, breaks: bool = False) -> None:
        self.tools = tools
        self.breaks = breaks
        """Whether the stream ends with an error in its middle."""

    def refused(self, path: str, headers: Any, request: dict[str, Any]) -> Sent | None:
        """The errors of the API."""
        if path != "/api/chat":
            return as_json({"error": "404 page not found"}, 404)
        if request["model"] != MODEL:
            return as_json({"error": f"model '{request['model']}' not found"}, 404)
        if request.get("tools") and not self.tools:
            return as_json({"error": f"registry.ollama.ai/library/{MODEL} does not support tools"}, 400)
        asked = request.get("format")
        if asked not in (None, "", "json") and not isinstance(asked, dict):
            return as_json({"error": f'invalid format: "{asked}"'}, 400)
        return None

    def answer(self, path: str, request: dict[str, Any], says: Says) -> Sent:
        """Lines of JSON, or one object where no stream is wanted. Ollama streams unless it is told not to."""
        message: dict[str, Any] = {"role": "assistant", "content": says.text or ""}
        if says.calls:
            message["tool_calls"] = [{"function": {"name": says.tool, "arguments": made}} for made in says.calls]
        if not request.get("stream", True):
            return as_json({**_head(), "message": message, **_end()})
        lines = [
            {**_head(), "message": {"role": "assistant", "content": piece}, "done": False}
            for piece in pieces(says.text or "")
        ]
        if says.calls:
            lines.append({**_head(), "message": {**message, "content": ""}, "done": False})
        if self.breaks:
            lines.append({"error": "llama runner process has terminated: signal: killed"})
        else:
            lines.append({**_head(), "message": {"role": "assistant", "content": ""}, **_end()})
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return Sent(200, body, "application/x-ndjson")


@contextmanager
def serving_ollama(*script: Says | Fails, tools: bool = True, breaks: bool = False) -> Generator[ModelServer]:
    """A server on the loopback interface that follows the script."""
    server = ModelServer(list(script))
    with serving_protocol(server, OllamaProtocol(tools=tools, breaks=breaks)):
        yield server


def _head() -> dict[str, Any]:
    return {"model": MODEL, "created_at": "2026-03-01T12:00:00.000000Z"}


def _end() -> dict[str, Any]:
    durations = {"total_duration": 500_000_000, "load_duration": 1_000_000, "eval_duration": 300_000_000}
    counts = {"prompt_eval_count": INPUT_TOKENS, "eval_count": OUTPUT_TOKENS}
    return {"done": True, "done_reason": "stop", **durations, **counts}
