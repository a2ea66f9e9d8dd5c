"""Tools of a real MCP server, as a process of its own, in the graph."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel

from orchestrator import DefinitionError, Goal, Orchestrator, Progressed, Status, Tool, Unavailable
from orchestrator.core.enums import Effect, FailureKind
from orchestrator.integrations.mcp import McpServer

SERVER = Path(__file__).with_name("shop_server.py")
in_its_loop = pytest.mark.asyncio(loop_scope="module")
"""For a test that uses the server of them all, whose session lives in one event loop."""


class Quote(BaseModel):
    usd: float
    days: int


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "shop.log"


def done(log: Path) -> list[str]:
    """What the server did."""
    return log.read_text().splitlines()


def over_stdio(log: Path, **options: Any) -> McpServer:
    given: dict[str, Any] = {"command": [sys.executable, str(SERVER), "stdio"], "env": {"SHOP_LOG": str(log)}}
    given.update({"timeout": 20, "trust": True, **options})
    return McpServer("shop", **given)


@pytest.fixture
async def shop(log: Path) -> AsyncGenerator[McpServer]:
    """A server of one's own, to be killed or kept waiting."""
    async with over_stdio(log) as server:
        yield server


@pytest.fixture(scope="module")
def one_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop") / "shop.log"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_shop(one_log: Path) -> AsyncGenerator[McpServer]:
    """One server for all tests that leave it as it was: another process of Python and MCP takes seconds."""
    async with over_stdio(one_log) as server:
        yield server


@in_its_loop
async def test_what_a_server_offers_is_read_from_it(open_shop: McpServer) -> None:
    assert open_shop.listed is not None
    quote = open_shop.listed["quote"]
    assert (quote.description, quote.takes, quote.required) == (
        "What sending a parcel costs.",
        {"parcel": str, "days": int},
        ("parcel",),
    )


@in_its_loop
async def test_calls_give_values_of_their_types(open_shop: McpServer) -> None:
    tools = [
        open_shop.tool("quote", gives={"quote": Quote}, cost=0.002),
        open_shop.tool("weigh", gives={"grams": int}),
        open_shop.tool("describe", gives="text"),
    ]
    async with Orchestrator(tools) as orc:
        outcome = await orc.run(Goal(["quote", "grams", "text"]), {"parcel": "abc"})
    assert outcome.value == {"quote": Quote(usd=4.5, days=3), "grams": 300, "text": "a parcel with abc"}
    assert (outcome.cost, open_shop.connection.opened) == (0.002, 1)


@in_its_loop
async def test_an_optional_parameter_is_filled_only_where_it_was_named(open_shop: McpServer, one_log: Path) -> None:
    def runs(tool: Tool) -> Any:
        return Orchestrator([tool]).run("seen", {"parcel": "box", **({"iban": "DE02"} if iban else {})})

    iban = True
    named = open_shop.tool("crowd", gives="seen", needs=["parcel", "iban"])
    assert (named.needs, named.optional) == ({"parcel": "parcel"}, {"iban": "iban"})
    assert (await runs(named)).value == "DE02"
    iban = False
    assert (await runs(named)).value == "nothing"
    unnamed = open_shop.tool("crowd", gives="seen")
    orc = Orchestrator([unnamed, Tool(lambda: "DE02", name="iban")])
    assert (await orc.run("seen", {"parcel": "box", "iban": "DE02"})).value == "nothing"
    assert done(one_log)[-1] == "crowd box "


@in_its_loop
async def test_a_trusted_server_says_what_a_tool_does_and_an_untrusted_one_does_not(
    open_shop: McpServer, one_log: Path
) -> None:
    def effects(server: McpServer) -> list[Effect]:
        return [server.tool(name, gives=name + "s", needs=["parcel"]).effect for name in ("weigh", "book", "burn")]

    assert effects(open_shop) == [Effect.READ, Effect.WRITE, Effect.IRREVERSIBLE]
    for effect in Effect:  # the user's word counts: a read has nothing to settle, a write of an idempotent tool has
        (told,) = open_shop.tools(["book"], effects={"book": effect})
        assert (told.effect, told.reconcile is None) == (effect, effect is Effect.READ)
        assert open_shop.tool("weigh", gives="grams", effect=effect).effect is effect
    async with over_stdio(one_log, trust=False) as stranger:
        assert effects(stranger) == [Effect.WRITE] * 3
        assert stranger.tool("weigh", gives="grams", needs=["parcel"], effect="read").effect is Effect.READ
        with pytest.raises(DefinitionError, match=r"state needs=\[...\].*until trust=True"):
            stranger.tool("weigh", gives="grams")


