"""The HTTP service: what each tenant may do, and what is refused."""

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import BaseModel

from orchestrator import Orchestrator, RunContext, tool
from orchestrator.errors import InputError
from orchestrator.service import requests as bodies
from orchestrator.service.access import LARGEST_BODY, RateLimit, StreamLimit, Tokens, read_tokens
from orchestrator.service.app import Service

ACME, OTHER = "acme-token-of-32-characters-0001", "other-token-of-32-characters-001"


@tool(gives="y")
def double(x: int) -> int:
    return 2 * x


@tool(gives="half")
def halve(x: int) -> float:
    return x / 2


@tool(gives="z", effect="write", approval=True)
def act(y: int) -> str:
    return f"did {y}"


def as_tenant(token: str = ACME) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def orc(tmp_path: Path) -> AsyncIterator[Orchestrator]:
    async with Orchestrator([double, halve, act], store=tmp_path / "runs.db") as made:
        yield made


@pytest.fixture
async def http(orc: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    app = Service(orc, Tokens({ACME: "acme", OTHER: "other"})).app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        yield client


async def submitted(http: httpx.AsyncClient, **asked: Any) -> str:
    answer = await http.post("/runs", json={"goal": "y", "inputs": {"x": 4}, **asked}, headers=as_tenant())
    assert answer.status_code == 202, answer.text
    run_id = answer.json()["run_id"]
    assert isinstance(run_id, str)
    return run_id


async def status(http: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    answer = await http.get(f"/runs/{run_id}", headers=as_tenant())
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_a_run_is_submitted_driven_and_read(http: httpx.AsyncClient, orc: Orchestrator) -> None:
    run_id = await submitted(http, labels={"customer": "7"})
    assert (await status(http, run_id))["status"] == "queued"
    await orc.worker().until_idle()
    found = await status(http, run_id)
    assert found["status"] == "reached"
    assert found["values"] == {"y": 8}
    assert found["labels"] == {"customer": "7"}
    listed = (await http.get("/runs?label=customer=7&status=reached", headers=as_tenant())).json()
    assert [run["run_id"] for run in listed["runs"]] == [run_id]


async def test_several_keys_may_be_wanted_at_once(http: httpx.AsyncClient, orc: Orchestrator) -> None:
    run_id = await submitted(http, goal=["y", "half"], inputs={"x": 4}, demotions=["y"])
    await orc.worker().until_idle()
    assert (await status(http, run_id))["values"] == {"y": 8, "half": 2}


class Brief(BaseModel):
    title: str
    score: float


@tool(gives="brief")
def write_brief(x: int) -> Brief:
    return Brief(title="a", score=0.5)


@tool(gives="odd")
def odd(x: int) -> list[Any]:
    return [b"\xff", math.nan, math.inf, {1, 2}]


async def test_a_value_of_any_type_is_shown_as_json(http: httpx.AsyncClient, orc: Orchestrator) -> None:
    orc.add(write_brief)
    orc.add(odd)
    run_id = await submitted(http, goal=["brief", "odd"])
    await orc.worker().until_idle()
    assert (await status(http, run_id))["values"] == {
        "brief": {"title": "a", "score": 0.5},
        "odd": ["_w==", "NaN", "Infinity", [1, 2]],
    }


@pytest.mark.parametrize("run_id", ["a/b", "..", "."])
async def test_a_run_id_that_no_address_can_hold_is_refused(http: httpx.AsyncClient, run_id: str) -> None:
    asked = {"goal": "y", "inputs": {"x": 4}, "run_id": run_id}
    answer = await http.post("/runs", json=asked, headers=as_tenant())
    assert answer.status_code == 422
    assert "part of an address" in answer.json()["error"]


async def test_a_run_id_is_quoted_in_its_address(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs", json={"goal": "y", "inputs": {"x": 4}, "run_id": "a b?"}, headers=as_tenant())
    assert (await http.get(answer.headers["location"], headers=as_tenant())).json()["run_id"] == "a b?"


async def test_the_events_of_a_run_are_streamed_from_where_a_client_was(
    http: httpx.AsyncClient, orc: Orchestrator
) -> None:
    run_id = await submitted(http)
    await orc.worker().until_idle()
    text = (await http.get(f"/runs/{run_id}/events", headers=as_tenant())).text
    events = [part.split("\n") for part in text.strip().split("\n\n")]
    assert [event[0] for event in events] == [f"id: {number}" for number in range(1, len(events) + 1)]
    assert events[0][1] == "event: RunStarted"
    assert events[-1][1] == "event: closed"
    assert json.loads(events[-1][2].removeprefix("data: "))["status"] == "reached"
    rest = (await http.get(f"/runs/{run_id}/events", headers={**as_tenant(), "Last-Event-ID": "2"})).text
    assert rest.startswith("id: 3\n")


async def test_a_question_is_answered_and_a_run_cancelled(http: httpx.AsyncClient, orc: Orchestrator) -> None:
    first, second = [await submitted(http, goal="z") for _ in range(2)]
    await orc.worker().until_idle()
    assert (await status(http, first))["questions"][0]["choices"]
    answer = await http.post(f"/runs/{first}/answer", json={"answer": "yes"}, headers=as_tenant())
    assert answer.status_code == 202
    assert (await http.post(f"/runs/{second}/cancel", headers=as_tenant())).status_code == 202
    await orc.worker().until_idle()
    assert (await status(http, first))["values"] == {"z": "did 8"}
    assert (await status(http, second))["status"] == "escalated"
    again = await http.post(f"/runs/{first}/answer", json={"answer": "yes"}, headers=as_tenant())
    assert again.status_code == 409
    assert (await http.post(f"/runs/{second}/cancel", headers=as_tenant())).status_code == 409


@tool(gives="sent", effect="write", approval=True)
def send(payee: str) -> str:
    return f"to {payee}"


@tool(gives="both")
async def pay_both(ctx: RunContext, x: int) -> list[str]:
    found = await asyncio.gather(*(ctx.reach("sent", {"payee": payee}) for payee in ("ann", "bob")))
    return [each.value for each in found]


async def test_each_of_several_questions_is_answered_by_its_id(http: httpx.AsyncClient, orc: Orchestrator) -> None:
    orc.add(send)
    orc.add(pay_both)
    run_id = await submitted(http, goal="both")
    await orc.worker().until_idle()
    first, second = (await status(http, run_id))["questions"]
    assert first["id"] != second["id"]
    assert {first["run"], second["run"]}.isdisjoint({run_id, ""})
    assert first["run"] != second["run"]
    assert [each["step"] for each in (first, second)] == ["send", "send"]
    assert all(each["text"] and each["about"] and each["choices"] for each in (first, second))

    async def answer(**given: Any) -> httpx.Response:
        return await http.post(f"/runs/{run_id}/answer", json=given, headers=as_tenant())

    unnamed = await answer(answer="yes")
    assert unnamed.status_code == 409
    assert unnamed.json()["questions"] == [first, second]
    unknown = await answer(answer="yes", question="q-of-nobody")
    assert unknown.status_code == 409
    assert [each["id"] for each in unknown.json()["questions"]] == [first["id"], second["id"]]
    no_answer = await answer(answer="perhaps", question=second["id"])
    assert no_answer.status_code == 422
    assert "yes or no" in no_answer.json()["error"]
    assert (await answer(answer="yes", question=second["id"])).status_code == 202
    await orc.worker().until_idle()
    assert (await status(http, run_id))["questions"] == [first]
    late = await answer(answer="no", question=second["id"])
    assert late.status_code == 409
    assert late.json()["questions"] == [first]
    assert (await answer(answer="yes")).status_code == 202  # one alone is open
    await orc.worker().until_idle()
    assert (await status(http, run_id))["values"] == {"both": ["to ann", "to bob"]}


async def test_a_tenant_sees_nothing_of_another(http: httpx.AsyncClient, orc: Orchestrator) -> None:
    run_id = await submitted(http, run_id="mine")
    other = as_tenant(OTHER)
    for path in (f"/runs/{run_id}", f"/runs/{run_id}/events"):
        assert (await http.get(path, headers=other)).status_code == 404
    for action in ("cancel", "answer"):
        assert (await http.post(f"/runs/{run_id}/{action}", json={"answer": 1}, headers=other)).status_code == 404
    assert (await http.get("/runs", headers=other)).json() == {"runs": []}
    assert (await http.get("/runs?label=tenant=acme", headers=other)).json() == {"runs": []}
    taken = await http.post("/runs", json={"goal": "y", "inputs": {"x": 4}, "run_id": "mine"}, headers=other)
    assert taken.status_code == 409
    forged = await http.post("/runs", json={"goal": "y", "labels": {"tenant": "acme"}}, headers=other)
    assert forged.status_code == 422


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic " + ACME, ACME, "Bearer é" * 9])
async def test_without_a_token_nothing_is_said(http: httpx.AsyncClient, header: str) -> None:
    answer = await http.get("/runs", headers={b"Authorization": header.encode()} if header else {})
    assert answer.status_code == 401
    assert ACME not in answer.text


HOSTILE: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"no json", 400),
    (b"\xff\xfe", 400),
    (b"[" * 200_000, 400),
    (b'{"goal": "y", "inputs": ' + b'{"x":' * 5000 + b"1" + b"}" * 5000 + b"}", 400),
    (b"x" * (LARGEST_BODY + 1), 413),
    (b"[]", 422),
    (b'{"goal": 3}', 422),
    (b'{"goal": "y", "gaol": 1}', 422),
    (b'{"goal": "y", "priority": 1e400}', 422),
    (b'{"goal": "y", "delay": -1}', 422),
    (b'{"goal": "nothing gives this"}', 400),
    (b'{"goal": "y", "inputs": {"x": "four"}}', 400),
    (b'{"goal": "y", "inputs": {"x": 1}, "run_id": "a\\nb"}', 400),
    (b'{"goal": "y", "inputs": {"x": 1}, "run_id": "\\ud800"}', 400),
    (b'{"goal": "y", "inputs": {"x": 1}, "labels": {"a\\u0000": "b"}}', 400),
    (b'{"goal": "\'; DROP TABLE orchestrator_runs; --"}', 400),
    (b'{"goal": "<script>alert(1)</script>"}', 400),
]


@pytest.mark.parametrize(("body", "expected"), HOSTILE)
async def test_what_is_wrong_is_one_clear_error(http: httpx.AsyncClient, body: bytes, expected: int) -> None:
    answer = await http.post("/runs", content=body, headers=as_tenant())
    assert answer.status_code in (expected, 400, 422)
    assert 0 < len(answer.json()["error"]) <= 500
    assert (await http.get("/runs", headers=as_tenant())).json() == {"runs": []}


@pytest.mark.parametrize("path", ["/runs/..%2f..%2fetc", "/runs/a'%20OR%201=1", "/runs/%00", "/runs/%ed%a0%80", "/x"])
async def test_odd_paths_are_not_found(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path, headers=as_tenant())).status_code == 404


