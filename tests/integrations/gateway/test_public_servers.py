"""Campaign: the gateway over the reference MCP servers of npm and PyPI, and the MCP inspector as its client."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult

from orchestrator import Orchestrator, Policy
from orchestrator.integrations.gateway import Gateway, load_config
from orchestrator.integrations.mcp import McpServer

pytestmark = pytest.mark.campaign
ROOT = Path(__file__).parents[3]
NPM = ("inspector", "server-filesystem", "server-everything", "server-memory")
PYPI = ("mcp-server-git", "mcp-server-time", "mcp-server-fetch", "mcp-server-sqlite", "mcp<2")
EAGER = Policy(retries={"attempts": 2})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Case:
    """A call of a server's tool, and what its answer holds."""

    server: str
    tool: str
    arguments: dict[str, Any]
    said: str


CASES = (
    Case("filesystem", "read_text_file", {"path": "{files}/a.txt"}, "hello"),
    Case("filesystem", "list_directory", {"path": "{files}"}, "a.txt"),
    Case("memory", "read_graph", {}, "entities"),
    Case("everything", "echo", {"message": "hello"}, "hello"),
    Case("everything", "get-sum", {"a": 2, "b": 3}, "5"),
    Case("git", "git_log", {"repo_path": "{repo}"}, "first commit"),
    Case("time", "convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}, "21:00"),
    Case("fetch", "fetch", {"url": "{page}"}, "a page"),
    Case("sqlite", "list_tables", {}, "stock"),
)


@dataclass(frozen=True)
class Installed:
    """The commands of the servers and of the inspector, and what they are to work on."""

    commands: dict[str, list[str]]
    inspector: str
    given: dict[str, str]


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("servers")
    run(npm, "install", "--no-audit", "--no-fund", *(f"@modelcontextprotocol/{name}" for name in NPM), cwd=folder)
    run(sys.executable, "-m", "venv", "python", cwd=folder)
    run("python/bin/pip", "install", "--quiet", *PYPI, cwd=folder)
    files, repo = folder / "files", folder / "repo"
    files.mkdir()
    (files / "a.txt").write_text("hello")
    repo.mkdir()
    run("git", "init", cwd=repo)
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    run("git", *author, "commit", "--allow-empty", "--message", "first commit", cwd=repo)
    run(sys.executable, "-c", "import sqlite3; sqlite3.connect('a.db').execute('create table stock (n)')", cwd=folder)
    node, python = folder / "node_modules" / ".bin", folder / "python" / "bin"
    commands = {
        "filesystem": [str(node / "mcp-server-filesystem"), str(files)],
        "memory": [str(node / "mcp-server-memory")],
        "everything": [str(node / "mcp-server-everything")],
        "git": [str(python / "mcp-server-git")],
        "time": [str(python / "mcp-server-time")],
        "fetch": [str(python / "mcp-server-fetch"), "--ignore-robots-txt", "--allow-private-ips"],
        "sqlite": [str(python / "mcp-server-sqlite"), "--db-path", str(folder / "a.db")],
    }
    with served_page(folder) as page:
        given = {"files": str(files), "repo": str(repo), "page": page}
        yield Installed(commands, str(node / "mcp-inspector"), given)


@contextmanager
def served_page(folder: Path) -> Generator[str]:
    web = folder / "web"
    web.mkdir()
    (web / "index.html").write_text("<html><body><article><p>This is a page.</p></article></body></html>")
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(web)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split()[5]
        yield f"http://127.0.0.1:{port}/"
        server.kill()


def written(folder: Path, installed: Installed, names: Sequence[str], rules: str) -> Path:
    servers = {
        name: {"command": command[0], "args": command[1:], "env": {"MEMORY_FILE_PATH": str(folder / "memory.json")}}
        for name, command in installed.commands.items()
        if name in names
    }
    file = folder / "servers.json"
    file.write_text(json.dumps({"mcpServers": servers}))
    file.with_suffix(".toml").write_text(rules)
    return file


@asynccontextmanager
async def connected(file: Path) -> AsyncGenerator[tuple[Client, Gateway]]:
    orc = Orchestrator(policy=EAGER, store=file.parent / "runs.db")
    async with orc, Gateway(load_config(file), orc) as gateway, Client(gateway.server) as client:
        assert gateway.problems == {}
        yield client, gateway


def text(result: CallToolResult) -> str:
    return "".join(getattr(block, "text", "") for block in result.content)


def arguments_of(case: Case, installed: Installed) -> dict[str, Any]:
    return {
        name: value.format(**installed.given) if isinstance(value, str) else value
        for name, value in case.arguments.items()
    }


def processes_of(command: Sequence[str]) -> list[int]:
    """The processes that run a server: those whose command line holds its program."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                found += [int(entry.name)] * (command[0] in words)
    return found


def send(command: Sequence[str], number: signal.Signals) -> None:
    found = processes_of(command)
    assert found, f"no process runs {command[0]}"
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.parametrize("how", ["killed", "hung"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.server}-{case.tool}")
async def test_a_read_survives_its_server(case: Case, how: str, installed: Installed, tmp_path: Path) -> None:
    rules = f"timeout = 5.0\n[effects]\n{case.tool} = 'read'\n"
    command, arguments = installed.commands[case.server], arguments_of(case, installed)
    async with connected(written(tmp_path, installed, [case.server], rules)) as (client, gateway):
        assert case.said in text(await client.call_tool(case.tool, arguments))
        send(command, signal.SIGSTOP)
        call = asyncio.create_task(client.call_tool(case.tool, arguments))
        await asyncio.sleep(0.3)
        assert not call.done()
        if how == "killed":
            send(command, signal.SIGKILL)
        result = await call
        assert (case.said in text(result), result.is_error) == (True, False), text(result)
        assert case.said in text(await client.call_tool(case.tool, arguments))
        for row in gateway.orc.store.runs(parent=None):
            assert gateway.orc.verify(row.run_id).ok
            replayed = gateway.orc.replay(row.run_id)
            assert replayed.agrees, replayed.differences


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.server}-{case.tool}")
async def test_a_client_imports_a_whole_server_and_outlives_its_death(case: Case, installed: Installed) -> None:
    command = installed.commands[case.server]
    server = McpServer(case.server, command=command, timeout=60, trust=True)
    async with server, Orchestrator() as orc:
        tools = server.tools(effects={case.tool: "read"})
        assert len(tools) == len(server.listed or {})
        for tool in tools:
            orc.add(tool)
        for dies in (False, True):
            if dies:
                send(command, signal.SIGKILL)
            outcome = await orc.run(f"{case.tool}.result", arguments_of(case, installed))
            assert case.said in str(outcome.value)
    assert server.connection.opened == 2


@pytest.mark.parametrize(("effect", "said"), [("read", "operation completed"), ("write", "may have taken effect")])
async def test_a_server_is_killed_while_it_works(effect: str, said: str, installed: Installed, tmp_path: Path) -> None:
    tool = "trigger-long-running-operation"
    file = written(tmp_path, installed, ["everything"], f"[effects]\n{tool} = '{effect}'")
    async with connected(file) as (client, _):
        call = asyncio.create_task(client.call_tool(tool, {"duration": 3, "steps": 3}))
        await asyncio.sleep(1.5)
        send(installed.commands["everything"], signal.SIGKILL)
        result = await call
    assert (said in text(result), result.is_error) == (True, effect == "write")


async def test_a_write_whose_server_was_killed_is_not_made_twice(installed: Installed, tmp_path: Path) -> None:
    command = installed.commands["memory"]
    entity = {"name": "ann", "entityType": "person", "observations": ["a"]}
    async with connected(written(tmp_path, installed, ["memory"], "[effects]\nread_graph = 'read'\n")) as (client, _):
        assert not (await client.call_tool("create_entities", {"entities": [entity]})).is_error
        send(command, signal.SIGSTOP)
        more = {"observations": [{"entityName": "ann", "contents": ["b"]}]}
        call = asyncio.create_task(client.call_tool("add_observations", more))
        await asyncio.sleep(0.3)
        send(command, signal.SIGKILL)
        result = await call
        assert result.is_error
        assert "may have taken effect" in text(result)
        graph = json.loads(text(await client.call_tool("read_graph", {})))
        assert graph["entities"][0]["observations"] == ["a"]


async def test_one_server_stands_in_for_another_that_stays_dead(installed: Installed, tmp_path: Path) -> None:
    rules = (
        "[effects]\necho = 'read'\n[alternatives]\necho = [{tool = 'search_nodes', arguments = {query = 'message'}}]\n"
    )
    file = written(tmp_path, installed, ["everything", "memory"], rules)
    dies = tmp_path / "once"
    dies.write_text(f"#!/bin/sh\n[ -e {tmp_path}/dead ] && exit 1\nexec {installed.commands['everything'][0]}\n")
    dies.chmod(0o755)
    servers = json.loads(file.read_text())
    servers["mcpServers"]["everything"]["command"] = str(dies)
    file.write_text(json.dumps(servers))
    async with connected(file) as (client, _):
        assert "hello" in text(await client.call_tool("echo", {"message": "hello"}))
        (tmp_path / "dead").touch()
        send(installed.commands["everything"], signal.SIGKILL)
        result = await client.call_tool("echo", {"message": "hello"})
        assert ("entities" in text(result), result.is_error) == (True, False)


def inspected(installed: Installed, cwd: Path, *words: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [installed.inspector, "--cli", *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_the_inspector_sees_the_tools_of_all_servers(installed: Installed, tmp_path: Path) -> None:
    file = written(tmp_path, installed, list(installed.commands), "")
    server = [sys.executable, "-m", "orchestrator.cli", "gateway", str(file), "--store", str(tmp_path / "runs.db")]
    listed = {tool["name"]: tool for tool in inspected(installed, tmp_path, *server, "--method", "tools/list")["tools"]}
    assert {case.tool for case in CASES} <= listed.keys()
    assert listed["get-sum"]["inputSchema"]["required"] == ["a", "b"]
    given = ("--tool-name", "get-sum", "--tool-arg", "a=2", "--tool-arg", "b=3")
    called = inspected(installed, tmp_path, *server, "--method", "tools/call", *given)
    assert "5" in called["content"][0]["text"]
    prompts = inspected(installed, tmp_path, *server, "--method", "prompts/list")["prompts"]
    assert prompts
    resources = inspected(installed, tmp_path, *server, "--method", "resources/list")["resources"]
    read = inspected(installed, tmp_path, *server, "--method", "resources/read", "--uri", resources[0]["uri"])
    assert read["contents"][0]["uri"] == resources[0]["uri"]


def test_the_inspector_reaches_a_goal_and_looks_at_its_run(installed: Installed, tmp_path: Path) -> None:
    folder = tmp_path / "project" / "tools"
    folder.mkdir(parents=True)
    code = '@tool(gives="loud")\ndef shout(word: str) -> str:\n    return word.upper()\n'
    (folder / "shout.py").write_text(f"from orchestrator import tool\n\n\n{code}")
    server = [sys.executable, "-m", "orchestrator.cli", "mcp", "--project", str(folder.parent)]
    server += ["--store", str(tmp_path / "runs.db")]
    listed = inspected(installed, tmp_path, *server, "--method", "tools/list")["tools"]
    assert "loud" in [tool["name"] for tool in listed]
    given = ("--tool-name", "loud", "--tool-arg", "word=hello")
    called = inspected(installed, tmp_path, *server, "--method", "tools/call", *given)
    assert "HELLO" in json.dumps(called)
    looked = inspected(installed, tmp_path, *server, "--look", "--method", "tools/call", "--tool-name", "runs")
    assert [run["status"] for run in looked["structuredContent"]["runs"]] == ["reached"]
