"""Tools from OpenAPI descriptions, against a real HTTP server."""

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel

import orchestrator
from orchestrator import DefinitionError, Orchestrator, Policy
from orchestrator.integrations.openapi import tools_from_openapi

QUICK = Policy(retries={"base_seconds": 0.001})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
PET = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "string"},
        "class": {"type": "string"},
        "parent": {"$ref": "#/components/schemas/Pet"},
        "mood": {"enum": ["calm", "wild"]},
        "tag": {"type": "string", "nullable": True},
    },
}


def answers(schema: dict[str, Any]) -> dict[str, Any]:
    return {"200": {"description": "ok", "content": {"application/json": {"schema": schema}}}}


REFERENCE = {"$ref": "#/components/schemas/Pet"}
BODY = {"required": True, "content": {"application/json": {"schema": REFERENCE}}}
SPEC: dict[str, Any] = {
    "openapi": "3.0.3",
    "components": {
        "schemas": {"Pet": PET},
        "securitySchemes": {
            "api_key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "token": {"type": "http", "scheme": "bearer"},
        },
    },
    "paths": {
        "/pets/{petId}": {
            "parameters": [{"name": "petId", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "get": {
                "operationId": "getPet",
                "summary": "One pet.",
                "parameters": [
                    {"name": "fields", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}}
                ],
                "responses": answers(REFERENCE),
            },
            "put": {"operationId": "putPet", "requestBody": BODY, "responses": answers(REFERENCE)},
        },
        "/pets": {
            "post": {
                "operationId": "addPet",
                "requestBody": BODY,
                "responses": answers(REFERENCE),
                "security": [{"api_key": []}],
            }
        },
        "/payments": {
            "post": {
                "operationId": "pay",
                "parameters": [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
                "responses": answers({"type": "string"}),
            }
        },
    },
}


class World:
    """What the server was asked, and what it shall answer next."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.next: list[tuple[int, dict[str, str]]] = []
        self.url = ""


@pytest.fixture
def world() -> Generator[World]:
    made = World()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            given = json.loads(body) if body else None
            made.asked.append((self.command, self.path, dict(self.headers), given))
            status, headers = made.next.pop(0) if made.next else (200, {})
            pet = {"id": 7, "name": "rex", "class": "dog", "extra": 1}
            said = json.dumps("paid" if "payments" in self.path else pet if status == 200 else {"error": "no"}).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_PUT = do_POST = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


def test_the_name_is_public() -> None:
    assert orchestrator.tools_from_openapi is tools_from_openapi


def test_methods_become_effects_and_schemas_types(world: World) -> None:
    tools = {tool.name: tool for tool in tools_from_openapi(SPEC, base_url=world.url)}
    assert {name: str(tool.effect) for name, tool in tools.items()} == {
        "getPet": "read",
        "putPet": "write",
        "addPet": "write",
        "pay": "write",
    }
    assert tools["getPet"].needs == {"petId": "petId"}
    assert tools["getPet"].optional == {"fields": "fields"}
    assert tools["getPet"].parameter_types == {"petId": int, "fields": list[str]}
    assert issubclass(tools["getPet"].gives["getPet"], BaseModel)
    assert (tools["putPet"].reconcile is None, tools["addPet"].reconcile is None) == (False, True)
    for told in tools_from_openapi(SPEC, base_url=world.url, effects=dict.fromkeys(tools, "read")):
        assert (str(told.effect), told.reconcile) == ("read", None)


async def test_a_call_sends_what_the_description_says(world: World) -> None:
    tools = tools_from_openapi(
        SPEC, ["getPet"], base_url=world.url, needs={"getPet": {"petId": "pet_id"}}, gives={"getPet": "pet"}
    )
    async with Orchestrator(tools) as orc:
        outcome = await orc.run("pet", {"pet_id": 7, "fields": ["a", "b c"]})
    assert (outcome.value.name, outcome.value.class_) == ("rex", "dog")
    assert world.asked[0][:2] == ("GET", "/pets/7?fields=a&fields=b+c")


async def test_a_call_carries_the_trace_of_its_attempt(world: World) -> None:
    provider = TracerProvider()
    async with Orchestrator(
        tools_from_openapi(SPEC, ["getPet"], base_url=world.url), tracer_provider=provider, monitors=()
    ) as orc:
        outcome = await orc.run("getPet", {"petId": 7})
    carried = {name.lower(): value for name, value in world.asked[0][2].items()}
    assert outcome.trace_id
    assert carried["traceparent"].split("-")[1] == outcome.trace_id


@pytest.mark.parametrize(("status", "kind"), [(503, "transient"), (429, "transient"), (500, "transient")])
async def test_a_read_is_tried_again_after_a_passing_error(world: World, status: int, kind: str) -> None:
    world.next = [(status, {"retry-after": "0"})]
    async with Orchestrator(tools_from_openapi(SPEC, ["getPet"], base_url=world.url), policy=QUICK) as orc:
        outcome = await orc.run("getPet", {"petId": 7})
    assert outcome.ok
    assert [(f.kind, f.status) for f in outcome.failures] == [(kind, status)]


async def test_a_post_that_may_have_happened_is_not_sent_again_but_a_put_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    pet = {"id": 7, "name": "rex"}
    async with Orchestrator(tools_from_openapi(SPEC, base_url=world.url), policy=QUICK) as orc:
        world.next = [(503, {})]
        post = await orc.run("addPet", {"addPet.body": pet})
        world.next = [(503, {})]
        put = await orc.run("putPet", {"petId": 7, "putPet.body": pet})
    assert [f.kind for f in post.failures] == ["ambiguous"]
    assert (post.ok, put.ok) == (False, True)
    assert [method for method, *_ in world.asked] == ["POST", "PUT", "PUT"]
    assert world.asked[0][2]["X-Key"] == "secret"
    assert world.asked[0][3] == pet


async def test_the_idempotency_header_makes_a_retry_safe(world: World) -> None:
    world.next = [(503, {})]
    async with Orchestrator(tools_from_openapi(SPEC, ["pay"], base_url=world.url), policy=QUICK) as orc:
        outcome = await orc.run("pay", {"pay.body": {"usd": 5}})
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in world.asked}
    assert (outcome.value, len(world.asked), len(keys)) == ("paid", 2, 1)


async def test_a_credential_comes_from_deps_or_its_absence_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("API_KEY", raising=False)
    body = {"addPet.body": {"id": 1, "name": "x"}}
    async with Orchestrator(tools_from_openapi(SPEC, ["addPet"], base_url=world.url)) as orc:
        outcome = await orc.run("addPet", body)
    assert "API_KEY" in outcome.failures[0].message
    assert not world.asked
    tools = tools_from_openapi(SPEC, ["addPet"], base_url=world.url, auth={"api_key": lambda deps: deps["key"]})
    async with Orchestrator(tools, deps={"key": "k1"}) as orc:
        assert (await orc.run("addPet", body)).ok
    assert world.asked[0][2]["X-Key"] == "k1"


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ({"swagger": "2.0"}, {}, "OpenAPI 3.0 or 3.1"),
        ({}, {}, "no object"),
        (SPEC, {"only": ["getPets"]}, "'getPet'"),
        (SPEC, {"only": ["getPet"]}, "base_url"),
        (SPEC, {"base_url": "http://x", "auth": {"key": "K"}}, "api_key"),
        (SPEC, {"base_url": "http://x", "needs": {"getPet": {"id": "x"}}}, "no parameter 'id'"),
        ("/no/such/file.yaml", {}, "cannot be read"),
    ],
)
def test_what_is_wrong_is_an_error_that_names_it(spec: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        tools_from_openapi(spec, **options)


def test_yaml_and_json_texts_are_read() -> None:
    text = "openapi: 3.1.0\nservers: [{url: 'https://x.org/v1'}]\npaths: {/a: {get: {responses: {}}}}"
    assert [tool.name for tool in tools_from_openapi(text)] == ["get_a"]
    assert len(tools_from_openapi(json.dumps(SPEC), base_url="http://x")) == 4
