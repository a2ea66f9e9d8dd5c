"""A gateway over real servers: tools under their own names, healed by what the rules declare."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CallToolResult, ElicitResult

from orchestrator import DefinitionError, Orchestrator, Policy
from orchestrator.integrations.gateway import Gateway, GatewayConfig, LookServer, load_config
from tests.support.telemetry import Recorder, id_of, parent_of

SERVER = Path(__file__).with_name("two_servers.py")
ASKING = Path(__file__).parents[1] / "mcp" / "asking_server.py"
FAST = Policy(retries={"attempts": 0})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RULES = """
trust = ["primary"]
timeout = 2.0
approval = ["spare_order"]
[alternatives]
search = [{tool = "find", arguments = {q = "query"}}]
order = ["spare_order"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    servers = {
        name: {"command": sys.executable, "args": [str(SERVER), name, str(tmp_path / "log")]}
        for name in ("primary", "spare")
    }
    made = tmp_path / "servers.json"
    made.write_text(json.dumps({"mcpServers": servers}))
    made.with_suffix(".toml").write_text(RULES)
    return made


@asynccontextmanager
async def connected(file: Path, provider: Any = None, **options: Any) -> AsyncGenerator[tuple[Client, Gateway]]:
    orc = Orchestrator(policy=FAST, tracer_provider=provider)
    gateway = Gateway(load_config(file), orc)
    async with orc, gateway, Client(gateway.server, **options) as client:
        yield client, gateway


async def names(client: Client) -> set[str]:
    return {tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools}


def text(result: CallToolResult) -> str:
    return "".join(getattr(block, "text", "") for block in result.content)


async def test_tools_are_served_under_their_own_names(file: Path) -> None:
    async with connected(file) as (client, gateway):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == ["search", "order", "find", "spare_order"]
        assert tools["search"].input_schema["required"] == ["query"]
        assert text(await client.call_tool("search", {"query": "x"})) == "primary search x"
        runs = gateway.orc.store.runs(parent=None)
        assert len(runs) == 1
        assert gateway.orc.verify(runs[0].run_id).ok


@pytest.mark.parametrize("how", ["die", "hang", "busy"])
async def test_a_read_is_healed_whatever_happens_to_its_server(file: Path, how: str) -> None:
    async with connected(file) as (client, _):
        (file.parent / "how").write_text(how)
        result = await client.call_tool("search", {"query": "x"})
        assert (text(result), result.is_error) == ("spare find x", False)
        (file.parent / "how").write_text("")
        assert text(await client.call_tool("order", {"item": "pen"})) == "primary order pen"


async def test_a_write_that_may_have_happened_is_not_replaced(file: Path) -> None:
    async with connected(file) as (client, _):
        (file.parent / "how").write_text("die")
        result = await client.call_tool("order", {"item": "pen"})
    assert result.is_error
    assert "may have taken effect" in text(result)
    assert "effects.order = 'read'" in text(result)
    assert (file.parent / "log").read_text().splitlines() == ["primary order"]


async def test_the_words_of_a_tool_that_broke_are_its_own(file: Path) -> None:
    async with connected(file) as (client, _):
        (file.parent / "how").write_text("broke")
        result = await client.call_tool("order", {"item": "pen"})
    assert text(result).startswith("order failed. Tried: order (ambiguous: Error executing tool order).")


async def test_the_own_no_of_a_tool_without_alternative_is_passed_on(file: Path) -> None:
    file.with_suffix(".toml").write_text("")
    async with connected(file) as (client, _):
        (file.parent / "how").write_text("no")
        result = await client.call_tool("search", {"query": "x"})
    assert (result.is_error, text(result)) == (True, "no such thing")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("approve", [True, False])
async def test_approvals_are_asked_by_elicitation(file: Path, approve: bool, mode: Any) -> None:
    async def elicit(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"approve": approve})

    async with connected(file, elicitation_callback=elicit, mode=mode) as (client, gateway):
        result = await client.call_tool("spare_order", {"item": "pen"})
        assert len(gateway.orc.store.runs(parent=None)) == 1
    assert result.is_error is not approve
    assert ("spare order pen" in text(result)) is approve


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_that_can_ask_nobody_is_told_how_to_answer(file: Path, mode: Any) -> None:
    async with connected(file, mode=mode) as (client, _):
        result = await client.call_tool("spare_order", {"item": "pen"})
    assert result.is_error
    assert "orchestrator resume gateway-" in text(result)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize(
    ("action", "content", "answer"),
    [
        ("accept", {"size": "L", "count": 2}, {"action": "accept", "content": {"size": "L", "count": 2}}),
        ("decline", None, {"action": "decline"}),
        (None, None, {"action": "decline"}),
    ],
)
async def test_what_a_server_asks_is_asked_at_the_client(
    tmp_path: Path, mode: Any, action: Any, content: Any, answer: Any
) -> None:
    asked: list[Any] = []

    async def elicit(context: Any, params: Any) -> ElicitResult:
        asked.append(params)
        await asyncio.sleep(0.7)  # longer than the server may take
        return ElicitResult(action=action, content=content)

    entry = {"command": sys.executable, "args": [str(ASKING), "count"]}
    config = GatewayConfig.model_validate({"servers": {"shop": entry}, "rules": {"timeout": 0.5}})
    options: Any = {"elicitation_callback": elicit} if action else {}
    orc = Orchestrator(policy=FAST)
    gateway = Gateway(config, orc)
    async with orc, gateway, Client(gateway.server, mode=mode, **options) as client:
        result = await client.call_tool("order", {})
    assert json.loads(text(result)) == answer
    assert [(each.message, sorted(each.requested_schema["properties"])) for each in asked] == [
        ("Which size?", ["count", "size"])
    ] * bool(action)


