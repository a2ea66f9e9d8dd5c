"""No statement is sent to the store from the event loop while runs go on: by a run, a question, a probe or an end."""

import asyncio
import threading
import time
import traceback
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from orchestrator import Agent, AskHuman, Demote, FailureKind, Orchestrator, Policy, RunContext, Tool, Unavailable, tool
from orchestrator.core.policy import CircuitPolicy, Retries
from orchestrator.selection import Consensus
from orchestrator.store.sql.writer import Writer

POLICY = Policy(
    name="quick",
    retries=Retries(base_seconds=0.01, attempts=2),
    circuit=CircuitPolicy(consecutive=2, open_seconds=0.1),
    max_spend_per_day=100.0,
    max_spend_per={"tenant": 50.0},
)


class Watch:
    """Where a statement was sent from the watched thread."""

    def __init__(self) -> None:
        self.thread: int | None = None
        self.found: list[str] = []

    def look(self, *args: Any) -> None:
        """Called before each statement, and before a wait for the writer."""
        if threading.get_ident() == self.thread:
            frames = [f for f in traceback.extract_stack() if "/orchestrator/" in f.filename]
            self.found.append(" > ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in frames[-6:]))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Generator[Watch]:
    made, call = Watch(), Writer.call

    def waits(*args: Any) -> Any:
        made.look()
        return call(*args)

    monkeypatch.setattr(Writer, "call", waits)  # it blocks until the writer's thread has the answer
    event.listen(Engine, "before_cursor_execute", made.look)
    yield made
    event.remove(Engine, "before_cursor_execute", made.look)


def tools() -> list[Tool]:
    """Reads that fail and recover, paid writes, questions, approvals, children and a team."""
    tries: list[int] = []

    @tool(gives="price")
    async def flaky(n: int) -> int:
        tries.append(n)
        if len(tries) < 4:
            raise Unavailable("not yet")
        return n

    @tool(gives="price", cost=0.5)
    async def spare(n: int) -> int:
        return n

    async def undo(output: str) -> None:
        return

    @tool(gives="order", effect="write", compensate=undo)
    async def order(price: int, ctx: RunContext) -> str:
        ctx.charge(0.1)
        return f"order {price}"

    @tool(gives="name")
    async def name(n: int, ctx: RunContext) -> str:
        await ctx.once("k", lambda: 1)
        return str(await ctx.wait(f"name of {n}?", str))

    @tool(gives="paid", effect="write", approval=True, compensate=undo)
    def pay(name: str) -> str:
        return f"paid {name}"

    @tool(gives="all")
    async def everything(n: int, ctx: RunContext) -> str:
        found = await asyncio.gather(*(ctx.reach("order", {"n": k}) for k in range(3)))
        await ctx.discard(found[0])
        return str((await ctx.reach("paid", {"n": n})).value)

    return [flaky, spare, order, name, pay, everything]


def team() -> Agent:
    def saying(who: str) -> Agent:
        return Agent(lambda n: n, name=who, gives="answer", cost=0.01)

    return Agent(Consensus(saying("cheap"), [saying("ada"), saying("bob")]), name="panel")


def open_circuit(orc: Orchestrator, name: str) -> None:
    """A circuit whose probe is due."""
    for _ in range(6):
        orc.health.record(name, False, FailureKind.TRANSIENT)
    entry = orc.health.entries.entry(name)
    entry.circuit = replace(entry.circuit, probe_at=time.monotonic())


async def work(orc: Orchestrator, other: Orchestrator) -> None:
    await orc.run("all", {"n": 1}, run_id="a", labels={"tenant": "x"})
    await orc.resume("a", "ann")
    assert (await orc.resume("a", "yes")).ok
    await orc.run("all", {"n": 2}, run_id="b", labels={"tenant": "x"})
    await orc.cancel("b")
    leaving = asyncio.create_task(orc.run("all", {"n": 3}, run_id="c"))
    await asyncio.sleep(0.02)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await orc.run("all", {"n": 4}, run_id="d", labels={"tenant": "x"})
    await other.resume("d", "bob")  # another process would do the same
    assert (await other.resume("d", "yes")).ok
    assert (await other.run("all", {"n": 4}, run_id="d")).ok
    for name in ("cheap", "ada", "bob", "panel", "flaky"):
        open_circuit(orc, name)
    await orc.run("answer", {"n": 5})
    await orc.run("order", {"n": 5})
    await orc.submit("order", {"n": 6})


async def test_no_statement_is_sent_from_the_event_loop(tmp_path: Path, watch: Watch) -> None:
    escalation = [Demote(), AskHuman()]
    path = tmp_path / "runs.db"
    orc = Orchestrator(tools(), [team()], policy=POLICY, store=path, escalation=escalation)
    other = Orchestrator(tools(), [team()], policy=POLICY, store=path, escalation=escalation)
    orc.store.flush()
    watch.thread = threading.get_ident()
    await work(orc, other)
    await orc.aclose()
    await other.aclose()
    watch.thread = None
    assert not watch.found


async def test_a_statement_from_the_event_loop_would_be_found(tmp_path: Path, watch: Watch) -> None:
    async with Orchestrator(tools(), store=tmp_path / "runs.db") as orc:
        watch.thread = threading.get_ident()
        orc.store.runs()
        watch.thread = None
        assert watch.found
