"""A scripted server that speaks the OpenAI chat completions protocol over HTTP, streaming included."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from langchain_openai import ChatOpenAI


@dataclass(frozen=True)
class Says:
    """The model answers with text, or with calls of the tool it was offered: arguments as data, or as raw text."""

    text: str | None = None
    calls: tuple[Any, ...] = ()
    tool: str = "answer_impasse"
    after: float = 0.0
    """Seconds until it answers."""


@dataclass(frozen=True)
class Fails:
    """The server answers with an HTTP error, or with bytes that are no protocol at all."""

    status: int = 500
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b'{"error": {"message": "out of order", "type": "server_error"}}'


def chooses(choice: Any, **rest: Any) -> Says:
    """A well-formed choice by tool call."""
    return Says(calls=({"choice": choice, "message": "because", **rest},))


@dataclass
class ModelServer:
    """What it will say, in order (the last is repeated), and what it was asked."""

    script: list[Says | Fails] = field(default_factory=list[Says | Fails])
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    url: str = ""

    def next(self) -> Says | Fails:
        """The reply to the request that was just recorded."""
        return self.script[min(len(self.requests), len(self.script)) - 1]

    def model(self, **options: Any) -> ChatOpenAI:
        """A LangChain chat model that talks to this server; it does not retry by itself."""
        given: dict[str, Any] = {"model": "scripted", "base_url": self.url, "api_key": "none", "max_retries": 0}
        return ChatOpenAI(**{**given, **options})

    @property
    def prompts(self) -> list[str]:
        """The user messages that it got."""
        return [request["messages"][-1]["content"] for request in self.requests]


@contextmanager
def serving(*script: Says | Fails) -> Generator[ModelServer]:
    """A server on the loopback interface that follows the script."""
    model_server = ModelServer(list(script))

    class Handler(_Handler):
        scripted = model_server

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    model_server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield model_server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    scripted: ModelServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.scripted.requests.append(request)
        reply = self.scripted.next()
        if isinstance(reply, Fails):
            return self._send(reply.status, reply.body, reply.headers)
        time.sleep(reply.after)
        if request.get("stream"):
            return self._send(200, _stream(reply), (("Content-Type", "text/event-stream"),))
        return self._send(200, json.dumps(_completion(reply)).encode(), (("Content-Type", "application/json"),))

    def _send(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...]) -> None:
        try:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client did not wait

    def log_message(self, format: str, *args: Any) -> None:
        pass


USAGE = {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220}


def _calls(reply: Says) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{place}",
            "type": "function",
            "function": {"name": reply.tool, "arguments": made if isinstance(made, str) else json.dumps(made)},
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
        arguments = call["function"]["arguments"]
        opening = {**call, "index": place, "function": {**call["function"], "arguments": ""}}
        deltas.append({"tool_calls": [opening]})
        for start in range(0, len(arguments), 5):
            piece = {"index": place, "function": {"arguments": arguments[start : start + 5]}}
            deltas.append({"tool_calls": [piece]})
    head = _head("chat.completion.chunk")
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({**head, "choices": [], "usage": USAGE})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
