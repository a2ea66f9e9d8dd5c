"""What a transport says is never taken for the tool's word: lost sessions, statuses of gateways; odd valid tools."""

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from orchestrator import DefinitionError, Orchestrator, Policy, Status, Unavailable
from orchestrator.integrations.mcp import McpServer

from .odd_server import OddServer

QUICK = Policy(retries={"base_seconds": 0.001})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

ASKING = Path(__file__).with_name("asking_server.py")


@pytest.fixture
def odd() -> Generator[OddServer]:
    server = OddServer()
    yield server
    server.close()


SESSION = b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}'
TYPESCRIPT = (
    b'{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}'
)


@pytest.mark.parametrize("unknown", [(404, SESSION), (404, b""), (400, TYPESCRIPT), (400, b"Server not initialized")])
@pytest.mark.parametrize("effect", ["read", "write"])
async def test_a_lost_session_is_opened_again_and_the_call_sent_again(
    odd: OddServer, unknown: tuple[int, bytes], effect: str
) -> None:
    odd.unknown = unknown
    async with McpServer("odd", url=odd.url, timeout=5) as server:
        async with Orchestrator([server.tool("echo", gives="said", needs=["message"], effect=effect)]) as orc:
            assert (await orc.run("said", {"message": "1"})).value == "1"
            odd.sessions.clear()  # it was restarted
            outcomes = [await orc.run("said", {"message": str(n)}) for n in (2, 3)]
        assert [(o.value, o.failures) for o in outcomes] == [("2", ()), ("3", ())]
        assert server.connection.opened == 2
    assert odd.calls == [200, 200, 200]


async def test_a_server_that_keeps_no_session_is_unavailable(odd: OddServer) -> None:
    async with McpServer("odd", url=odd.url, timeout=5) as server:
        tool = server.tool("echo", gives="said", needs=["message"], effect="write", retries=0)
        odd.next = [(404, {}, b"")] * 9
        async with Orchestrator([tool], policy=QUICK) as orc:
            outcome = await orc.run("said", {"message": "1"})
    assert [f.kind for f in outcome.failures] == ["outage"]


@pytest.mark.parametrize(
    ("status", "headers", "effect", "kind", "reached"),
    [
        (503, {}, "read", "transient", True),
        (503, {}, "write", "ambiguous", False),
        (502, {"content_type": "text/html"}, "read", "transient", True),
        (429, {"retry_after": "0"}, "read", "transient", True),
        (429, {"retry_after": "0"}, "write", "transient", True),
    ],
)
async def test_statuses_and_retry_after_are_kept(
    odd: OddServer, status: int, headers: dict[str, str], effect: str, kind: str, reached: bool
) -> None:
    async with McpServer("odd", url=odd.url, timeout=5) as server:
        tool = server.tool("echo", gives="said", needs=["message"], effect=effect)
        odd.next = [(status, headers, b"no")]
        async with Orchestrator([tool], policy=QUICK) as orc:
            outcome = await orc.run("said", {"message": "1"})
    assert [(f.kind, f.status) for f in outcome.failures] == [(kind, status)]
    assert outcome.ok is reached
    if "retry_after" in headers:
        assert outcome.failures[0].retry_after == 0


@pytest.mark.parametrize("effect", ["read", "write"])
@pytest.mark.parametrize(
    ("status", "headers", "kind", "reached"),
    [
        (401, {}, "account", False),
        (402, {}, "account", False),
        (403, {}, "outage", False),
        (404, {}, "outage", False),
        (429, {"retry_after": "0"}, "transient", True),
        (503, {"retry_after": "0"}, "transient", True),
    ],
)
async def test_a_status_by_which_a_session_is_declined_is_kept(
    odd: OddServer, effect: str, status: int, headers: dict[str, str], kind: str, reached: bool
) -> None:
    server = McpServer("odd", url=odd.url, timeout=5)
    tool = server.tool("echo", gives="said", needs=["message"], effect=effect)
    odd.opening = [(status, headers, b"no")]
    async with contextlib.aclosing(server), Orchestrator([tool], policy=QUICK) as orc:
        outcome = await orc.run("said", {"message": "1"})
    assert [(f.kind, f.status, f.retry_after) for f in outcome.failures] == [(kind, status, 0 if headers else None)]
    assert f"status {status}" in outcome.failures[0].message
    assert outcome.ok is reached
    assert odd.calls == [200] * reached  # nothing was sent before


async def test_a_status_by_which_the_tools_are_not_listed_is_kept(odd: OddServer) -> None:
    server = McpServer("odd", url=odd.url, timeout=5)
    odd.listing = [(401, {}, b"no")]
    with pytest.raises(httpx2.HTTPStatusError, match="401"):
        await server.list_tools()
    odd.sessions.clear()  # it was restarted
    assert [*await server.list_tools()] == ["echo"]
    assert server.connection.opened == 2
    await server.aclose()


