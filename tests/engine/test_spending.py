"""Limits of a day: over runs at once, over processes (orchestrators on one store), by label."""

import asyncio
import os
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Policy, Resolution, RunContext, Status, Tool, Unavailable, tool
from orchestrator.engine import spending


def model(calls: list[int]) -> Tool:
    """A call that costs 40 cents."""

    @tool(gives="part", cost=0.4)
    async def ask(i: int) -> int:
        calls.append(i)
        await asyncio.sleep(0.001)
        return i

    return ask


async def test_a_day_is_one_account_over_processes(tmp_path: Path) -> None:
    calls: list[int] = []
    for _ in range(3):
        policy = Policy(max_spend_per_day=1.0)
        async with Orchestrator([model(calls)], policy=policy, store=tmp_path / "runs.db") as orc:
            for i in range(2):
                await orc.run("part", {"i": i})
    assert len(calls) == 2


async def test_runs_at_once_reserve_before_they_call() -> None:
    calls: list[int] = []
    async with Orchestrator([model(calls)], policy=Policy(max_spend_per_day=1.0)) as orc:
        outcomes = await asyncio.gather(*(orc.run("part", {"i": i}) for i in range(10)))
    assert len(calls) == sum(outcome.status is Status.REACHED for outcome in outcomes) == 2


async def test_a_label_has_a_limit_of_its_own() -> None:
    calls: list[int] = []
    async with Orchestrator([model(calls)], policy=Policy(max_spend_per={"tenant": 0.5})) as orc:
        told = [
            (await orc.run("part", {"i": i}, labels=labels)).status
            for i, labels in enumerate([{"tenant": "a"}, {"tenant": "a"}, {"tenant": "b"}, {}, {}])
        ]
    reached, escalated = Status.REACHED, Status.ESCALATED
    assert told == [reached, escalated, reached, reached, reached]


async def test_a_limit_of_a_label_holds_for_children() -> None:
    calls: list[int] = []

    @tool(gives="all")
    async def fan(n: int, ctx: RunContext) -> int:
        made = await asyncio.gather(*(ctx.reach("part", {"i": i}) for i in range(n)), return_exceptions=True)
        return sum(not isinstance(each, Exception) for each in made)

    async with Orchestrator([model(calls), fan], policy=Policy(max_spend_per={"tenant": 1.0})) as orc:
        outcome = await orc.run("all", {"n": 6}, labels={"tenant": "a"})
    assert outcome.value == 2
    assert len(calls) == 2


def unpriced(calls: list[int]) -> Tool:
    """A call that reports a dollar, and declares nothing."""

    async def ask(i: int, ctx: RunContext) -> int:
        calls.append(i)
        await asyncio.sleep(0.001)
        ctx.charge(1.0)
        return i

    return Tool(ask, gives="part")


async def test_the_whole_limit_can_be_spent_by_calls_of_unknown_cost_at_once() -> None:
    calls: list[int] = []
    async with Orchestrator([unpriced(calls)], policy=Policy(max_spend_per={"tenant": 10})) as orc:
        runs = [orc.run("part", {"i": i}, labels={"tenant": "a"}) for i in range(30)]
        assert sum(outcome.ok for outcome in await asyncio.gather(*runs)) == 10
    assert len(calls) == 10


async def test_a_parent_of_unknown_cost_takes_nothing_from_the_limit() -> None:
    calls: list[int] = []

    @tool(gives="all")
    async def each(n: int, ctx: RunContext) -> int:
        return sum([(await ctx.reach("part", {"i": i}, check=False)).ok for i in range(n)])

    async with Orchestrator([model(calls), each], policy=Policy(max_spend_per={"tenant": 0.8})) as orc:
        assert (await orc.run("all", {"n": 5}, labels={"tenant": "a"})).value == 2


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_is_spent_under_an_expired_lease_counts(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "SHARE_SECONDS", 0.01)
    store, calls = tmp_path / "runs.db" if kind == "sqlite" else None, list[int]()
    async with Orchestrator([unpriced(calls)], policy=Policy(max_spend_per_day=3), store=store) as orc:
        for i in range(6):
            await orc.run("part", {"i": i})
            await asyncio.sleep(0.02)
    assert len(calls) == 3


async def test_what_an_idle_process_has_spent_counts_when_its_share_has_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It neither leases again nor closes: nothing but its booking tells the others."""
    monkeypatch.setattr(spending, "SHARE_SECONDS", 0.1)
    calls, policy = list[int](), Policy(max_spend_per={"tenant": 2.0})
    opened = [Orchestrator([model(calls)], policy=policy, store=tmp_path / "runs.db") for _ in range(4)]
    for orc in opened[:3]:
        await orc.run("part", {"i": 0}, labels={"tenant": "a"})
    await asyncio.sleep(0.2)
    for i in range(5):
        await opened[3].run("part", {"i": i}, labels={"tenant": "a"})
    await asyncio.gather(*(orc.aclose() for orc in opened))
    assert len(calls) == 5


def test_forked_children_lease_shares_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "SHARE", 0.5)
    log = tmp_path / "calls"

    @tool(gives="part", cost=0.01)
    def ask(i: int) -> int:
        with log.open("a") as file:
            file.write("x")
        return i

    orc = Orchestrator([ask], policy=Policy(max_spend_per_day=0.2), store=tmp_path / "runs.db")
    orc.run_sync("part", {"i": 0})
    children: list[int] = []
    for _ in range(3):
        child = os.fork()
        if not child:
            try:
                for i in range(12):
                    orc.run_sync("part", {"i": i})
                orc.close()
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    orc.close()
    assert 10 <= len(log.read_text()) <= 20


async def test_a_rung_that_repairs_the_graph_has_the_run_plan_again() -> None:
    async def repair(impasse: object) -> Resolution:
        orc.add(Tool(lambda booking: "mailed", name="mail", gives="receipt", needs=["booking"]))
        return Resolution.replan()

    book = Tool(lambda trip: "b1", name="book", gives="booking", needs=["trip"])
    end = Tool(lambda receipt: "ok", name="end", gives="end", needs=["receipt"])
    orc = Orchestrator([book, end], escalation=[repair], monitors=())
    assert (await orc.run("end", {"trip": "x"})).value == "ok"
    await orc.aclose()


async def test_a_resume_without_an_answer_plans_again_when_the_graph_has_changed() -> None:
    from orchestrator import AskHuman

    def down(x: int) -> int:
        raise Unavailable("down")

    async with Orchestrator([Tool(down, name="a", gives="y")], escalation=[AskHuman()], monitors=()) as orc:
        waiting = await orc.run("y", {"x": 1})
        assert waiting.status is Status.WAITING
        assert (await orc.resume(waiting.run_id)).status is Status.WAITING
        orc.add(Tool(lambda x: x, name="b", gives="y"))
        assert (await orc.resume(waiting.run_id)).value == 1
