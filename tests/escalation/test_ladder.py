"""Climbing the ladder: order, refusals, and what is recorded."""

import asyncio
from typing import Any

import pytest

from orchestrator.core.route import Impasse
from orchestrator.errors import DefinitionError
from orchestrator.escalation import (
    AskHuman,
    AskModel,
    Demote,
    ModelUsage,
    Question,
    RefusedAnswer,
    Resolution,
    ResolutionKind,
    RungContext,
    RungReply,
    check_ladder,
    climb,
    ladder_from,
    rung_name,
)
from tests.escalation.impasses import ambiguous, approval, no_route, typed


def gives(answer: Any, name: str = "rung", rights: frozenset[ResolutionKind] | None = None) -> Any:
    """A rung that answers with this, whatever it is asked."""

    async def rung(impasse: Impasse) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    rung.__name__ = name
    if rights is not None:
        rung.rights = rights  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    return rung


async def test_the_first_admissible_answer_is_taken_and_nobody_else_is_asked() -> None:
    events: list[ModelUsage | RefusedAnswer] = []
    ladder = [gives(None, "first"), gives(Resolution.demote("quote"), "second"), gives(Resolution.stop(), "third")]
    done = await climb(ladder, no_route(), validate=typed, on_event=events.append)
    assert done.resolution == Resolution.demote("quote")
    assert done.resolution is not None
    assert (done.by, done.resolution.by, done.next_rung) == ("second", "second", 2)
    assert [event.rung for event in events] == ["first", "second"]
    assert [asked.answered for asked in done.asked] == ["", "demote to quote"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Resolution.demote("moon"), "no declared lesser goal"),
        (Resolution.provide("cost_center", "x"), "cost_center is no int"),
        ("stop", "it answered with a str, not a Resolution"),
        (True, "it answered with a bool, not a Resolution"),
        ({"kind": "stop"}, "it answered with a dict, not a Resolution"),
    ],
    ids=str,
)
async def test_anything_else_is_refused_recorded_and_the_next_rung_is_asked(answer: Any, reason: str) -> None:
    events: list[ModelUsage | RefusedAnswer] = []
    ladder = [gives(answer, "odd"), gives(Resolution.stop(), "sane")]
    done = await climb(ladder, no_route(), validate=typed, on_event=events.append)
    assert done.resolution == Resolution.stop()
    (refusal,) = done.refused
    assert refusal.rung == "odd"
    assert reason in refusal.reason
    assert refusal in events
    assert [(asked.rung, asked.admitted) for asked in done.asked] == [("odd", False), ("sane", True)]
    assert [event.admitted for event in events if isinstance(event, ModelUsage)] == [False, True]


async def test_rights_hold_for_any_rung() -> None:
    ladder = [gives(Resolution.allow("buy_label"), "shy", frozenset({ResolutionKind.STOP}))]
    done = await climb(ladder, no_route())
    assert done.resolution is None
    assert done.refused[0].reason == "shy has no right to allow a tool"


async def test_a_refusal_on_record_holds_no_value() -> None:
    done = await climb([gives(Resolution.provide("parcel", "private"))], no_route())
    assert "private" not in str(done.refused[0].to_json())


async def test_a_rung_that_raises_is_recorded_and_passed_over() -> None:
    ladder = [gives(RuntimeError("no paper"), "printer"), gives(Resolution.stop())]
    done = await climb(ladder, no_route())
    assert done.resolution == Resolution.stop()
    assert done.asked[0].problems == ("RuntimeError: no paper",)


async def test_a_rung_that_takes_too_long_is_recorded_and_passed_over() -> None:
    async def slow(impasse: Impasse) -> Resolution:
        await asyncio.sleep(60)
        return Resolution.stop()

    done = await climb([slow, gives(Resolution.stop())], no_route(), means=RungContext(timeout=0.01))
    assert done.by == "rung"
    assert done.asked[0].problems == ("took longer than 0.01 seconds",)


async def test_no_rung_is_asked_for_longer_than_the_run_has() -> None:
    async def slow(impasse: Impasse) -> Resolution:
        await asyncio.sleep(60)
        return Resolution.stop()

    done = await climb([slow], no_route(budget_left={"seconds": 0.01}))
    assert done.asked[0].problems == ("took longer than 0.01 seconds",)


