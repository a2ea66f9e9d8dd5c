"""Goals served as MCP tools by real processes, called by the official client and by our own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.dispatcher import ProgressFnT

from orchestrator import Goal, InputError, Orchestrator, Status, Tool
from orchestrator.cli.app import invoke
from orchestrator.errors import DefinitionError
from orchestrator.integrations.mcp import GoalServer, McpServer
from orchestrator.integrations.mcp.goals import STATUS_TOOL
from orchestrator.integrations.mcp.serving import listen

PROJECT = '''
from pydantic import BaseModel

from orchestrator import Unavailable, tool


class Parcel(BaseModel):
    kg: float
    to: str


@tool(gives="quote", cost=0.001)
def carrier(parcel: Parcel) -> float:
    """The price that the carrier asks."""
    print("this would garble the protocol")
    raise Unavailable("closed")


@tool(gives="quote", cost=0.5)
def rate_table(parcel: Parcel) -> float:
    """The price of the printed table."""
    return parcel.kg * 2


@tool(gives="label", effect="write", approval=True)
def buy(quote: float, address: str) -> str:
    """Buy a label."""
    return f"label to {address}"


@tool(gives="photo")
def photo(parcel: Parcel) -> str:
    """Take a picture."""
    raise Unavailable("no light")
'''
PROGRAM = [sys.executable, "-m", "orchestrator.cli"]
ROOT = str(Path(__file__).parents[3])
BOX = {"parcel": {"kg": 3, "to": "Oslo"}}


def write_project(path: Path) -> Path:
    for folder in ("tools", "policies"):
        (path / folder).mkdir()
    (path / "tools" / "shop.py").write_text(PROJECT)
    (path / "policies" / "ask.toml").write_text('escalation = ["demote"]\n')
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


def arguments(project: Path) -> list[str]:
    return ["mcp", "--project", str(project), "--policy", "ask", "--store", str(project / "runs.db")]


@asynccontextmanager
async def client(project: Path, *more: str) -> AsyncGenerator[Client]:
    """The official client, and our server as its child."""
    words = [*PROGRAM[1:], *arguments(project), *more]
    given = StdioServerParameters(command=PROGRAM[0], args=words, env={"PYTHONPATH": ROOT})
    with open(os.devnull, "w") as nowhere:  # noqa: ASYNC230
        from mcp.client.stdio import stdio_client

        async with Client(stdio_client(given, errlog=nowhere), read_timeout_seconds=30) as made:
            yield made


class Session:
    """The client of one server, for all tests that leave the server as it was: another process takes seconds."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self._portal = portal
        self._client = client

    def tools(self) -> dict[str, Any]:
        """What the server offers, by name."""
        return {tool.name: tool for tool in self._portal.call(self._client.list_tools).tools}

    def call(self, tool: str, given: dict[str, Any], progress: ProgressFnT | None = None) -> Any:
        """Call a tool."""
        return self._portal.call(partial(self._client.call_tool, tool, given, progress_callback=progress))


@pytest.fixture(scope="module")
def session(project: Path) -> Generator[Session]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client(project)) as made:
        yield Session(portal, made)


def test_each_goal_is_a_tool_with_what_it_takes_and_does(session: Session) -> None:
    tools = session.tools()
    assert sorted(tools) == ["label", STATUS_TOOL, "photo", "quote"]
    label = tools["label"]
    assert label.input_schema["required"] == ["address", "parcel"]
    assert label.input_schema["properties"]["parcel"] == {"$ref": "#/$defs/parcel.Parcel"} or (
        label.input_schema["properties"]["parcel"]["properties"]["kg"]["type"] == "number"
    )
    assert label.description == "Get label by the cheapest route that works. Buy a label."
    for name, reads in (("quote", True), ("label", False)):
        annotations = tools[name].annotations
        assert annotations is not None
        assert annotations.read_only_hint is reads


def test_a_call_is_a_governed_run_with_its_trail(tmp_path: Path) -> None:
    """With a server and a store of its own, so that nothing is known of its tools."""
    project = write_project(tmp_path)
    told: list[str | None] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client(project)) as made:
        answer = Session(portal, made).call("quote", BOX, report)
    assert not answer.is_error
    run: Any = answer.structured_content
    assert (run["status"], run["value"], run["route"]) == ("reached", 6.0, ["rate_table"])
    assert [(tried["tool"], tried["ok"]) for tried in run["tried"]] == [("carrier", False), ("rate_table", True)]
    assert [decision["kind"] for decision in run["decisions"]][-1] == "reroute"
    assert told[0] == "route: carrier"
    shown: Any = answer.content[0]
    assert shown.text.startswith("6.0\n\n[run mcp-") and "reached by rate_table" in shown.text
    for command in ("verify", "replay"):
        assert invoke([command, run["run_id"], "--store", str(project / "runs.db")]) == 0