async def test_a_slow_body_is_given_up(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.05)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(0.3)
        yield b"}"

    assert (await http.post("/runs", content=slowly(), headers=as_tenant())).status_code == 408


async def test_too_many_requests_wait(orc: Orchestrator) -> None:
    now = 0.0
    rate = RateLimit(rate=1.0, burst=2.0, clock=lambda: now)
    app = Service(orc, Tokens({ACME: "acme", OTHER: "other"}), rate).app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        answers = [(await client.get("/runs", headers=as_tenant())).status_code for _ in range(3)]
        assert answers == [200, 200, 429]
        assert (await client.get("/runs", headers=as_tenant(OTHER))).status_code == 200
        now = 1.0
        assert (await client.get("/runs", headers=as_tenant())).status_code == 200


async def test_what_operators_ask(http: httpx.AsyncClient, orc: Orchestrator) -> None:
    await submitted(http)
    assert (await http.get("/healthz")).text == "ok"
    assert (await http.get("/readyz")).status_code == 200
    metrics = (await http.get("/metrics", headers=as_tenant())).text
    assert 'orchestrator_runs{status="queued"} 1' in metrics
    assert 'orchestrator_circuit_open{tool="double"} 0' in metrics
    assert (await http.get("/health", headers=as_tenant())).json()["double"] == {"circuit": "closed"}
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert {"/runs", "/runs/{run_id}/events"} <= set(paths)