async def test_cancellation_is_no_problem_of_the_rung() -> None:
    asked = asyncio.Event()

    async def slow(impasse: Impasse) -> Resolution:
        asked.set()
        await asyncio.sleep(60)
        return Resolution.stop()

    climbing = asyncio.create_task(climb([slow], no_route()))
    await asked.wait()
    climbing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await climbing


async def test_a_rung_that_raises_a_cancellation_of_its_own_is_passed_over() -> None:
    done = await climb([gives(asyncio.CancelledError()), gives(Resolution.stop())], no_route())
    assert done.resolution == Resolution.stop()
    assert "CancelledError" in done.asked[0].problems[0]


async def test_a_plain_function_does_as_well() -> None:
    def rung(impasse: Impasse) -> Resolution:
        return Resolution.stop(impasse.goal[0])

    done = await climb([rung], no_route())  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    assert done.resolution == Resolution.stop("label")


async def test_a_question_stops_the_climb_and_says_where_to_go_on() -> None:
    ladder = [Demote(), AskHuman(), gives(Resolution.stop(), "last")]
    done = await climb(ladder, approval())
    assert isinstance(done.question, Question)
    assert (done.resolution, done.by, done.next_rung) == (None, "ask_human", 2)
    assert [asked.admitted for asked in done.asked] == [False, True]
    assert (await climb(ladder, approval(), start_at=done.next_rung)).by == "last"


async def test_the_top_of_the_ladder() -> None:
    done = await climb([Demote()], no_route(offers=()))
    assert (done.resolution, done.question, done.next_rung) == (None, None, 1)
    assert [asked.rung for asked in done.asked] == ["demote"]


async def test_a_provided_value_arrives_as_the_type_of_its_key() -> None:
    done = await climb([gives(Resolution.provide("cost_center", "12"))], no_route(), validate=typed)
    assert done.resolution is not None
    assert done.resolution.value == 12


class Counts:
    """A rung that counts what it spends."""

    name = "counts"

    async def __call__(self, impasse: Impasse) -> Resolution | None:
        return None

    async def consult(self, impasse: Impasse, means: RungContext) -> RungReply:
        refused = (RefusedAnswer(self.name, "malformed"),)
        return RungReply(None, ModelUsage("ignored", calls=1, repairs=1, input_tokens=10, usd=0.5), refused)


async def test_what_a_rung_spent_is_counted() -> None:
    done = await climb([Counts(), Counts(), gives(Resolution.stop())], no_route())
    assert (done.calls, done.repairs, done.usd) == (2, 2, 1.0)
    assert [refusal.reason for refusal in done.refused] == ["malformed", "malformed"]
    assert done.asked[0].to_json()["rung"] == "counts"


async def test_demote_takes_the_first_goal_within_reach() -> None:
    assert await Demote()(no_route()) == Resolution.demote("quote", "quote is the best goal within reach")
    assert await Demote()(no_route(offers=no_route().offers[1:])) is None
    assert await Demote()(ambiguous()) is None
    assert await Demote()(approval()) is None


def test_names_of_rungs() -> None:
    assert [rung_name(rung) for rung in (Demote(), AskHuman(name="boss"), gives(None, "own"))] == [
        "demote",
        "boss",
        "own",
    ]
    assert rung_name(object()) == "object"


@pytest.mark.parametrize(("rung", "hint"), [("demote", ""), (Demote, r"Did you mean Demote\(\)"), (None, "")])
def test_a_ladder_is_made_of_callables(rung: Any, hint: str) -> None:
    with pytest.raises(DefinitionError, match=hint or "async callable"):
        check_ladder([rung])
    assert len(check_ladder([Demote(), gives(None)])) == 2


def test_rungs_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    own = gives(None)
    assert [rung_name(rung) for rung in ladder_from(["demote", own, "ask_human"])] == ["demote", "rung", "ask_human"]
    assert ladder_from(["mine"], {"mine": lambda: own}) == (own,)
    with pytest.raises(DefinitionError, match=r"no rung 'ask_humn'. Did you mean 'ask_human'"):
        ladder_from(["ask_humn"])
    monkeypatch.delenv("ORCHESTRATOR_MODEL", raising=False)
    with pytest.raises(DefinitionError, match="set ORCHESTRATOR_MODEL"):
        ladder_from(["ask_model"])
    monkeypatch.setenv("ORCHESTRATOR_MODEL", "openai:one, openai:two")
    (model,) = ladder_from(["ask_model"])
    assert isinstance(model, AskModel)
    assert model.consultant.models == ("openai:one", "openai:two")
