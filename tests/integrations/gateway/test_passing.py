"""Resources, templates, prompts and completions of servers, through the gateway."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp_types import PromptReference, ResourceTemplateReference

from orchestrator import Orchestrator
from orchestrator.integrations.gateway import Gateway, GatewayConfig

LIBRARY = """
import os, sys
from mcp.server.mcpserver import MCPServer
name = sys.argv[1]
server = MCPServer(name)
@server.tool()
def pid() -> int:
    return os.getpid()
@server.resource("shelf://index")
def index() -> str:
    return f"index of {name}"
@server.resource(f"shelf://only-{name}")
def only() -> str:
    return f"only in {name}"
@server.resource(f"{name}://book/{{title}}")
def book(title: str) -> str:
    return f"{title} of {name}"
@server.prompt()
def summarise(title: str) -> str:
    return f"{name}: summarise {title}"
@server.completion()
async def complete(ref, argument, context):
    from mcp_types import Completion
    return Completion(values=[f"{name} {argument.value}"])
server.run("stdio")
"""
BARE = "from mcp.server.mcpserver import MCPServer\nMCPServer('bare').run('stdio')"
TOOLS_ALONE = """
import json, sys
for line in sys.stdin:
    m = json.loads(line); i = m.get("id"); method = m.get("method")
    if i is None: continue
    info = {"capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    r = {"initialize": {"protocolVersion": "2025-06-18", **info}, "tools/list": {"tools": []}}.get(method)
    e = {"code": -32601, "message": f"no {method}"}
    print(json.dumps({"jsonrpc": "2.0", "id": i, **({"result": r} if r else {"error": e})}), flush=True)
"""


@asynccontextmanager
async def connected(*names: str, options: Any = None, **others: list[str]) -> AsyncGenerator[tuple[Client, Gateway]]:
    entries = {name: ["-c", LIBRARY, name] for name in names} | others
    servers = {name: {"command": sys.executable, "args": arguments} for name, arguments in entries.items()}
    config = GatewayConfig.model_validate({"servers": servers, "rules": {"timeout": 10.0}})
    orc = Orchestrator()
    gateway = Gateway(config, orc)
    async with orc, gateway, Client(gateway.server, **(options or {})) as client:
        yield client, gateway


def text(result: Any) -> str:
    return "".join(getattr(one, "text", "") for one in result.contents)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_two_servers_have_is_kept_apart(mode: str) -> None:
    async with connected("a", "b", options={"mode": mode}, bare=["-c", BARE], tools=["-c", TOOLS_ALONE]) as (client, _):
        resources = [str(one.uri) for one in (await client.list_resources()).resources]
        templates = [one.uri_template for one in (await client.list_resource_templates()).resource_templates]
        prompts = [one.name for one in (await client.list_prompts()).prompts]
        assert resources == ["shelf://index", "shelf://only-a", "gateway://b/shelf://index", "shelf://only-b"]
        assert templates == ["a://book/{title}", "b://book/{title}"]
        assert prompts == ["summarise", "b_summarise"]
        read = {uri: text(await client.read_resource(uri)) for uri in [*resources, "a://book/x", "b://book/y"]}
        assert [*read.values()] == ["index of a", "only in a", "index of b", "only in b", "x of a", "y of b"]
        result = await client.read_resource("gateway://b/shelf://index")
        assert [str(one.uri) for one in result.contents] == ["gateway://b/shelf://index"]
        given = [(await client.get_prompt(name, {"title": "t"})).messages[0].content for name in prompts]
        assert [getattr(one, "text", "") for one in given] == ["a: summarise t", "b: summarise t"]
        for ref in (PromptReference(name="b_summarise"), ResourceTemplateReference(uri="b://book/{title}")):
            proposed = await client.complete(ref, {"name": "title", "value": "x"})
            assert proposed.completion.values == ["b x"]


async def test_what_nobody_lists_is_an_error_of_the_request() -> None:
    async with connected("a", tools=["-c", TOOLS_ALONE]) as (client, gateway):
        assert gateway.problems == {}
        with pytest.raises(MCPError):
            await client.read_resource("shelf://nothing")
        with pytest.raises(MCPError, match="Did you mean 'summarise'"):
            await client.get_prompt("sumarise", {"title": "t"})


async def test_a_server_that_went_away_is_started_again() -> None:
    async with connected("a", "b") as (client, gateway):
        await client.list_resources()
        result = await client.call_tool("pid")
        os.kill(int(getattr(result.content[0], "text", "0")), signal.SIGKILL)
        await asyncio.sleep(0.05)
        assert text(await client.read_resource("shelf://index", cache_mode="refresh")) == "index of a"
        assert gateway.servers["a"].connection.opened == 2


async def test_a_server_that_is_down_is_left_out_of_lists() -> None:
    async with connected("a", gone=["-c", "import sys; sys.exit('no')"]) as (client, gateway):
        assert len((await client.list_prompts()).prompts) == 1
        assert [*gateway.problems] == ["gone"]


CHANGING = """
import json, sys
def say(**m): print(json.dumps({"jsonrpc": "2.0", **m}), flush=True)
prompts = []
for line in sys.stdin:
    m = json.loads(line); i = m.get("id"); method = m.get("method")
    if i is None: continue
    if method == "initialize":
        able = {"tools": {}, "prompts": {"listChanged": True}, "resources": {"listChanged": True}}
        info = {"capabilities": able, "serverInfo": {"name": "s", "version": "1"}}
        say(id=i, result={"protocolVersion": "2025-06-18", **info})
    elif method == "tools/list": say(id=i, result={"tools": [{"name": "change", "inputSchema": {"type": "object"}}]})
    elif method == "prompts/list": say(id=i, result={"prompts": prompts})
    elif method == "tools/call":
        prompts.append({"name": "new"})
        for kind in ("prompts", "resources"): say(method=f"notifications/{kind}/list_changed")
        say(id=i, result={"content": []})
    else: say(id=i, error={"code": -32601, "message": "no"})
"""


async def test_changes_of_lists_reach_clients() -> None:
    noted: list[str] = []
    both = asyncio.Event()

    async def note(message: Any) -> None:
        noted.append(type(message).__name__)
        if len(noted) == 2:
            both.set()

    options = {"mode": "legacy", "message_handler": note}
    async with connected(changing=["-c", CHANGING], options=options) as (client, _):
        assert (await client.list_prompts()).prompts == []
        await client.call_tool("change")
        await asyncio.wait_for(both.wait(), 5)
        assert [one.name for one in (await client.list_prompts(cache_mode="refresh")).prompts] == ["new"]
    assert sorted(noted) == ["PromptListChangedNotification", "ResourceListChangedNotification"]