def test_tokens_are_read_from_a_file_or_made(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({ACME: "acme"}))
    tokens, printed = read_tokens(str(path))
    assert (tokens.tenant(f"Bearer {ACME}"), printed) == ("acme", "")
    tokens, printed = read_tokens("")
    assert tokens.tenant(f"Bearer {printed}") == "default"
    for wrong in ("{", '{"a": 1}', "[]", '{"short": "t"}', str(tmp_path / "none")):
        with pytest.raises(InputError):
            read_tokens(wrong)


async def test_a_tenant_has_so_many_streams_open_and_no_more(orc: Orchestrator) -> None:
    service = Service(orc, Tokens({ACME: "acme", OTHER: "other"}), streams=StreamLimit(2))
    config = uvicorn.Config(service.app(), port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it says nothing
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http, contextlib.AsyncExitStack() as stack:
        run_id = await submitted(http, delay=1_000.0)
        theirs = (await http.post("/runs", json={"goal": "y", "inputs": {"x": 1}}, headers=as_tenant(OTHER))).json()
        path = f"/runs/{run_id}/events"
        for _ in range(2):
            opened = await stack.enter_async_context(http.stream("GET", path, headers=as_tenant()))
            assert opened.status_code == 200
        refused = await http.get(path, headers=as_tenant())
        assert refused.status_code == 429
        assert "too many streams" in refused.json()["error"]
        assert int(refused.headers["Retry-After"]) > 0
        assert (await http.get("/runs", headers=as_tenant())).status_code == 200
        other = f"/runs/{theirs['run_id']}/events"
        async with http.stream("GET", other, headers=as_tenant(OTHER)) as of_another_tenant:
            assert of_another_tenant.status_code == 200
        await stack.aclose()  # its clients leave
        async with asyncio.timeout(20):
            while True:
                async with http.stream("GET", path, headers=as_tenant()) as again:
                    if again.status_code == 200:
                        break
                await asyncio.sleep(0.05)
    service.stopping.set()
    server.should_exit = True
    await serving
