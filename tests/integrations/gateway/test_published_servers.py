"""Published MCP servers that are killed in mid-call, hung and restarted; the MCP inspector as a client of ours."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest
from mcp import Client

from orchestrator import Orchestrator
from orchestrator.integrations.gateway import Gateway, load_config
from orchestrator.integrations.mcp import McpServer

from .published import entries, install
from .test_gateway import text

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]
ROOT: Final = str(Path(__file__).parents[3])
CALLS: Final[dict[str, tuple[str, dict[str, Any], str]]] = {
    "filesystem": ("read_text_file", {"path": "{data}/a.txt"}, "what is in it"),
    "everything": ("echo", {"message": "hello"}, "hello"),
    "memory": ("search_nodes", {"query": "nobody"}, "entities"),
    "git": ("git_status", {"repo_path": "{data}"}, "branch"),
    "time": ("get_current_time", {"timezone": "UTC"}, "UTC"),
    "fetch": ("fetch", {"url": "{page}"}, "a page of ours"),
    "sqlite": ("list_tables", {}, "[]"),
}
"""Server -> one read of it, its arguments, and what is in the answer."""
LONG: Final = "trigger-long-running-operation"
RULES: Final = """
trust = ["filesystem", "everything", "memory", "git", "time", "fetch"]
timeout = 25.0
[effects]
list_tables = "read"
[alternatives]
get_current_time = [{tool = "echo", arguments = {message = "timezone"}}]
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("servers"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    (made / "a.txt").write_text("what is in it")
    subprocess.run(["git", "init", "--quiet", str(made)], check=True)
    return made


@pytest.fixture
def page(tmp_path: Path) -> Generator[str]:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("<html><body><p>a page of ours</p></body></html>")
    command = [
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--directory",
        f"{tmp_path}/pages",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        yield f"http://127.0.0.1:{port}/"
        server.terminate()


@pytest.fixture
def file(tmp_path: Path, servers: Path, data: Path) -> Path:
    listed = {
        name: {"command": command[0], "args": command[1:], "env": {"MEMORY_FILE_PATH": f"{tmp_path}/memory.json"}}
        for name, command in entries(servers, data).items()
    }
    made = tmp_path / "servers.json"
    made.write_text(json.dumps({"mcpServers": listed}))
    made.with_suffix(".toml").write_text(RULES)
    return made


def processes_of(command: str) -> list[int]:
    """The processes below this one that run a command."""
    found = subprocess.run(["pgrep", "-f", command], capture_output=True, text=True, check=False).stdout.split()
    return [int(pid) for pid in found if _is_below(int(pid), os.getpid())]


def _is_below(pid: int, above: int) -> bool:
    while pid > 1:
        if pid == above:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def send(command: str, number: signal.Signals) -> None:
    pids = processes_of(command)
    assert pids
    for pid in pids:
        os.kill(pid, number)


def filled(arguments: dict[str, Any], data: Path, page: str) -> dict[str, Any]:
    return {name: str(value).format(data=data, page=page) for name, value in arguments.items()}


@pytest.mark.parametrize("name", CALLS)
async def test_a_client_imports_a_whole_server_and_outlives_its_death(
    servers: Path, data: Path, page: str, name: str
) -> None:
    command = entries(servers, data)[name]
    remote, arguments, expected = CALLS[name]
    server = McpServer(name, command=command, timeout=60, trust=True)
    async with server, Orchestrator() as orc:
        tools = server.tools(effects={remote: "read"})
        assert len(tools) == len(server.listed or {})
        for tool in tools:
            orc.add(tool)
        for number in (None, signal.SIGKILL):
            if number is not None:
                send(command[0], number)
            outcome = await orc.run(f"{remote}.result", filled(arguments, data, page))
            assert expected in str(outcome.value)
    assert server.connection.opened == 2


async def test_the_gateway_heals_published_servers(file: Path, data: Path, page: str, servers: Path) -> None:
    commands = entries(servers, data)
    async with Orchestrator() as orc, Gateway(load_config(file), orc) as gateway, Client(gateway.server) as client:
        assert gateway.problems == {}
        for remote, arguments, expected in CALLS.values():
            result = await client.call_tool(remote, filled(arguments, data, page))
            assert expected in text(result)
        send(commands["time"][0], signal.SIGSTOP)  # hung: the time-out ends it
        try:
            assert text(await client.call_tool("get_current_time", {"timezone": "UTC"})) == "Echo: UTC"
        finally:
            send(commands["time"][0], signal.SIGCONT)
        for name in ("everything", "memory"):
            send(commands[name][0], signal.SIGKILL)
        assert text(await client.call_tool("echo", {"message": "again"})) == "Echo: again"
        assert "entities" in text(await client.call_tool("read_graph", {}))
        assert all(orc.verify(row.run_id).ok for row in orc.store.runs(parent=None))


@pytest.mark.parametrize(
    ("effect", "says"), [("read", "Long running operation completed"), ("write", "may have taken")]
)
async def test_a_server_is_killed_in_mid_call(file: Path, data: Path, servers: Path, effect: str, says: str) -> None:
    file.with_suffix(".toml").write_text(f"[effects]\n{LONG} = '{effect}'")
    async with Orchestrator() as orc, Gateway(load_config(file), orc) as gateway, Client(gateway.server) as client:
        call = asyncio.create_task(client.call_tool(LONG, {"duration": 3, "steps": 3}))
        await asyncio.sleep(1.5)
        send(entries(servers, data)["everything"][0], signal.SIGKILL)
        result = await call
    assert says in text(result)
    assert result.is_error is (effect == "write")


@pytest.mark.parametrize("server", ["gateway", "goals"])
def test_the_inspector_lists_and_calls(file: Path, data: Path, servers: Path, server: str) -> None:
    def inspect(*arguments: str) -> Any:
        program = ["gateway", str(file)] if server == "gateway" else ["mcp", "--project", ROOT]
        done = subprocess.run(
            [
                str(servers / "node_modules" / ".bin" / "mcp-inspector"),
                *("--cli", "-e", f"PYTHONPATH={ROOT}"),
                *(sys.executable, "-m", "orchestrator.cli", *program, *arguments),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=file.parent,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    tools = {tool["name"]: tool for tool in inspect("--method", "tools/list")["tools"]}
    name, argument = ("read_text_file", "path") if server == "gateway" else ("brief", "document")
    assert argument in tools[name]["inputSchema"]["properties"]
    arguments = ("--tool-name", name, "--tool-arg", f"{argument}={data}/a.txt")
    result = inspect("--method", "tools/call", *arguments)
    assert not result.get("isError")
    assert "what is in it" in json.dumps(result)
