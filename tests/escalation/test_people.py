"""Asking people in real runs: typed answers, deadlines and defaults, who answered, and any number of approvals."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import AskHuman, Demote, Goal, InputError, Orchestrator, Policy, Resolution, RunContext, Status
from orchestrator.core.decision import Decision
from orchestrator.core.enums import DecisionKind
from orchestrator.graph.tool import Tool
from orchestrator.testing import FakeClock


async def report(ctx: RunContext, topic: str) -> str:
    return f"{topic} of {await ctx.wait('Which year?', int)!r}"


def reporting(**options: Any) -> Orchestrator:
    return Orchestrator([Tool(report), Tool(lambda: "a note", name="note")], **options)


def resumptions(decisions: tuple[Decision, ...]) -> list[Decision]:
    return [decision for decision in decisions if decision.kind is DecisionKind.RESUME]


@pytest.mark.parametrize("said", [2026, "2026", " 2026 ", Resolution.provide("answer", 2026)], ids=repr)
async def test_an_answer_arrives_as_the_type_that_was_asked_for(said: Any) -> None:
    orc = reporting()
    waiting = await orc.run("report", {"topic": "sales"})
    assert (waiting.questions[0].text, waiting.questions[0].answer_type) == ("Which year?", "int")
    done = await orc.resume(waiting.run_id, said, by="ann")
    assert done.value == "sales of 2026"


async def test_what_is_typed_may_be_json() -> None:
    async def ask(ctx: RunContext) -> list[int]:
        answer: list[int] = await ctx.wait("Which years?", list[int])
        return answer

    orc = Orchestrator([Tool(ask, gives="years")])
    waiting = await orc.run("years")
    assert (await orc.resume(waiting.run_id, "[2025, 2026]")).value == [2025, 2026]


async def test_an_answer_of_another_type_is_asked_for_again_by_any_process(tmp_path: Path) -> None:
    async with reporting(store=tmp_path / "runs.db") as first:
        waiting = await first.run("report", {"topic": "sales"})
        again = await first.resume(waiting.run_id, "many", by="ann")
        assert again.status is Status.WAITING
        (question,) = again.questions
        assert question.text.startswith("Which year? (the last answer is no int")
        assert "many" not in question.text  # it may be private
    async with reporting(store=tmp_path / "runs.db") as second:
        done = await second.resume(waiting.run_id, "2026", by="bob")
        assert done.value == "sales of 2026"
        assert [decision.facts["by"] for decision in resumptions(done.decisions)] == ["ann", "bob"]
        assert second.replay(done.run_id).agrees


@pytest.mark.parametrize("said", [Resolution.stop("not now"), {"kind": "stop"}, '{"kind": "stop"}'], ids=repr)
async def test_a_question_of_a_tool_may_be_answered_by_stopping(said: Any) -> None:
    orc = reporting()
    waiting = await orc.run("report", {"topic": "sales"})
    done = await orc.resume(waiting.run_id, said)
    assert (done.status, resumptions(done.decisions)[0].chosen) == (Status.ESCALATED, "stop")


@pytest.mark.parametrize("said", [Resolution.approve("report"), {"kind": "allow", "tool": "report"}], ids=repr)
async def test_what_answers_no_question_of_a_tool_is_refused_and_it_goes_on_waiting(said: Any) -> None:
    orc = reporting()
    waiting = await orc.run("report", {"topic": "sales"})
    with pytest.raises(InputError, match="not answer an impasse of kind question"):
        await orc.resume(waiting.run_id, said)
    assert (await orc.resume(waiting.run_id, 2026)).value == "sales of 2026"


async def ended(orc: Orchestrator, run_id: str) -> Any:
    for _ in range(400):
        await asyncio.sleep(0.005)
        if orc.outcome(run_id).status.ended:
            return orc.outcome(run_id)
    raise AssertionError("it still waits")


@pytest.mark.parametrize(
    ("default", "status"),
    [(None, Status.ESCALATED), (Resolution.provide("answer", 2026), Status.REACHED)],
    ids=["stop", "a value"],
)
async def test_the_deadline_of_the_ladder_holds_for_the_question_of_a_tool(default: Any, status: Status) -> None:
    clock = FakeClock()
    orc = reporting(escalation=[Demote(), AskHuman(deadline=60, default=default)], clock=clock)
    waiting = await orc.run("report", {"topic": "sales"})
    assert waiting.questions[0].due == waiting.questions[0].asked_at + 60
    clock.advance(61)
    done = await ended(orc, waiting.run_id)
    assert done.status is status
    (resumed,) = resumptions(done.decisions)
    assert resumed.reason == "no answer within 60 seconds"
    assert resumed.facts["resolution"]["by"] == "default"
    assert orc.replay(waiting.run_id).agrees


async def test_a_deadline_that_passed_while_no_process_lived_holds_at_the_next_look(tmp_path: Path) -> None:
    def pay() -> str:
        raise AssertionError("nobody approved it")

    def shop(clock: FakeClock) -> Orchestrator:
        ladder = [AskHuman(deadline=60, default=Resolution.stop("too late"))]
        return Orchestrator([Tool(pay, approval=True, effect="write")], escalation=ladder, store=store, clock=clock)

    store, began = tmp_path / "runs.db", FakeClock()
    async with shop(began) as first:
        waiting = await first.run("pay")
        assert waiting.status is Status.WAITING
    async with shop(FakeClock(start=began.time() + 59)) as early:
        assert (await early.resume(waiting.run_id)).status is Status.WAITING
    async with shop(FakeClock(start=began.time() + 61)) as late:
        done = await late.resume(waiting.run_id)
        assert resumptions(done.decisions)[0].reason == "no answer within 60 seconds"
        assert done.questions[0].text == "No route to pay: pay cannot be produced; pay (it was not approved)."
    async with shop(FakeClock(start=began.time() + 122)) as later:
        assert (await later.resume(waiting.run_id)).status is Status.ESCALATED


async def test_a_run_may_ask_for_more_approvals_than_it_may_meet_impasses() -> None:
    steps = [Tool(lambda: 1, name=f"step{n}", effect="write", approval=True) for n in range(4)]
    orc = Orchestrator(steps, policy=Policy(max_impasses=1), escalation=[AskHuman()])
    outcome = await orc.run(Goal([step.name for step in steps]))
    for _ in steps:
        assert outcome.status is Status.WAITING
        outcome = await orc.resume(outcome.run_id, "yes", by="ann")
    assert outcome.status is Status.REACHED
    assert [decision.facts["by"] for decision in resumptions(outcome.decisions)] == ["ann"] * 4
    assert orc.replay(outcome.run_id).agrees


async def test_who_answered_when_and_what_is_on_record() -> None:
    clock = FakeClock()
    orc = Orchestrator([Tool(lambda: 1, name="pay", effect="write", approval=True)], clock=clock)
    waiting = await orc.run("pay")
    clock.advance(30)
    done = await orc.resume(waiting.run_id, {"kind": "approve", "what": "pay", "message": "seen by two"}, by="ann")
    resolution = resumptions(done.decisions)[0].facts["resolution"]
    assert resolution == {
        "kind": "approve",
        "what": "pay",
        "message": "seen by two",
        "by": "ann",
        "at": waiting.questions[0].asked_at + 30,
    }
