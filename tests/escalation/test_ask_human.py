"""`AskHuman`, and the ways of telling people."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from orchestrator import Orchestrator, Status, Unavailable, tool
from orchestrator.core.events import ProblemReported, RunResumed, RunWaiting
from orchestrator.core.route import Blame, Impasse, LesserGoal
from orchestrator.core.text import clean
from orchestrator.errors import DefinitionError
from orchestrator.escalation import (
    AskHuman,
    NotificationSink,
    Question,
    Resolution,
    ResolutionKind,
    Terminal,
    Webhook,
    announce,
)
from tests.escalation.impasses import approval, asked_by_tool, no_route
from tests.support.webhook import Inbox, receiving


async def question_of(rung: AskHuman, impasse: Impasse) -> Question:
    question = await rung(impasse)
    assert question is not None
    return question


async def test_the_question_shows_every_admissible_choice() -> None:
    question = await question_of(AskHuman(), no_route())
    assert question.text == (
        "No route to label: label cannot be produced; buy_label (open circuit), print_label (refused)."
    )
    assert question.choices[0] == "take the lesser goal quote (price 0.002 USD)"
    assert question.choices[-1] == "undo what can be undone, and stop"
    assert set(question.admissible) == set(ResolutionKind)


async def test_an_approval_and_a_question_of_a_tool_are_asked_in_their_own_words() -> None:
    assert (await question_of(AskHuman(), approval())).text == "Approve the refund of 900 USD?"
    assert (await question_of(AskHuman(), asked_by_tool())).text == "Which year?"


async def test_a_prompt_of_ones_own() -> None:
    assert (await question_of(AskHuman("Help, please."), no_route())).text == "Help, please."
    made = await question_of(AskHuman(lambda impasse: f"What now with {impasse.goal[0]}?"), no_route())
    assert made.text == "What now with label?"


async def test_foreign_text_cannot_drive_the_terminal() -> None:
    question = await question_of(AskHuman(), no_route(reason="\x1b[2J\x1b]0;owned\x07gone\u202e\x00"))
    assert question.text.startswith("gone: label cannot be produced")


async def test_foreign_names_cannot_drive_the_terminal_either() -> None:
    evil = "pay\x1b[2J\n9. approve everything\u202e"
    impasse = no_route(
        blame=(Blame(evil, evil),),
        unreachable=(evil,),
        providable=(evil,),
        offers=(LesserGoal(("pay 9. approve everything",), 1.0),),  # the key of a goal holds no controls
        subject=evil,
    )
    for choice in (await question_of(AskHuman(), impasse)).choices:
        assert choice == clean(choice, 2000), choice


async def test_nobody_is_asked_about_a_cancelled_run() -> None:
    assert await AskHuman()(no_route(kind="cancelled")) is None


@pytest.mark.parametrize("deadline", [0, -1, float("inf"), float("nan"), True, "soon"])
def test_a_deadline_is_a_positive_number(deadline: Any) -> None:
    with pytest.raises(DefinitionError, match=r"deadline is a (positive )?number"):
        AskHuman(deadline=deadline)


@pytest.mark.parametrize(
    "default", [Resolution.approve("pay"), Resolution.allow("pay"), Resolution.raise_budget(usd=1)], ids=str
)
def test_what_needs_a_person_is_no_default(default: Resolution) -> None:
    with pytest.raises(DefinitionError, match="needs a person"):
        AskHuman(deadline=5, default=default)


def test_a_default_needs_a_deadline() -> None:
    with pytest.raises(DefinitionError, match="deadline=SECONDS"):
        AskHuman(default=Resolution.stop())


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiving("/hook/secret") as box:
        yield box


async def test_a_webhook_tells_names_and_choices(inbox: Inbox) -> None:
    rung = AskHuman(deadline=60, notify=Webhook(inbox.url, headers={"Authorization": "Bearer x"}))
    question = (await question_of(rung, no_route())).asked(1000.0, "q-7")
    assert await announce([rung], question, no_route()) == ()
    (body,) = inbox.bodies
    assert inbox.headers[0]["Authorization"] == "Bearer x"
    assert (body["run_id"], body["question_id"], body["due"]) == ("run-1", "q-7", 1060.0)
    assert body["choices"] == list(question.choices)
    assert body["answer_with"] == "orchestrator resume run-1"


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_a_webhook_that_fails_is_reported_and_nothing_else(inbox: Inbox, status: int) -> None:
    inbox.status = status
    rung = AskHuman(notify=Webhook(inbox.url))
    problems = await announce([rung], await question_of(rung, no_route()), no_route())
    assert problems == (f"Webhook('127.0.0.1'): OSError: the webhook answered {status}",)
    assert len(inbox.bodies) == 1


async def test_a_webhook_that_nobody_serves_is_reported(inbox: Inbox) -> None:
    rung = AskHuman(notify=Webhook("http://127.0.0.1:9/hook"))
    (problem,) = await announce([rung], await question_of(rung, no_route()), no_route())
    assert "URLError" in problem


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "host/x", "http://"])
def test_a_webhook_is_a_web_address(url: str) -> None:
    with pytest.raises(DefinitionError, match="http or https"):
        Webhook(url)


async def test_a_terminal_shows_the_question_and_how_to_answer() -> None:
    out = io.StringIO()
    rung = AskHuman(deadline=30, default=Resolution.stop(), notify=(Terminal(out),))
    await announce([rung], await question_of(rung, approval()), approval())
    assert out.getvalue().splitlines() == [
        "Run run-2 waits: Approve the refund of 900 USD?",
        "  1. approve pay",
        "  2. decline: look for another way",
        "  Without an answer within 30 seconds: stop.",
        "Answer with: orchestrator resume run-2",
    ]


async def test_every_way_is_tried_and_only_those_of_the_rung_that_asks() -> None:
    told: list[str] = []

    def broken(question: Question, impasse: Impasse) -> None:
        raise RuntimeError("no paper")

    async def works(question: Question, impasse: Impasse) -> None:
        told.append(question.text)

    def other(question: Question, impasse: Impasse) -> None:
        told.append("the other rung")

    rung = AskHuman(notify=(broken, works))
    ladder = [AskHuman(notify=other, name="the boss"), rung]
    assert await announce(ladder, await question_of(rung, approval()), approval()) == (
        "broken: RuntimeError: no paper",
    )
    assert told == ["Approve the refund of 900 USD?"]


async def test_people_are_told_when_a_run_begins_to_wait() -> None:
    told: list[str] = []
    problems: list[str] = []

    async def works(question: Question, impasse: Impasse) -> None:
        told.append(f"{impasse.run_id}: {question.text}")

    def broken(question: Question, impasse: Impasse) -> None:
        raise RuntimeError("no paper")

    rung = AskHuman(notify=(works, broken))
    announcer = NotificationSink([rung], lambda run_id, problem: problems.append(f"{run_id}: {problem}"))
    for impasse in (approval(), asked_by_tool()):
        question = await question_of(rung, impasse)
        announcer.on_event(waiting(replace(question, rung="" if impasse.kind == "question" else rung.name), impasse))
        before = len(told)
        await announcer.drain()
        assert len(told) == before  # it is not on record yet
        announcer.on_record("run-2")
        announcer.on_record("run-2")
        await announcer.drain()
    announcer.on_event(waiting(await question_of(rung, approval()), approval()))
    announcer.on_event(RunResumed(run_id="run-2", at=0.0, answer="yes"))
    announcer.on_record("run-2")
    announcer.on_event(ProblemReported(run_id="run-2", at=0.0, source="x", message="y"))
    await announcer.drain()
    assert told == ["run-2: Approve the refund of 900 USD?", ": Which year?"]
    assert problems == ["run-2: broken: RuntimeError: no paper"] * 2


async def test_a_run_that_waits_notifies_people_and_what_fails_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[str, str]] = []

    def works(question: Question, impasse: Impasse) -> None:
        told.append((impasse.run_id, question.text))

    def broken(question: Question, impasse: Impasse) -> None:
        raise RuntimeError("no paper")

    @tool(gives="quote")
    def carrier(parcel: str) -> float:
        raise Unavailable("closed")

    async with Orchestrator([carrier], escalation=[AskHuman("What now?", notify=[broken, works])]) as orc:
        outcome = await orc.run("quote", {"parcel": "3 kg"})
    assert outcome.status is Status.WAITING
    assert told == [(outcome.run_id, "What now?")]
    assert f"run {outcome.run_id} waits, and a notification failed: broken: RuntimeError: no paper" in caplog.text


def waiting(question: Question, impasse: Impasse) -> RunWaiting:
    return RunWaiting(run_id="run-2", at=0.0, question=question.to_json(), impasse=impasse.to_json())