STDIO = """
import json, sys
S = lambda **p: {"type": "object", "properties": p, "required": list(p)}
TOOLS = [{"name": "convert", "inputSchema": S(**{"from": {"type": "string"}})},
         {"name": "under", "inputSchema": S(run_context={"type": "string"})},
         {"name": "read_text_file", "inputSchema": S(), "outputSchema": S(content={"type": "string"})},
         {"name": "picture", "inputSchema": S()},
         {"name": "calc", "inputSchema": S(), "outputSchema": S(result={"type": "integer"})}]
n = 0
for line in sys.stdin:
    m = json.loads(line); i = m.get("id"); p = m.get("params") or {}; name = p.get("name")
    if i is None: continue
    if m["method"] == "initialize":
        info = {"capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
        r = {"protocolVersion": "2025-06-18", **info}
    elif m["method"] == "tools/list":
        n += 1; r = {"tools": [], "nextCursor": f"page{n}"} if sys.argv[1] == "pages" else {"tools": TOOLS}
    elif name == "read_text_file":
        r = {"content": [{"type": "text", "text": "hello"}], "structuredContent": {"content": "hello"}}
    elif name == "calc": r = {"content": [{"type": "text", "text": "5"}], "structuredContent": {"result": 5}}
    elif name == "picture": r = {"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]}
    elif name: r = {"content": [{"type": "text", "text": json.dumps(p["arguments"])}]}
    else:
        error = {"code": -32601, "message": "no"}
        print(json.dumps({"jsonrpc": "2.0", "id": i, "error": error}), flush=True); continue
    print(json.dumps({"jsonrpc": "2.0", "id": i, "result": r}), flush=True)
"""


class Calc(BaseModel):
    result: int


@pytest.mark.parametrize(
    ("remote", "gives", "inputs", "value"),
    [
        ("convert", dict[str, str], {"from": "EUR"}, {"from": "EUR"}),
        ("under", str, {"run_context": "a"}, '{"run_context": "a"}'),
        ("read_text_file", str, {}, "hello"),
        ("read_text_file", dict[str, str], {}, {"content": "hello"}),
        ("read_text_file", Any, {}, "hello"),
        ("calc", int, {}, 5),
        ("calc", str, {}, "5"),
        ("calc", Calc, {}, Calc(result=5)),
        ("picture", bytes, {}, b"hi"),
        ("picture", Any, {}, b"hi"),
    ],
)
async def test_an_answer_takes_the_form_that_fits_the_key(
    remote: str, gives: Any, inputs: dict[str, Any], value: Any
) -> None:
    async with McpServer("s", command=[sys.executable, "-c", STDIO, "tools"], timeout=10) as server:
        tool = server.tool(remote, gives={"out": gives}, needs=list(inputs), effect="read")
        async with Orchestrator([tool]) as orc:
            outcome = await orc.run("out", inputs)
    assert (outcome.status, outcome.value) == (Status.REACHED, value)


async def test_fixed_arguments_and_whole_servers() -> None:
    async with McpServer("s", command=[sys.executable, "-c", STDIO, "tools"], timeout=10) as server:
        fixed = server.tool("convert", gives={"out": str}, needs=[], fixed={"from": "USD"})
        with pytest.raises(DefinitionError, match="does not take"):
            server.tool("convert", gives="out", needs=["from"], fixed={"unknown": 1})
        every = server.tools(prefix="s_", effects={"calc": "read"})
        async with Orchestrator([fixed, *every]) as orc:
            assert (await orc.run("out")).value == '{"from": "USD"}'
            assert (await orc.run("s_calc.result")).value == 5
            outcome = await orc.run("s_convert.result", {"s_convert.from": "EUR"})
    assert outcome.value == '{"from": "EUR"}'
    assert [tool.name for tool in every] == ["s_convert", "s_under", "s_read_text_file", "s_picture", "s_calc"]
    assert {tool.name: str(tool.effect) for tool in every}["s_calc"] == "read"


async def test_pages_without_end_are_an_error() -> None:
    with pytest.raises(Unavailable, match="pages"):
        async with McpServer("s", command=[sys.executable, "-c", STDIO, "pages"], timeout=10):
            pass


@pytest.mark.parametrize(
    ("code", "said"),
    [("import no_such_module", "No module named 'no_such_module'"), ("import sys; sys.exit('usage: x')", "usage: x")],
)
async def test_a_server_that_does_not_start_says_why(code: str, said: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(Unavailable, match=said):
        async with McpServer("s", command=[sys.executable, "-c", code], timeout=10, log=log):
            pass
    assert said in log.read_text()


async def test_what_a_server_asks_is_a_question_of_the_run() -> None:
    server = McpServer("s", command=[sys.executable, str(ASKING)], timeout=20)
    order = server.tool("order", gives={"size": dict[str, Any]}, needs=[], effect="read")
    async with server, Orchestrator([order]) as orc:
        outcome = await orc.run("size")
        assert outcome.status is Status.WAITING
        assert "Which size?" in outcome.questions[0].text
        outcome = await orc.resume(outcome.run_id, "L")
    assert outcome.value == {"action": "accept", "content": {"size": "L"}}
