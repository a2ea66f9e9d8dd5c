"""A scripted model server on the loopback interface; what it speaks is one `Protocol` per file beside this one."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

INPUT_TOKENS, OUTPUT_TOKENS = 200, 20
"""What every answer reports to have used."""


@dataclass(frozen=True)
class Says:
    """The model answers with text, or with calls of the tool it was offered: arguments as data, or as raw text."""

    text: str | None = None
    calls: tuple[Any, ...] = ()
    tool: str = "answer"
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


@dataclass(frozen=True)
class Sent:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Speaks(Protocol):
    """A wire protocol."""

    def refused(self, path: str, headers: Any, request: dict[str, Any]) -> Sent | None:
        """What a real server answers to a request that its protocol does not allow; `None` for one that it does."""
        ...

    def answer(self, path: str, request: dict[str, Any], says: Says) -> Sent:
        """The answer in the form that was asked for."""
        ...


@dataclass
class ModelServer:
    """What it will say, in order (the last is repeated), and what it was asked."""

    script: list[Says | Fails] = field(default_factory=list[Says | Fails])
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    paths: list[str] = field(default_factory=list[str])
    turned_down: list[Sent] = field(default_factory=list[Sent])
    """Answers to requests that the protocol does not allow; they use up none of the script."""
    root: str = ""
    """`http://127.0.0.1:PORT`."""

    def next(self) -> Says | Fails:
        """The reply to the request that was just recorded."""
        return self.script[min(len(self.requests) - len(self.turned_down), len(self.script)) - 1]


@contextmanager
def serving_protocol(model_server: ModelServer, protocol: Speaks) -> Generator[None]:
    """Have a server speak a protocol on the loopback interface."""

    class Handler(_Handler):
        scripted = model_server
        speaks = protocol

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    model_server.root = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    scripted: ModelServer
    speaks: Speaks

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.scripted.requests.append(request)
        self.scripted.paths.append(self.path)
        refused = self.speaks.refused(self.path, self.headers, request)
        if refused is not None:
            self.scripted.turned_down.append(refused)
            return self._send(refused)
        reply = self.scripted.next()
        if isinstance(reply, Fails):
            return self._send(Sent(reply.status, reply.body, "", reply.headers))
        time.sleep(reply.after)
        return self._send(self.speaks.answer(self.path, request, reply))

    def _send(self, sent: Sent) -> None:
        try:
            self.send_response(sent.status)
            for name, value in sent.headers:
                self.send_header(name, value)
            if sent.content_type:
                self.send_header("Content-Type", sent.content_type)
            self.send_header("Content-Length", str(len(sent.body)))
            self.end_headers()
            self.wfile.write(sent.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client did not wait

    def log_message(self, format: str, *args: Any) -> None:
        pass


def as_json(data: Any, status: int = 200) -> Sent:
    """Data as a JSON answer."""
    return Sent(status, json.dumps(data).encode())


def pieces(text: str, size: int = 5) -> list[str]:
    """A text as a stream sends it."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def as_text(arguments: Any) -> str:
    """Arguments of a tool call as the text that a model writes."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