async def test_a_call_goes_on_only_with_what_was_asked_of_it(file: Path) -> None:
    async with connected(file) as (client, _):
        for state in ("gateway-0123456789abcdef", "other"):
            with pytest.raises(MCPError, match="answers no open question"):
                await client.call_tool("spare_order", {"item": "pen"}, request_state=state)


async def test_progress_tells_of_the_reroute(file: Path) -> None:
    said: list[str] = []

    async def told(progress: float, total: float | None, message: str | None) -> None:
        said.append(message or "")

    async with connected(file) as (client, _):
        (file.parent / "how").write_text("busy")
        await client.call_tool("search", {"query": "x"}, progress_callback=told)
        await asyncio.sleep(0.05)
    assert any(message.startswith("reroute: ") for message in said)


async def test_a_call_is_one_trace_from_the_client_over_the_gateway_to_each_server(file: Path) -> None:
    (file.parent / "how").write_text("busy")
    recorder, trace, above = Recorder(), "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with connected(file, recorder.provider) as (client, _):
        meta: Any = {"traceparent": f"00-{trace}-{above}-01"}
        assert text(await client.call_tool("search", {"query": "q"}, meta=meta)) == "spare find q"
    (run,) = [span for span in recorder.spans if span.name.startswith("invoke_workflow")]
    assert f"{parent_of(run):016x}" == above
    assert {f"{span.context.trace_id:032x}" for span in recorder.spans if span.context is not None} == {trace}
    attempt_of = {parent_of(span): id_of(span) for span in recorder.named("attempt")}
    attempts = [attempt_of[id_of(recorder.one(f"execute_tool {name}"))] for name in ("search", "find")]
    carried = (file.parent / "traces").read_text().splitlines()
    assert carried == [f"{w} 00-{trace}-{a:016x}-01" for w, a in zip(("primary", "spare"), attempts, strict=True)]


async def test_changed_tools_are_served_live(file: Path) -> None:
    async with connected(file) as (client, _):
        await client.call_tool("order", {"item": "change"})
        async with asyncio.timeout(5):
            while "late" not in await names(client):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_it_serves_over_stdio_as_one_line_of_a_client(file: Path) -> None:
    arguments = ["-m", "orchestrator.cli", "gateway", str(file), "--store", str(file.parent / "runs.db")]
    root = str(Path(__file__).parents[3])
    given = StdioServerParameters(
        command=sys.executable, args=arguments, cwd=str(file.parent), env={"PYTHONPATH": root}
    )
    async with Client(given, read_timeout_seconds=60) as client:
        assert text(await client.call_tool("search", {"query": "x"})) == "primary search x"


def with_a_broken_server(file: Path) -> None:
    servers = json.loads(file.read_text())
    servers["mcpServers"]["broken"] = {"command": sys.executable, "args": ["-c", "import sys; sys.exit('no key')"]}
    file.write_text(json.dumps(servers))


async def test_a_server_that_does_not_start_leaves_the_others(file: Path) -> None:
    with_a_broken_server(file)
    async with connected(file) as (client, gateway):
        assert text(await client.call_tool("search", {"query": "x"})) == "primary search x"
        assert "no key" in gateway.problems["broken"]


async def test_explain_says_what_would_heal(file: Path) -> None:
    async with Orchestrator(policy=FAST) as orc, Gateway(load_config(file), orc) as gateway:
        rows = {row["tool"]: row for row in gateway.explain()}
    assert rows["search"]["rerouted"] == "any failure"
    assert rows["search"]["alternatives"] == ["find"]
    assert rows["order"]["rerouted"] == "only failures that prove that nothing happened"
    assert "effects.order = 'read'" in rows["order"]["to heal more"]
    assert rows["find"]["rerouted"].startswith("to nothing")


async def test_looking_is_read_only(file: Path) -> None:
    async with connected(file) as (client, gateway):
        await client.call_tool("search", {"query": "x"})
        async with Client(LookServer(gateway.orc).server) as looker:
            tools = (await looker.list_tools()).tools
            assert {tool.name for tool in tools} == {"runs", "why", "verify", "replay", "health"}
            runs = (await looker.call_tool("runs")).structured_content or {}
            run_id = runs["runs"][0]["run_id"]
            for name, field, value in [
                ("why", "status", "reached"),
                ("verify", "ok", True),
                ("replay", "agrees", True),
            ]:
                found = (await looker.call_tool(name, {"run_id": run_id})).structured_content or {}
                assert found[field] == value
            assert "search" in ((await looker.call_tool("health")).structured_content or {})["tools"]
            assert (await looker.call_tool("why", {"run_id": "none"})).is_error


@pytest.mark.parametrize(
    ("content", "rules", "said"),
    [
        ("{}", "", "holds no servers"),
        ("{", "", "no JSON"),
        ('{"mcpServers": {"a": {}}}', "", "either a command or a url"),
        ('{"mcpServers": {"a": {"command": "${NO_SUCH_VARIABLE}"}}}', "", "NO_SUCH_VARIABLE"),
        ('{"mcpServers": {"a": {"command": "x"}}}', "effect = 1", "effect"),
        ('{"mcpServers": {"a": {"command": "x"}}}', "[effects]\na = 'reads'", "effects"),
    ],
)
def test_wrong_files_are_errors_that_say_where(tmp_path: Path, content: str, rules: str, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    file.with_suffix(".toml").write_text(rules)
    with pytest.raises(DefinitionError, match=said):
        load_config(file)


async def test_rules_that_name_no_tool_are_an_error(file: Path) -> None:
    file.with_suffix(".toml").write_text("[effects]\nserch = 'read'")
    async with Orchestrator() as orc:
        with pytest.raises(DefinitionError, match="'search'"):
            async with Gateway(load_config(file), orc):
                pass