async def test_without_having_asked_the_user_says_everything(log: Path) -> None:
    server = over_stdio(log)
    with pytest.raises(DefinitionError, match="which values a server gets is for you to say"):
        server.tool("weigh", gives="grams")
    tool = server.tool("weigh", gives={"grams": int}, needs={"parcel": "box"}, effect="read")
    assert (tool.needs, server.connection.opened) == ({"parcel": "box"}, 0)
    assert (await Orchestrator([tool]).run("grams", {"box": "ab"})).value == 200
    await server.aclose()


@in_its_loop
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"remote": "wiegh", "gives": "x"}, "has no tool 'wiegh'. Did you mean 'weigh'"),
        ({"remote": "weigh"}, "state gives="),
        ({"remote": "weigh", "gives": "x", "needs": ["box"]}, "does not take"),
        ({"remote": "quote", "gives": "x", "needs": ["days"]}, "also takes"),
    ],
    ids=str,
)
async def test_what_is_wrong_is_told_when_it_is_written(open_shop: McpServer, options: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        open_shop.tool(options.pop("remote"), **options)


@pytest.mark.parametrize(
    "options",
    [{}, {"command": ["x"], "url": "http://127.0.0.1"}, {"url": "ftp://x"}, {"command": "a b"}, {"url": "http://"}],
    ids=str,
)
def test_a_server_is_a_command_or_an_address(options: Any) -> None:
    with pytest.raises(DefinitionError):
        McpServer("shop", **options)


@in_its_loop
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("there is no such order", FailureKind.REFUSAL),
        ("validation error: parcel", FailureKind.CALLER_ERROR),
        ("too many requests", FailureKind.TRANSIENT),
        ("service unavailable", FailureKind.OUTAGE),
        ("", FailureKind.BUG),
    ],
)
async def test_what_an_error_means(open_shop: McpServer, words: str, kind: FailureKind) -> None:
    tool = open_shop.tool("fail", gives="never", retries=0)
    outcome = await Orchestrator([tool]).run("never", {"words": words})
    assert (outcome.status, [failure.kind for failure in outcome.failures]) == (Status.ESCALATED, [kind])


async def test_arguments_that_the_server_rejects_are_the_callers_error(log: Path) -> None:
    server = over_stdio(log)
    tool = server.tool("dawdle", gives="late", needs=["seconds"], effect="read")
    outcome = await Orchestrator([tool]).run("late", {"seconds": "soon"})
    assert [failure.kind for failure in outcome.failures] == [FailureKind.CALLER_ERROR]
    await server.aclose()


@in_its_loop
async def test_progress_is_streamed(open_shop: McpServer) -> None:
    orc = Orchestrator([open_shop.tool("dawdle", gives="late")])
    told = [event.progress async for event in orc.stream("late", {"seconds": 0.05}) if isinstance(event, Progressed)]
    assert told == ["half way"]


async def test_an_answer_that_does_not_come_is_a_time_out_and_others_go_on(shop: McpServer) -> None:
    slow = shop.tool("dawdle", gives="late", retries=0, timeout=0.5)
    weigh = shop.tool("weigh", gives="grams")
    orc = Orchestrator([slow, weigh])
    late, grams = await asyncio.gather(orc.run("late", {"seconds": 30.0}), orc.run("grams", {"parcel": "ab"}))
    assert [failure.kind for failure in late.failures] == [FailureKind.TRANSIENT]
    assert (grams.value, shop.connection.opened) == (200, 1)


async def test_answers_that_never_come_end_a_session_and_calls_under_way_survive_that(shop: McpServer) -> None:
    patient = shop.tool("dawdle", gives="later", name="patient", needs={"seconds": "long"})
    shop.timeout = 0.5
    hasty = shop.tool("dawdle", gives="soon", name="hasty", needs={"seconds": "short"}, retries=0)
    orc = Orchestrator([patient, hasty, shop.tool("weigh", gives="grams")])
    under_way = asyncio.create_task(orc.run("later", {"long": 4.0}))
    for _ in range(2):
        assert (await orc.run("soon", {"short": 30.0})).status is Status.ESCALATED
    shop.timeout = 20
    assert (await orc.run("grams", {"parcel": "ab"})).value == 200
    assert shop.connection.opened == 2
    assert (await under_way).value == "at last"


