"""What requests of OpenAPI tools carry, and what odd descriptions and answers become, against real HTTP servers."""

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from orchestrator import Goal, Orchestrator
from orchestrator.core.outcome import Outcome
from orchestrator.integrations.openapi import tools_from_openapi

LIST = {"type": "array", "items": {"type": "integer"}}
COLOUR = {"type": "object", "properties": {"R": {"type": "integer"}, "G": {"type": "integer"}}}


class Server:
    """A server that keeps what it was asked and answers what it was told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.headers = {"Content-Type": "application/json"}
        self.body = b"{}"
        kept = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                kept.asked.append((self.path, dict(self.headers), body))
                self.send_response(kept.status)
                for name, value in kept.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(kept.body)))
                self.end_headers()
                self.wfile.write(kept.body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Generator[Server]:
    made = Server()
    yield made
    made.close()


def described(server: Server, method: str = "get", path: str = "/x", **operation: Any) -> dict[str, Any]:
    stated = {"operationId": "op", "responses": {"200": {"description": ""}}, **operation}
    return {"openapi": "3.0.3", "servers": [{"url": server.url}], "paths": {path: {method: stated}}}


async def called(spec: Any, **arguments: Any) -> Outcome[Any]:
    (tool,) = tools_from_openapi(spec)
    keys = {**tool.needs, **tool.optional}
    async with Orchestrator([tool]) as orc:
        return await orc.run(Goal(next(iter(tool.gives))), {keys[name]: value for name, value in arguments.items()})


@pytest.mark.parametrize(
    ("options", "value", "written"),
    [
        ({}, [1, 2], "c=1&c=2"),
        ({"explode": False}, [1, 2], "c=1%2C2"),
        ({"style": "pipeDelimited"}, [1, 2], "c=1%7C2"),
        ({"style": "spaceDelimited"}, [1, 2], "c=1+2"),
        ({}, {"R": 1, "G": 2}, "R=1&G=2"),
        ({"explode": False}, {"R": 1, "G": 2}, "c=R%2C1%2CG%2C2"),
        ({"style": "deepObject"}, {"R": 1, "G": 2}, "c%5BR%5D=1&c%5BG%5D=2"),
        ({"style": "deepObject"}, {"R": [1, 2]}, "c%5BR%5D%5B%5D=1&c%5BR%5D%5B%5D=2"),
        ({"content": {"application/json": {}}}, {"R": 1}, "c=%7B%22R%22%3A1%7D"),
    ],
)
async def test_query_parameters_are_written_in_their_style(
    server: Server, options: dict[str, Any], value: Any, written: str
) -> None:
    schema: dict[str, Any] = {} if "content" in options else {"schema": {}}
    await called(described(server, parameters=[{"name": "c", "in": "query", **schema, **options}]), c=value)
    assert server.asked[0][0] == f"/x?{written}"


@pytest.mark.parametrize(
    ("options", "schema", "value", "written"),
    [
        ({}, LIST, [3, 4], "3,4"),
        ({}, COLOUR, {"R": 1, "G": 2}, "R,1,G,2"),
        ({"explode": True}, COLOUR, {"R": 1, "G": 2}, "R=1,G=2"),
        ({"style": "label"}, LIST, [3, 4], ".3,4"),
        ({"style": "label", "explode": True}, LIST, [3, 4], ".3.4"),
        ({"style": "matrix"}, LIST, [3, 4], ";c=3,4"),
        ({"style": "matrix", "explode": True}, LIST, [3, 4], ";c=3;c=4"),
        ({"style": "matrix", "explode": True}, COLOUR, {"R": 1, "G": 2}, ";R=1;G=2"),
        ({}, {"type": "string"}, "../a?b", "..%2Fa%3Fb"),
    ],
)
async def test_path_parameters_are_written_in_their_style(
    server: Server, options: dict[str, Any], schema: Any, value: Any, written: str
) -> None:
    parameter = {"name": "c", "in": "path", "required": True, "schema": schema, **options}
    await called(described(server, path="/x/{c}/y", parameters=[parameter]), c=value)
    assert server.asked[0][0] == f"/x/{written}/y"


@pytest.mark.parametrize("value", ["", ".", ".."])
async def test_a_value_cannot_make_another_path_of_it(server: Server, value: str) -> None:
    parameter = {"name": "c", "in": "path", "required": True, "schema": {"type": "string"}}
    outcome = await called(described(server, "delete", "/x/{c}", parameters=[parameter]), c=value)
    assert outcome.failures[0].message == f"op: {value!r} cannot stand for {{c}} in /x/{{c}}."
    assert not server.asked


async def test_headers_and_cookies_are_written_and_a_header_takes_no_lines(server: Server) -> None:
    header, cookie = (
        {"name": name, "in": where, "schema": {}} for name, where in (("X-C", "header"), ("sid", "cookie"))
    )
    spec = described(server, parameters=[header, cookie])
    await called(spec, **{"X-C": [1, 2], "sid": "a;b"})
    assert (server.asked[0][1]["X-C"], server.asked[0][1]["Cookie"]) == ("1,2", "sid=a%3Bb")
    outcome = await called(spec, **{"X-C": "a\r\nX-D: 1"})
    assert "takes printable ASCII" in outcome.failures[0].message
    assert len(server.asked) == 1


async def test_an_optional_parameter_whose_name_python_cannot_write_may_be_left_out(server: Server) -> None:
    named = [{"name": name, "in": "query", "schema": {"type": "integer"}} for name in ("page[size]", "from", "$top")]
    spec = described(server, parameters=[*named, {"name": "a-b", "in": "query", "required": True, "schema": LIST}])
    (tool,) = tools_from_openapi(spec)
    assert (set(tool.needs), set(tool.optional)) == ({"a-b"}, {"page[size]", "from", "$top"})
    assert tool.parameter_types["from"] is int
    await called(spec, **{"a-b": [1], "page[size]": 3})
    assert server.asked[0][0] == "/x?page%5Bsize%5D=3&a-b=1"


async def test_one_name_in_two_places_is_two_parameters(server: Server) -> None:
    places = [{"name": "id", "in": "query", "schema": {}}, {"name": "id", "in": "path", "schema": {"type": "integer"}}]
    await called(described(server, path="/x/{id}?v=1", parameters=places), id=5, id_query="q")
    assert server.asked[0][0] == "/x/5?v=1&id=q"


BINARY = {"type": "string", "format": "binary"}
FORM = {
    "type": "object",
    "properties": {"file": BINARY, "note": {"type": "string"}, "tags": {"type": "array"}, "c": COLOUR},
}


@pytest.mark.parametrize(
    ("kind", "schema", "value", "sent"),
    [
        ("application/octet-stream", BINARY, b"\x00\xff", b"\x00\xff"),
        ("text/plain", {"type": "string"}, "h\u00e9", b"h\xc3\xa9"),
        ("application/merge-patch+json", {"type": "object"}, {"a": None}, b'{"a":null}'),
        (
            "application/x-www-form-urlencoded",
            FORM,
            {"tags": [1, 2], "c": {"R": 1}},
            b"tags=1&tags=2&c=%7B%22R%22%3A1%7D",
        ),
    ],
)
async def test_bodies_are_of_the_stated_media_type(
    server: Server, kind: str, schema: Any, value: Any, sent: bytes
) -> None:
    body = {"required": True, "content": {kind: {"schema": schema}}}
    await called(described(server, "post", requestBody=body), body=value)
    assert (server.asked[0][1]["Content-Type"], server.asked[0][2]) == (kind, sent)


async def test_a_multipart_body_has_files_fields_and_json(server: Server) -> None:
    body = {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}
    value = {"file": b"\x00\xff", "note": "hi", "tags": ["a", "b"], "c": {"R": 1}}
    await called(described(server, "post", requestBody=body), body=value)
    sent = server.asked[0][2]
    for part in (
        b'name="file"; filename="file"\r\nContent-Type: application/octet-stream\r\n\r\n\x00\xff\r\n',
        b'name="note"\r\n\r\nhi\r\n',
        b'name="tags"\r\n\r\na\r\n',
        b'name="tags"\r\n\r\nb\r\n',
        b'name="c"\r\nContent-Type: application/json\r\n\r\n{"R":1}\r\n',
    ):
        assert part in sent


async def test_a_required_null_is_sent_and_what_only_the_server_writes_is_not_required(server: Server) -> None:
    properties = {"id": {"type": "integer", "readOnly": True}, "a": {"type": "string", "nullable": True}}
    schema = {"type": "object", "required": ["id", "a"], "properties": properties}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    await called(described(server, "post", requestBody=body), body={"a": None})
    assert server.asked[0][2] == b'{"a":null}'


async def test_an_error_has_the_words_of_the_server_and_no_secret(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "hush")
    server.status, server.body = 409, b'{"detail": "no such colour"}'
    schemes = {"securitySchemes": {"key": {"type": "apiKey", "in": "query", "name": "k"}}}
    outcome = await called({**described(server, security=[{"key": []}]), "components": schemes})
    assert server.asked[0][0] == "/x?k=hush"
    assert [failure.message for failure in outcome.failures] == ["GET /x: 409 Conflict: no such colour"]


async def test_a_redirect_to_another_origin_is_not_sent_the_secret(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "hush")
    schemes = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}
    other = Server()
    server.status, server.headers = 302, {"Location": f"{other.url}/y"}
    try:
        outcome = await called({**described(server, security=[{"key": []}]), "components": schemes})
    finally:
        other.close()
    assert outcome.ok
    assert server.asked[0][1]["X-Key"] == "hush"
    assert other.asked[0][0] == "/y"
    assert "X-Key" not in other.asked[0][1]


async def test_a_success_without_content_fits_an_operation_that_also_answers_with_an_object(server: Server) -> None:
    server.status, server.body = 204, b""
    ok = {"description": "", "content": {"application/json": {"schema": COLOUR}}}
    outcome = await called(described(server, "delete", responses={"200": ok, "204": {"description": ""}}))
    assert (outcome.ok, outcome.value) == (True, None)


async def test_an_answer_that_is_no_json_is_invalid_output(server: Server) -> None:
    server.body = b"<html>"
    outcome = await called(described(server))
    assert outcome.failures[0].kind == "invalid_output"


async def test_fields_of_nested_all_of_are_required(server: Server) -> None:
    base = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    middle = {"allOf": [base, {"properties": {"b": {"type": "string"}}}]}
    schema = {"allOf": [middle, {"properties": {"c": {"type": "string"}}}]}
    spec = described(
        server, responses={"200": {"description": "", "content": {"application/json": {"schema": schema}}}}
    )
    server.body = b'{"b": "x"}'
    assert "id: Field required" in (await called(spec)).failures[0].message


async def test_yaml_words_for_yes_and_no_and_dates_are_texts(server: Server) -> None:
    spec = f"""
