"""An MCP server over HTTP that misbehaves as it is told to: JSON answers, a session id, statuses of a gateway."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ECHO = {
    "name": "echo",
    "inputSchema": {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
}


class OddServer:
    """Listens on a port of its own; `next` are the answers to the next calls, `opening` and `listing` those to requests
    that open a session or list the tools, `unknown` that to an unknown session.
    """

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.calls: list[int] = []
        self.next: list[tuple[int, dict[str, str], bytes]] = []
        self.opening: list[tuple[int, dict[str, str], bytes]] = []
        self.listing: list[tuple[int, dict[str, str], bytes]] = []
        self.unknown: tuple[int, bytes] = (404, b"")
        handler = type("Handler", (_Handler,), {"odd": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/mcp"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    odd: OddServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.say(405)

    def do_DELETE(self) -> None:
        self.say(200)

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, number = message.get("method"), message.get("id")

        def ok(result: Any, **headers: str) -> None:
            self.say(200, json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode(), **headers)

        if method == "server/discover":
            return self.say(404)
        if method == "initialize" and self.odd.opening:
            status, headers, body = self.odd.opening.pop(0)
            return self.say(status, body, **headers)
        if method == "initialize":
            session = uuid.uuid4().hex
            self.odd.sessions.add(session)
            info = {"serverInfo": {"name": "odd", "version": "1"}, "capabilities": {"tools": {}}}
            return ok({"protocolVersion": "2025-06-18", **info}, mcp_session_id=session)
        if self.headers.get("mcp-session-id") not in self.odd.sessions:
            return self.say(*self.odd.unknown)
        if number is None:
            return self.say(202)
        if method == "tools/list" and self.odd.listing:
            status, headers, body = self.odd.listing.pop(0)
            return self.say(status, body, **headers)
        if method == "tools/list":
            return ok({"tools": [ECHO]})
        if self.odd.next:
            status, headers, body = self.odd.next.pop(0)
            self.odd.calls.append(status)
            return self.say(status, body, **headers)
        self.odd.calls.append(200)
        return ok({"content": [{"type": "text", "text": message["params"]["arguments"]["message"]}]})