async def test_a_server_that_dies_in_a_call_is_started_again(shop: McpServer, log: Path) -> None:
    outcome = await Orchestrator([shop.tool("die", gives="alive")]).run("alive", {"parcel": "box"})
    assert outcome.value == "alive with box"
    assert [failure.kind for failure in outcome.failures] == [FailureKind.TRANSIENT]
    assert (shop.connection.opened, done(log)) == (2, ["die box"] * 2)


async def test_a_write_whose_answer_was_lost_is_settled_before_it_is_repeated(shop: McpServer, log: Path) -> None:
    """The server of a trusted user says that booking twice is no harm."""
    outcome = await Orchestrator([shop.tool("book", gives="booking")]).run("booking", {"parcel": "box"})
    assert outcome.value == "booked box"
    assert [failure.kind for failure in outcome.failures] == [FailureKind.AMBIGUOUS]
    assert done(log) == ["book box"] * 2


async def test_a_write_of_a_stranger_whose_answer_was_lost_is_not_repeated(log: Path) -> None:
    async with over_stdio(log, trust=False) as server:
        tool = server.tool("book", gives="booking", needs=["parcel"])
        outcome = await Orchestrator([tool]).run("booking", {"parcel": "box"})
    assert (outcome.status, outcome.uncompensated) == (Status.ESCALATED, ("book",))
    assert done(log) == ["book box"]


async def test_a_server_that_cannot_be_started_is_an_outage_and_another_way_is_taken(tmp_path: Path) -> None:
    server = McpServer("gone", command=[str(tmp_path / "nothing-here")])
    remote = server.tool("weigh", gives="grams", needs=["parcel"])
    spare = Tool(lambda parcel: 1, name="scale", gives="grams", cost=1)
    outcome = await Orchestrator([remote, spare]).run("grams", {"parcel": "box"})
    assert outcome.value == 1  # although the remote tool counts as a write: it was never reached
    assert {failure.kind for failure in outcome.failures} <= {FailureKind.OUTAGE, FailureKind.TRANSIENT}
    assert "The MCP server 'gone' cannot be reached" in outcome.failures[0].message


async def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    silent = McpServer("silent", command=[sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5)
    with pytest.raises(Unavailable, match="did not answer in time"):
        await silent.list_tools()


def test_one_server_serves_one_event_loop_after_another(log: Path) -> None:
    server = over_stdio(log)
    orc = Orchestrator([server.tool("weigh", gives="grams", needs=["parcel"], effect="read")])
    assert [asyncio.run(orc.run("grams", {"parcel": parcel})).value for parcel in ("a", "ab")] == [100, 200]
    assert server.connection.opened == 2


# -- over HTTP ---------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Serving:
    """The server on a port, to be stopped and started again."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, str(SERVER), "http", str(self.port)]
        self.process = subprocess.Popen(command, env={"SHOP_LOG": str(self.log)}, stderr=subprocess.DEVNULL)
        for _ in range(600):
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("it does not listen")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)


@pytest.fixture
def serving(log: Path) -> Generator[Serving]:
    made = Serving(log)
    yield made
    made.stop()


async def test_a_server_over_http_goes_away_and_comes_back(serving: Serving) -> None:
    await asyncio.to_thread(serving.start)
    async with McpServer("shop", url=f"http://127.0.0.1:{serving.port}/mcp", trust=True, timeout=10) as server:
        orc = Orchestrator([server.tool("quote", gives={"quote": Quote}, retries=0)])
        assert (await orc.run("quote", {"parcel": "abc"})).value == Quote(usd=4.5, days=3)
        await asyncio.to_thread(serving.stop)
        gone = await orc.run("quote", {"parcel": "abcd"})
        assert gone.status is Status.ESCALATED
        assert {failure.kind for failure in gone.failures} <= {FailureKind.OUTAGE, FailureKind.TRANSIENT}
        await asyncio.to_thread(serving.start)
        assert (await orc.run("quote", {"parcel": "abcde"})).value == Quote(usd=7.5, days=3)
