"""Impasses of child runs: the root shows them, whoever looks or answers, and they are the child's alone."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator import AskHuman, InputError, Orchestrator, Policy, Refused, Resolution, RunContext, Status, Tool


def workflow(children: int = 1) -> list[Tool]:
    """A parent over children that each need what nothing can give."""

    async def part(n: int, missing: str) -> str:
        return f"{missing}{n}"

    async def whole(ctx: RunContext) -> str:
        found = [await ctx.reach("part", {"n": n}) for n in range(children)]
        return " ".join(outcome.value for outcome in found)

    def last(whole: str) -> str:
        raise Refused("not this one")

    def gone(n: int) -> str:
        raise Refused("there is none")

    return [
        Tool(part, gives="part"),
        Tool(whole, gives="whole"),
        Tool(gone, gives="missing"),
        Tool(last, gives="end"),
    ]


def made(store: Any = None, children: int = 1, limit: int = 5) -> Orchestrator:
    policy = Policy(name="few", max_impasses=limit)
    return Orchestrator(workflow(children), escalation=[AskHuman()], store=store, policy=policy, monitors=())


@pytest.mark.parametrize("durable", [False, True])
async def test_looking_at_a_run_leaves_the_question_of_its_child_as_it_is(tmp_path: Path, durable: bool) -> None:
    async with made(tmp_path / "runs.db" if durable else None) as orc:
        asked = (await orc.run("whole", run_id="r")).questions
        for _ in range(7):
            outcome = await orc.resume("r")
            assert (outcome.status, outcome.questions) == (Status.WAITING, asked)
        assert (await orc.resume("r", Resolution.provide("missing", "m"))).value == "m0"


async def test_a_tool_added_meanwhile_ends_the_impasse_of_a_child_when_somebody_looks() -> None:
    async with made() as orc:
        assert (await orc.run("whole", run_id="r")).status is Status.WAITING
        orc.add(Tool(lambda n: "found", name="found", needs=["n"], gives={"missing": str}))
        assert (await orc.resume("r")).value == "found0"


async def test_any_worker_takes_the_right_answer_after_another_one_was_given_a_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with made(path) as first:
        assert (await first.run("whole", run_id="r")).status is Status.WAITING
    async with made(path) as second, made(path) as third:
        await second.resume("r")
        with pytest.raises(InputError, match="no answer"):
            await second.resume("r", "gibberish")
        assert (await third.resume("r", Resolution.provide("missing", "m"))).value == "m0"
        assert third.verify("r").ok


async def test_impasses_of_children_are_none_of_the_root_and_replay() -> None:
    async with made(children=3, limit=2) as orc:
        outcome = await orc.run("end", run_id="r")
        for _ in range(3):
            outcome = await orc.resume("r", Resolution.provide("missing", "m"))
        assert outcome.status is Status.WAITING, "its own first impasse halted it"
        assert outcome.questions[0].run == "r"
        outcome = await orc.resume("r", Resolution.provide("end", "e"))
        assert outcome.value == "e"
        assert orc.replay("r").differences == ()