def test_a_goal_that_was_not_reached_is_an_error_that_says_why(session: Session) -> None:
    answer = session.call("photo", BOX)
    run: Any = answer.structured_content
    assert answer.is_error
    assert run["status"] == "escalated"
    assert "photo (outage: no light" in run["why"]


def test_a_run_that_waits_is_answered_by_a_person_and_by_no_client(session: Session, project: Path) -> None:
    answer = session.call("label", {**BOX, "address": "Main Street"})
    run: Any = answer.structured_content
    assert (answer.is_error, run["status"], run["value"]) == (False, "waiting", None)
    assert run["answer_with"] == f"orchestrator resume {run['run_id']}"
    for tool in session.tools().values():
        assert "answer" not in tool.input_schema["properties"]
    words = ["resume", run["run_id"], "yes", "--by", "ann", *arguments(project)[1:]]
    done = subprocess.run([*PROGRAM, *words], timeout=60, check=False, env={"PYTHONPATH": ROOT}, capture_output=True)
    assert done.returncode == 0
    later: Any = session.call(STATUS_TOOL, {"run_id": run["run_id"]}).structured_content
    assert later["status"] == "reached"
    assert "answered by ann" in [decision["reason"] for decision in later["decisions"]]


@pytest.mark.parametrize(
    ("goal", "given", "said"),
    [
        ("label", {}, "To get label, please give: address (str), parcel (Parcel)."),
        ("quote", {"parcel": {"kg": "heavy", "to": "Oslo"}}, "parcel is no Parcel"),
        ("quote", {**BOX, "discount": 1}, "discount"),
        (STATUS_TOOL, {"run_id": "somebody-elses"}, "begins with 'mcp-'"),
        (STATUS_TOOL, {"run_id": "mcp-nothing"}, "no run"),
    ],
    ids=str,
)
def test_wrong_arguments_are_answered_clearly(session: Session, goal: str, given: Any, said: str) -> None:
    answer = session.call(goal, given)
    shown: Any = answer.content[0]
    assert answer.is_error
    assert said in shown.text


async def test_a_tool_that_there_is_not(project: Path) -> None:
    async with client(project, "--goal", "quote") as session:
        assert sorted(tool.name for tool in (await session.list_tools()).tools) == [STATUS_TOOL, "quote"]
        with pytest.raises(MCPError, match="no tool 'label'"):
            await session.call_tool("label", {})


async def test_one_orchestrator_uses_the_goals_of_another(project: Path) -> None:
    command = [*PROGRAM, *arguments(project)]
    async with McpServer("shop", command=command, env={"PYTHONPATH": ROOT}, trust=True, timeout=30) as shop:
        tool = shop.tool("quote", gives="answer")
        outcome = await Orchestrator([tool]).run("answer", BOX)
    assert (tool.effect, outcome.status) == ("read", Status.REACHED)
    assert outcome.value["value"] == 6.0


def test_what_cannot_be_offered() -> None:
    orc = Orchestrator([Tool(lambda: 1, name="a.b"), Tool(lambda: 1, name="a_b")])
    with pytest.raises(InputError, match="No tool gives 'c'"):
        GoalServer(orc, ["c"])
    with pytest.raises(DefinitionError, match="'a_b' twice"):
        GoalServer(orc)
    assert GoalServer(orc, ["a.b"]).offered["a_b"].goal == Goal("a.b")
    assert list(GoalServer(orc, ["a.b + a_b"]).offered) == ["a_b_and_a_b"]


async def test_a_call_may_spend_so_much_and_no_more() -> None:
    orc = Orchestrator([Tool(lambda: 1, name="dear", cost=2.0)])
    async with Client(GoalServer(orc, budget=1.0).server) as session:
        answer = await session.call_tool("dear", {})
    assert answer.is_error
    assert "$1 of $1 is left" in str(answer.structured_content)


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(project: Path) -> Generator[tuple[str, str]]:
    """The address and the token of a server in a process of its own."""
    words = [*PROGRAM, *arguments(project), "--http"]
    environment = {"PYTHONPATH": ROOT, "ORCHESTRATOR_MCP_TOKEN": "t0ken"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        url = next(line.strip() for line in process.stderr if line.startswith("http://127.0.0.1:"))
        assert process.stderr.readline().strip() == "Authorization: Bearer t0ken"
        yield url, "t0ken"
        process.terminate()
        process.wait(20)


async def test_over_http_with_the_token(address: tuple[str, str]) -> None:
    url, token = address
    headers = {"Authorization": f"Bearer {token}"}
    async with McpServer("shop", url=url, headers=headers, trust=True) as shop:
        outcome = await Orchestrator([shop.tool("quote", gives="answer")]).run("answer", BOX)
        assert outcome.value["status"] == "reached"
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as session,
    ):
        answer: Any = await session.call_tool("quote", BOX)
        assert answer.structured_content["value"] == 6.0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer t0ken", "Host": "evil.example"}, 421),
        ({"Authorization": "Bearer t0ken", "Origin": "http://evil.example"}, 403),
    ],
    ids=str,
)
async def test_over_http_strangers_are_turned_away(address: tuple[str, str], headers: Any, status: int) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    kinds = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient() as http:
        answer = await http.post(address[0], content=body, headers={**kinds, **headers})
    assert answer.status_code == status


