"""Tools of an HTTP API from its OpenAPI description: methods become effects, schemas become types.

`python examples/openapi_tools.py` serves a small API on this machine whose first answer is 503, and reads from it.
"""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from orchestrator import Orchestrator, tools_from_openapi

SPEC = """
openapi: 3.1.0
paths:
  /pets/{petId}:
    get:
      operationId: getPet
      parameters: [{name: petId, in: path, required: true, schema: {type: integer}}]
      responses:
        "200":
          content:
            application/json:
              schema: {type: object, required: [name], properties: {name: {type: string}}}
"""


@contextmanager
def pet_shop() -> Generator[str]:
    """An API whose first answer is 503."""
    statuses = [503]

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            body = json.dumps({"name": "Rex"}).encode()
            self.send_response(statuses.pop() if statuses else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Read a pet."""
    with pet_shop() as url:
        orc = Orchestrator(tools_from_openapi(SPEC, base_url=url, gives={"getPet": "pet"}))
        outcome = orc.run_sync("pet", {"petId": 7})
        print(outcome.value.name, [(call.tool, call.attempt, call.error) for call in outcome.calls])
        orc.close()


if __name__ == "__main__":
    main()