openapi: 3.0.0
servers: [{{url: '{server.url}'}}]
paths:
  /x:
    parameters:
    get:
      operationId: 取得
      parameters: [{{name: on, in: query, schema: {{enum: [no, 2024-01-02]}}}}]
      security:
      responses:
        200: {{description: ok}}
"""
    (tool,) = tools_from_openapi(spec)
    assert (tool.name, set(tool.optional)) == ("get_x", {"on"})
    await called(spec, on="2024-01-02")
    assert server.asked[0][0] == "/x?on=2024-01-02"


@pytest.mark.parametrize(
    ("security", "sent", "reached"),
    [
        ([{"key": []}], None, False),
        ([{"key": []}, {}], None, True),
        ([{}, {"key": []}], "s3cret", True),
        ([], None, True),
    ],
)
async def test_a_credential_that_is_optional_is_sent_where_it_is_at_hand(
    server: Server, monkeypatch: pytest.MonkeyPatch, security: Any, sent: str | None, reached: bool
) -> None:
    spec = described(server, security=security)
    spec["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}
    monkeypatch.delenv("KEY", raising=False)
    if sent:
        monkeypatch.setenv("KEY", sent)
    assert (await called(spec)).ok is reached
    assert [headers.get("X-Key") for _, headers, _ in server.asked] == [sent] * reached
