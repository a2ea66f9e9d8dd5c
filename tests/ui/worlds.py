"""Runs that the viewer's tests look at: a healed one, one that waits, one whose tools are hostile."""

from dataclasses import dataclass
from pathlib import Path

from starlette.testclient import TestClient

from orchestrator import Agent, AskHuman, Demote, Goal, Orchestrator, RunContext, Status, Tool, Unavailable, tool
from orchestrator.ui import create_app

TOKEN = "a-token-of-the-tests"
HERE = "http://127.0.0.1:8000"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp\x1b[2Jexe"

NAME = HOSTILE.partition("\u202e")[0]
"""The part of it that may be a name: markup, without control characters and direction marks."""


@tool(gives="quote", cost=0.002, latency=0.3)
async def carrier_api(parcel: str) -> float:
    raise Unavailable("the carrier is down")


@tool(gives="quote", cost=0.010, latency=0.1)
def rate_table(parcel: str) -> float:
    return 4.2


@tool(gives="label", effect="write", compensate=lambda label: None)
async def buy_label(quote: float) -> str:
    return "label"


@tool(gives="refund", effect="irreversible", approval=True)
def pay_back(label: str) -> str:
    return "paid"


@tool(gives="letter")
async def letter(parcel: str, ctx: RunContext) -> str:
    return f"{await ctx.reach('quote', {'parcel': parcel})}"


def summarise(parcel: str) -> str:
    return f"{parcel}, in short"


def orchestrator(store: str | Path | None = None) -> Orchestrator:
    """Of the tools above."""
    agent = Agent(summarise, name="summariser", gives="summary", skills={"summarise": 0.8}, cost=0.01)
    return Orchestrator(
        [carrier_api, rate_table, buy_label, pay_back, letter],
        [agent],
        policy="balanced",
        escalation=[Demote(), AskHuman()],
        store=store,
    )


@dataclass(frozen=True)
class World:
    """An orchestrator, and the ids of its runs."""

    orc: Orchestrator
    healed: str
    waiting: str
    parent: str
    summary: str


async def world(store: str | Path | None = None) -> World:
    """The runs."""
    orc = orchestrator(store)
    healed = await orc.run("label", {"parcel": "book"}, run_id="healed")
    waiting = await orc.run("refund", {"label": "l-1"}, run_id="waiting")
    parent = await orc.run("letter", {"parcel": "book"}, run_id="parent")
    summary = await orc.run("summary", {"parcel": "book"}, run_id="summary")
    assert (healed.status, waiting.status, parent.status) == (Status.REACHED, Status.WAITING, Status.REACHED)
    return World(orc, healed.run_id, waiting.run_id, parent.run_id, summary.run_id)


async def hostile_world() -> Orchestrator:
    """A tool and a goal with a hostile name, an error and a question that are hostile too."""

    def fails(parcel: str) -> str:
        raise Unavailable(HOSTILE)

    bad = Tool(fails, name=NAME, gives="thing", needs=["parcel"])
    orc = Orchestrator([bad], policy="balanced", escalation=[AskHuman(prompt=HOSTILE)])
    await orc.run(Goal("thing"), {"parcel": "book"}, run_id=f"run {NAME}")
    return orc


def viewer(orc: Orchestrator) -> TestClient:
    """A browser without a cookie."""
    return TestClient(create_app(orc, token=TOKEN), base_url=HERE)


def admitted(orc: Orchestrator) -> TestClient:
    """A browser that has opened the printed address."""
    client = viewer(orc)
    opened = client.get(f"/?token={TOKEN}")
    assert opened.status_code == 200
    return client


def csrf_of(page: str) -> str:
    """What the forms of a page carry."""
    return page.split('name="csrf" value="')[1].split('"')[0]
