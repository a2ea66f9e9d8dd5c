"""Real servers on loopback that misbehave as they are told to: HTTP, and mail."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Request:
    """What was asked of an HTTP server."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What it answers. Without a status it hangs up after reading the request."""

    status: int | None = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])


Behaviour = Callable[[Request], Reply]


@contextmanager
def http_server(behave: Behaviour) -> Generator[str]:
    """An HTTP server that answers as `behave` says; its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(self.command, self.path, dict(self.headers), self.rfile.read(length))
            reply = behave(request)
            if reply.status is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815  # the names that http.server asks for

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Mailbox:
    """What a mail server took, and how it is to behave: `say` answers MAIL, RCPT and DATA in the place of 250."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.say: dict[str, str] = {}
        self.hang_up: str | None = None
        """`before` or `after` the mail was taken."""

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        del server, session, options
        envelope.mail_from = address
        return self.say.get("MAIL", "250 OK")

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        del server, session, options
        said = self.say.get("RCPT", "250 OK")
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        del session
        said = self.say.get("DATA", "250 OK")
        if self.hang_up != "before" and said.startswith("250"):
            self.mails.append(envelope)
        if self.hang_up is not None:
            server.transport.abort()
        return said

    def was_sent(self, message_id: str) -> bool:
        """Whether a mail with this Message-ID was taken."""
        return any(message_id.encode() in mail.content for mail in self.mails)


@contextmanager
def mail_server(mailbox: Mailbox) -> Generator[dict[str, Any]]:
    """A mail server that fills `mailbox`; its settings, as `deps.smtp` wants them."""
    controller = Controller(mailbox, hostname="127.0.0.1", port=closed_port())
    controller.start()
    try:
        yield {"host": "127.0.0.1", "port": controller.port, "sender": "clerk@marren.test"}
    finally:
        controller.stop()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
