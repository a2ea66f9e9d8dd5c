"""A graph that changes while a run waits: answers are judged against the graph as it is now."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import (
    AskHuman,
    Budget,
    Orchestrator,
    Outcome,
    Resolution,
    RunContext,
    Status,
    Tool,
    Unavailable,
)


def world(done: list[str], **options: Any) -> Orchestrator:
    def book(trip: str) -> str:
        done.append("booked")
        return "b1"

    def mail(booking: str) -> str:
        raise Unavailable("down")

    tools = [Tool(book, gives="booking", effect="write"), Tool(mail, gives="receipt", retries=0)]
    return Orchestrator(tools, escalation=[AskHuman()], monitors=(), **options)


def second() -> Tool:
    return Tool(lambda booking: "mailed by 2", name="mail2", gives="receipt")


@pytest.mark.parametrize("answer", [None, Resolution.replan(), Resolution.allow("mail2"), {"kind": "replan"}])
async def test_a_tool_that_was_added_while_a_run_waited_is_used(answer: Any) -> None:
    done: list[str] = []
    orc = world(done)
    waiting = await orc.run("receipt", {"trip": "x"})
    assert waiting.status is Status.WAITING
    assert (await orc.resume(waiting.run_id)).status is Status.WAITING
    orc.add(second())
    outcome = await orc.resume(waiting.run_id, answer, by="ann")
    assert outcome.value == "mailed by 2"
    assert done == ["booked"]
    assert orc.replay(outcome.run_id).agrees, orc.replay(outcome.run_id).differences


async def test_a_resume_without_an_answer_plans_again_in_another_process(tmp_path: Path) -> None:
    done: list[str] = []
    async with world(done, store=tmp_path / "runs.db") as first:
        await first.run("receipt", {"trip": "x"}, run_id="r")
    async with world(done, store=tmp_path / "runs.db") as same:
        assert (await same.resume("r")).status is Status.WAITING
    async with world(done, store=tmp_path / "runs.db") as other:
        other.add(second())
        assert (await other.resume("r")).value == "mailed by 2"
    assert done == ["booked"]


async def test_a_rung_that_repairs_the_graph_says_replan() -> None:
    done: list[str] = []

    async def repair(impasse: Any) -> Resolution:
        orc.add(second())
        return Resolution.replan("repaired")

    orc = world(done)
    orc._runtime.ladder = (repair,)  # pyright: ignore[reportPrivateUsage]
    outcome = await orc.run("receipt", {"trip": "x"})
    assert outcome.value == "mailed by 2"


def _declared_anew(orc: Orchestrator, log: list[str], **options: Any) -> None:
    orc.add(Tool(lambda booking: log.append("paid") or "paid", name="pay", gives="paid", **options), replace=True)


RESTRICTIONS: dict[str, Any] = {
    "an approval": lambda orc, log: _declared_anew(orc, log, effect="write", approval=True),
    "a rule": lambda orc, log: _declared_anew(orc, log, effect="write", approval=lambda booking: True),
    "a condition": lambda orc, log: _declared_anew(orc, log, effect="write", when=lambda booking: False),
    "taken out": lambda orc, log: orc.remove("pay"),
    "out of order": lambda orc, log: orc.health.trip("pay", "stop"),
    "gated": lambda orc, log: orc.connect("never", "pay"),
}


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize("restriction", RESTRICTIONS)
async def test_a_restriction_that_comes_during_a_run_holds_for_its_next_call(restriction: str, below: bool) -> None:
    log: list[str] = []
    begun, go = asyncio.Event(), asyncio.Event()

    async def book(trip: str) -> str:
        begun.set()
        await go.wait()
        return trip

    async def whole(ctx: RunContext) -> str:
        return str((await ctx.reach("paid", {"trip": "x"})).value)

    never = Tool(lambda lost: "n", name="never", gives="n")
    tools = [Tool(book, gives="booking"), Tool(whole, gives="whole"), never]
    async with Orchestrator(tools, monitors=()) as orc:
        orc.add(Tool(lambda booking: log.append("paid") or "paid", name="pay", gives="paid", effect="write"))
        running = asyncio.create_task(orc.run("whole" if below else "paid", {} if below else {"trip": "x"}, run_id="r"))
        await begun.wait()
        RESTRICTIONS[restriction](orc, log)
        go.set()
        outcome = await running
        asks = restriction in ("an approval", "a rule")
        assert outcome.status is (Status.WAITING if asks else Status.ESCALATED)
        assert log == []
        assert orc.replay("r").agrees
        if asks:
            assert (await orc.resume("r", "yes")).status is Status.REACHED
            assert log == ["paid"]


class Rule:
    """A rule that is equal to any other."""

    def __init__(self, says: bool) -> None:
        self.says = says

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule)

    def __hash__(self) -> int:
        return 0

    def __call__(self, **inputs: Any) -> bool:
        return self.says


async def run_while_replaced(before: Tool, after: Tool, *others: Tool, **options: Any) -> Outcome[Any]:
    """The outcome of a run whose first step declares the second tool anew."""

    def first(a: int) -> int:
        orc.add(after, replace=True)
        return 1

    orc = Orchestrator([Tool(first, gives="b"), before, *others])
    async with orc:
        return await orc.run("x", {"a": 1}, **options)


def anew(call: Any = lambda b: "old", **options: Any) -> Tool:
    """The tool that is declared anew."""
    options.setdefault("gives", "x")
    return Tool(call, name="second", **options)


async def test_a_rule_replaced_by_an_equal_one_counts_for_the_next_call() -> None:
    write: dict[str, Any] = {"effect": "write", "compensate": lambda output: None}
    asked = await run_while_replaced(anew(**write, approval=Rule(False)), anew(**write, approval=Rule(True)))
    assert asked.status is Status.WAITING
    closed = await run_while_replaced(anew(when=Rule(True)), anew(when=Rule(False)))
    assert closed.status is Status.ESCALATED


async def test_a_tool_declared_anew_during_a_run_is_planned_as_it_is_now() -> None:
    spare = Tool(lambda b: "spare", name="spare", gives="x", cost=0.5)
    assert (await run_while_replaced(anew(), anew(lambda b: "new"))).value == "new"
    assert (await run_while_replaced(anew(), anew(cost=9.0), spare)).value == "spare"
    dear = await run_while_replaced(anew(cost=0.001), anew(cost=9.0), budget=Budget(usd=1))
    assert (dear.status, dear.cost) == (Status.ESCALATED, 0.0)
    third = Tool(lambda a: 7, name="third", gives="c")
    assert (await run_while_replaced(anew(), anew(lambda b, c: [b, c]), third)).value == [1, 7]
    assert (await run_while_replaced(anew(), anew(gives="y"))).status is Status.ESCALATED
    asked = await run_while_replaced(anew(), anew(effect="irreversible", approval=True))
    assert asked.status is Status.WAITING
