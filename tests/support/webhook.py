"""A local web server that receives notifications by webhook."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Inbox:
    """What the server received, and what it answers."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.arrived = threading.Event()
        self.status = 204
        self.url = ""


@contextmanager
def receiving(path: str = "/hook") -> Generator[Inbox]:
    """A server on a port of this machine."""
    box = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            box.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            box.headers.append(dict(self.headers))
            self.send_response(box.status)
            self.send_header("Location", box.url)
            self.send_header("Content-Length", "0")
            self.end_headers()
            box.arrived.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    box.url = f"http://127.0.0.1:{server.server_port}{path}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
