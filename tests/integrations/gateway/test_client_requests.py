"""What servers ask clients for, and notify them of, through the gateway: sampling, roots, logs, updates, progress."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters

from orchestrator import Orchestrator
from orchestrator.integrations.gateway import Gateway, GatewayConfig

HERE = Path(__file__).parent
LEGACY = str(HERE / "requesting_server.py")
MODERN = str(HERE / "modern_server.py")
BOTH = pytest.mark.parametrize(
    ("server", "mode"), [(LEGACY, "legacy"), (LEGACY, "auto"), (MODERN, "legacy"), (MODERN, "auto")]
)


@asynccontextmanager
async def connected(
    folder: Path, server: str = LEGACY, rules: dict[str, Any] | None = None, **options: Any
) -> AsyncGenerator[tuple[Client, Gateway]]:
    entry = {"command": sys.executable, "args": [server, str(folder)]}
    config = GatewayConfig.model_validate({"servers": {"s": entry}, "rules": {"timeout": 10.0, **(rules or {})}})
    orc = Orchestrator()
    gateway = Gateway(config, orc)
    async with orc, gateway, Client(gateway.server, **options) as client:
        yield client, gateway


async def said(client: Client, tool: str) -> Any:
    result = await client.call_tool(tool, {})
    assert not result.is_error, result
    return json.loads(getattr(result.content[0], "text", ""))


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):  # a server is a new process, which starts slowly on a busy machine
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def noted(folder: Path) -> list[str]:
    file = folder / "noted"
    return file.read_text().splitlines() if file.exists() else []


async def sample(context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
    asked = getattr(params.messages[0].content, "text", "")
    return types.CreateMessageResult(role="assistant", content=types.TextContent(text=f"re: {asked}"), model="m")


async def list_roots(context: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root(uri="file:///home/a", name="a")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@BOTH
async def test_a_server_samples_the_model_of_the_client(tmp_path: Path, server: str, mode: Any) -> None:
    async with connected(tmp_path, server, mode=mode, sampling_callback=sample) as (client, gateway):
        answer = await said(client, "think")
        assert (answer["model"], answer["content"]["text"]) == ("m", "re: secret question")
        (row,) = gateway.orc.store.runs(parent=None)
        assert gateway.orc.verify(row.run_id).ok
        assert gateway.orc.replay(row.run_id).agrees
        records = [json.dumps(each, default=str) for each in gateway.orc.store.records(row.run_id)]
        assert not any("secret" in each for each in records)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_without_a_model_declines(tmp_path: Path, mode: Any) -> None:
    async with connected(tmp_path, mode=mode) as (client, _):
        assert "declined" in (await said(client, "think"))["error"]
        assert "declined" in (await said(client, "where"))["error"]


@BOTH
async def test_a_server_asks_for_the_roots_of_the_client(tmp_path: Path, server: str, mode: Any) -> None:
    async with connected(tmp_path, server, mode=mode, list_roots_callback=list_roots) as (client, _):
        assert (await said(client, "where"))["roots"] == [{"uri": "file:///home/a", "name": "a"}]


async def test_servers_ask_for_the_roots_once_a_client_is_there_and_when_they_change(tmp_path: Path) -> None:
    async with connected(tmp_path, mode="legacy", list_roots_callback=list_roots) as (client, _):
        await client.list_tools()
        await until(lambda: sum("file:///home/a" in each for each in noted(tmp_path)) == 1)
        await client.session.send_notification(types.RootsListChangedNotification())
        await until(lambda: sum("file:///home/a" in each for each in noted(tmp_path)) == 2)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_log_messages_reach_the_client_from_the_level_on_that_it_set(tmp_path: Path, mode: Any) -> None:
    heard: list[tuple[str, Any, str | None]] = []

    async def log(params: types.LoggingMessageNotificationParams) -> None:
        heard.append((params.level, params.data, params.logger))

    for server in (LEGACY, MODERN):
        heard.clear()
        options: dict[str, Any] = {"log_level": "info"} if mode == "auto" else {}
        async with connected(tmp_path, server, mode=mode, logging_callback=log, **options) as (client, _):
            if mode == "legacy":
                level = types.SetLevelRequest(params=types.SetLevelRequestParams(level="info"))
                await client.session.send_request(level, types.EmptyResult)
            elif server == LEGACY:
                continue  # it has a level for a whole session, which requests do not set
            await client.call_tool("chatter", {})
            await until(lambda: len(heard) == 2)
            assert heard == [("info", "info words", "talk"), ("error", "error words", "talk")]


async def test_a_level_holds_for_a_session_that_is_opened_again(tmp_path: Path) -> None:
    async with connected(tmp_path, mode="legacy") as (client, gateway):
        level = types.SetLevelRequest(params=types.SetLevelRequestParams(level="error"))
        await client.session.send_request(level, types.EmptyResult)
        await gateway.servers["s"].aclose()
        await client.call_tool("chatter", {})
        await until(lambda: noted(tmp_path).count("level error") == 2)


@BOTH
async def test_a_client_is_told_of_the_resources_that_it_subscribed_to(tmp_path: Path, server: str, mode: Any) -> None:
    heard: list[str] = []

    async def note(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            heard.append(str(message.params.uri))

    async with connected(tmp_path, server, mode=mode, message_handler=note) as (client, gateway):
        if mode == "legacy":
            wanted = types.SubscribeRequest(params=types.SubscribeRequestParams(uri="note://one"))
            await client.session.send_request(wanted, types.EmptyResult)
            await client.call_tool("touch", {})
            await until(lambda: heard)
            assert heard == ["note://one"]
            left = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri="note://one"))
            await client.session.send_request(left, types.EmptyResult)
        else:
            async with client.listen(resource_subscriptions=["note://one"]) as changes:
                await client.call_tool("touch", {})
                async with asyncio.timeout(10):
                    change = await anext(aiter(changes))
                assert getattr(change, "uri", "") == "note://one"
        await until(lambda: not gateway.servers["s"].connection.subscribed)
        if server == LEGACY:
            await until(lambda: "unsubscribe note://one" in noted(tmp_path))


async def test_a_client_that_subscribes_twice_at_one_moment_is_subscribed_once(tmp_path: Path) -> None:
    async with connected(tmp_path, mode="legacy") as (client, gateway):
        subscribe = types.SubscribeRequest(params=types.SubscribeRequestParams(uri="note://one"))
        both = (client.session.send_request(subscribe, types.EmptyResult) for _ in range(2))
        await asyncio.gather(*both)
        left = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri="note://one"))
        await client.session.send_request(left, types.EmptyResult)
        await until(lambda: "unsubscribe note://one" in noted(tmp_path))
        assert noted(tmp_path).count("subscribe note://one") == 1
        assert not gateway.servers["s"].connection.subscribed


async def test_a_subscription_outlives_the_session_of_its_server(tmp_path: Path) -> None:
    heard: list[str] = []

    async def note(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            heard.append(str(message.params.uri))

    async with connected(tmp_path, mode="legacy", message_handler=note) as (client, gateway):
        wanted = types.SubscribeRequest(params=types.SubscribeRequestParams(uri="note://one"))
        await client.session.send_request(wanted, types.EmptyResult)
        await gateway.servers["s"].aclose()
        await client.call_tool("count", {})
        await until(lambda: heard == ["note://one"])  # it may have changed meanwhile
        await client.call_tool("touch", {})
        await until(lambda: heard == ["note://one"] * 2)
        assert noted(tmp_path).count("subscribe note://one") == 2


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_that_cancels_its_call_cancels_a_read_of_the_server(tmp_path: Path, mode: Any) -> None:
    rules = {"timeout": 1000.0, "effects": {"slow": "read"}}  # so that no time-out cancels it
    async with connected(tmp_path, rules=rules, mode=mode) as (client, gateway):
        call = asyncio.create_task(client.call_tool("slow", {}))
        await until(lambda: "slow began" in noted(tmp_path))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: "slow cancelled" in noted(tmp_path))
        await until(lambda: gateway.orc.store.runs(parent=None)[0].status.ended)


async def test_a_write_of_the_server_may_end_when_the_client_cancels_its_call(tmp_path: Path) -> None:
    async with connected(tmp_path, rules={"timeout": 1.0}, mode="legacy") as (client, gateway):
        call = asyncio.create_task(client.call_tool("slow", {}))
        await until(lambda: "slow began" in noted(tmp_path))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(0.1)
        assert "slow cancelled" not in noted(tmp_path)
        await until(lambda: gateway.orc.store.runs(parent=None)[0].status.ended)
        assert "slow cancelled" in noted(tmp_path)  # by its time-out


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_progress_of_a_server_keeps_its_numbers(tmp_path: Path, mode: Any) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with connected(tmp_path, mode=mode) as (client, _):
        await client.call_tool("count", {}, progress_callback=progressed)
        await until(lambda: len([each for each in heard if each[1] == 3]) == 3)
    assert [round(each[0]) for each in heard if each[1] == 3] == [1, 2, 3]
    assert [each[0] for each in heard] == sorted({each[0] for each in heard})


async def test_over_stdio_a_client_of_the_command_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "servers.json"
    file.write_text(json.dumps({"mcpServers": {"s": {"command": sys.executable, "args": [LEGACY, str(tmp_path)]}}}))
    command = ["-m", "orchestrator.cli", "gateway", str(file), "--store", str(tmp_path / "runs.db")]
    given = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    async with Client(given, mode="legacy", sampling_callback=sample, list_roots_callback=list_roots) as client:
        assert (await said(client, "think"))["content"]["text"] == "re: secret question"
        assert (await said(client, "where"))["roots"][0]["name"] == "a"