def test_it_listens_on_this_machine_alone() -> None:
    with pytest.raises(InputError, match="this machine alone"):
        listen("0.0.0.0", 0)
    with listen("127.0.0.1", 0) as taken, pytest.raises(InputError, match="cannot be listened on"):
        listen("127.0.0.1", taken.getsockname()[1])


async def test_a_client_that_gives_up_cancels_its_run_and_what_stands_is_undone() -> None:
    log: list[str] = []

    async def slow(hold: str) -> str:
        await asyncio.sleep(5)
        return hold

    reserve = Tool(
        lambda parcel: parcel, name="reserve", needs=["parcel"], gives="hold", effect="write", compensate=log.append
    )
    async with Orchestrator([reserve, Tool(slow, name="slow", gives="label")]) as orc:
        async with Client(GoalServer(orc).server) as made:
            with pytest.raises(MCPError):
                await made.call_tool("label", {"parcel": "p"}, read_timeout_seconds=0.4)
            run_id = orc.store.runs()[0].run_id
            outcome = await asyncio.wait_for(orc.cancel(run_id), 3)  # waits for the run, which ends by itself
        assert (outcome.status, outcome.compensated, outcome.uncompensated) == (Status.ESCALATED, ("reserve",), ())
    assert log == ["p"]


async def test_clients_that_subscribed_are_told_when_the_graph_changes() -> None:
    async with (
        Orchestrator([Tool(lambda: 1, name="one", gives="one")]) as orc,
        Client(GoalServer(orc).server) as client,
        client.listen(tools_list_changed=True) as changes,
    ):
        before = {tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools}
        orc.add(Tool(lambda: 2, name="two", gives="two"))
        async with asyncio.timeout(10):
            await anext(aiter(changes))
        after = {tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools}
        assert after - before == {"two"}
        orc.remove("one")
        with pytest.raises(MCPError, match="There is no tool 'one'"):
            await client.call_tool("one", {})


async def test_clients_of_the_protocol_before_that_are_told_too() -> None:
    told = asyncio.Event()

    async def heard(message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            told.set()

    async with (
        Orchestrator([Tool(lambda: 1, name="one", gives="one")]) as orc,
        Client(GoalServer(orc).server, mode="legacy", message_handler=heard) as client,
    ):
        await client.list_tools(cache_mode="refresh")
        orc.add(Tool(lambda: 2, name="two", gives="two"))
        await asyncio.wait_for(told.wait(), 10)


async def test_chosen_goals_come_and_go_with_their_tools() -> None:
    async with Orchestrator(
        [Tool(lambda: 1, name="one", gives="one"), Tool(lambda: 2, name="two", gives="two")]
    ) as orc:
        server = GoalServer(orc, ["one"])
        async with Client(server.server) as client:
            orc.remove("one")
            names = {tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools}
            assert names == {STATUS_TOOL}
            orc.add(Tool(lambda: 3, name="other", gives="one"))
            names = {tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools}
            assert names == {STATUS_TOOL, "one"}


async def test_our_own_client_follows_a_server_whose_graph_changes(tmp_path: Path) -> None:
    program = tmp_path / "changing.py"
    program.write_text(CHANGING)
    server = McpServer("changing", command=[sys.executable, str(program)], env={"PYTHONPATH": os.getcwd()}, timeout=30)
    told = asyncio.Event()

    async def heard() -> None:
        told.set()

    server.on_change(heard)
    async with server:
        assert "two" not in (server.listed or {})
        async with server.connection.client() as client:
            await client.call_tool("grow", {})
        await asyncio.wait_for(told.wait(), 20)
        assert "two" in (server.listed or {})


CHANGING = """
from orchestrator import Orchestrator, Tool
from orchestrator.integrations.mcp.serving import serve

orc = Orchestrator()

def grow() -> bool:
    orc.add(Tool(lambda: 2, name="two", gives="two"))
    return True

orc.add(Tool(grow, name="grow", gives="grow"))
serve(orc)
"""
