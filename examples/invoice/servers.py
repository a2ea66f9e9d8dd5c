"""What the invoice example talks to, all on this machine: payment gateways that fail on demand, and a mail server."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.controller import Controller

TOKEN = "test-token"


class Gateway:
    """A payment gateway. `book` is what it has really charged.

    `faults` says what happens to the next requests, one after another: `silent` charges and does not answer, `decline`
    answers 402, `busy` 503, `die` charges and stops listening; nothing: it works.
    """

    def __init__(self, name: str, *, honours_keys: bool) -> None:
        self.name = name
        self.honours_keys = honours_keys
        self.faults: list[str] = []
        self.book: list[dict[str, Any]] = []
        self.requests = 0
        self._by_key: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._address = ("127.0.0.1", 0)

    @property
    def deps(self) -> dict[str, Any]:
        """How it is reached."""
        return {"url": f"http://{self._address[0]}:{self._address[1]}", "token": TOKEN}

    def start(self) -> None:
        """Listen; on the same port as before, when it was stopped."""
        self._closing.clear()
        self._server = ThreadingHTTPServer(self._address, _handler(self))
        self._address = ("127.0.0.1", self._server.server_port)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Stop listening: whoever connects now is refused."""
        server, self._server = self._server, None
        self._closing.set()
        if server is not None:
            server.shutdown()
            server.server_close()

    def charge(self, order: dict[str, Any], key: str | None) -> dict[str, Any]:
        """Charge once per key, or once per request where keys are not honoured."""
        with self._lock:
            known = self._by_key.get(key) if key is not None and self.honours_keys else None
            if known is not None:
                return known
            charged = {**order, "id": f"{self.name}-{len(self.book) + 1}"}
            self.book.append(charged)
            if key is not None:
                self._by_key[key] = charged
            return charged

    def post(self, order: dict[str, Any], key: str | None) -> tuple[int, Any] | None:
        """Status and body; `None` when there is no answer."""
        with self._lock:
            self.requests += 1
            fault = self.faults.pop(0) if self.faults else ""
        if fault == "decline":
            return 402, {"error": "the limit of the account is exceeded"}
        if fault == "busy":
            return 503, {"error": "try again later"}
        charged = self.charge(order, key)
        if fault == "die":
            threading.Thread(target=self.stop).start()
        if fault in ("silent", "die"):
            self._closing.wait(5)
            return None
        return 201, charged


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                return self.answer(401, {"error": "who are you?"})
            said = gateway.post(order, self.headers["Idempotency-Key"])
            return self.answer(*said) if said is not None else None

        def do_GET(self) -> None:
            (reference,) = parse_qs(urlsplit(self.path).query)["reference"]
            self.answer(200, [charged for charged in gateway.book if charged["reference"] == reference])

        def answer(self, status: int, body: Any) -> None:
            raw = json.dumps(body).encode()
            with suppress(OSError):  # whoever asked may have hung up
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    return Handler


class Mailbox:
    """A mail server's handler that keeps what it takes."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        del server, session
        self.mails.append(envelope.content.decode())
        return "250 OK"


@contextmanager
def mail_server(mailbox: Mailbox, port: int) -> Generator[None]:
    """A mail server on `port` for the length of a `with`."""
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()
