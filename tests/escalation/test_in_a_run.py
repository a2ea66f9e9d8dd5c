"""Escalation inside a run: what its record says, what it counts, and how the models of a rung fare between runs."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator import Goal, InputError, Orchestrator, Resolution, RungAsked, Status, Unavailable
from orchestrator.escalation import AskModel, Demote
from orchestrator.route import Impasse
from orchestrator.tooling import Tool
from tests.escalation.openai_server import Fails, Says, chooses, serving


def carrier(parcel: str) -> float:
    raise Unavailable("closed")


def weigh(parcel: str) -> int:
    return len(parcel)


def shop(escalation: list[Any], **options: Any) -> Orchestrator:
    return Orchestrator([Tool(carrier, gives="quote"), Tool(weigh, gives="weight")], escalation=escalation, **options)


async def rungs(orc: Orchestrator, goal: Goal[Any]) -> list[RungAsked]:
    """The rungs that a run asked, as its events tell."""
    return [event async for event in orc.stream(goal, {"parcel": "box"}) if isinstance(event, RungAsked)]


async def test_a_refused_answer_is_never_on_record_as_admitted() -> None:
    async def greedy(impasse: Impasse) -> Resolution:
        return Resolution.demote("admin")

    async def sane(impasse: Impasse) -> Resolution:
        return Resolution.stop("no use")

    async with shop([Demote(), greedy, sane]) as orc:
        told = await rungs(orc, Goal("quote"))
    assert [(rung.rung, rung.answer, rung.admitted) for rung in told] == [
        ("demote", "passed", False),
        ("greedy", "demote to admin", False),
        ("greedy", "refused: admin is no declared lesser goal (declared: none)", False),
        ("sane", "stop", True),
    ]


async def test_what_a_model_said_that_could_not_be_used_is_no_pass() -> None:
    with serving(Says(text="hm"), chooses(99)) as server:
        async with shop([AskModel(server.model())]) as orc:
            told = await rungs(orc, Goal("quote"))
    assert [(rung.answer.partition(":")[0], rung.admitted) for rung in told] == [
        ("nothing usable", False),
        ("refused", False),
        ("refused", False),
    ]
    assert (told[0].calls, told[0].repairs, told[0].tokens) == (1, 1, 440)


async def test_model_calls_are_counted_by_purpose() -> None:
    with serving(Says(text="hm"), chooses(1)) as server:
        prices = {"scripted": (2.0, 10.0)}
        async with shop([AskModel(server.model(), usd_per_million=prices)]) as orc:
            outcome = await orc.run(Goal("quote", demotions=["weight"]), {"parcel": "box"})
    assert (outcome.status, outcome.value) == (Status.DEMOTED, 3)
    assert outcome.llm_calls == 1
    assert outcome.usage == {"control_repairs": 1, "control_tokens": 440}
    assert outcome.cost == pytest.approx(2 * (200 * 2e-6 + 20 * 10e-6))


async def test_the_models_of_a_rung_are_healed_like_tools() -> None:
    with serving(Fails(401)) as dead, serving(chooses(3)) as works:
        rung = AskModel([dead.model(model="first"), works.model(model="second")])
        async with shop([rung]) as orc:
            for _ in range(6):
                await orc.run(Goal("quote", demotions=["weight"]), {"parcel": "box"})
            assert 1 <= len(dead.requests) < 6 == len(works.requests)
            ill, well = (orc.health.status(name) for name in rung.health_names)
            assert (ill.name, well.name) == ("model:first", "model:second")
            assert ill.success < well.success
            assert ill.last_failure == "OpenAIAuthenticationError"

            orc.health.trip("model:second", "too dear today")
            orc.health.restore("model:first")
            asked_before = len(dead.requests)
            await orc.run(Goal("quote", demotions=["weight"]), {"parcel": "box"})
            assert len(dead.requests) == asked_before + 1
            with pytest.raises(InputError, match="model:third"):
                orc.health.status("model:third")


async def test_what_is_known_of_a_model_outlives_the_process(tmp_path: Path) -> None:
    with serving(Fails(401)) as dead, serving(chooses(3)) as works:
        for _ in range(8):
            rung = AskModel([dead.model(model="first"), works.model(model="second")])
            async with shop([rung], store=tmp_path / "runs.db") as orc:
                await orc.run(Goal("quote", demotions=["weight"]), {"parcel": "box"})
        assert 1 <= len(dead.requests) < 8 == len(works.requests)


async def test_models_are_priced_by_the_formula_of_the_run() -> None:
    with serving(chooses(3)) as first, serving(chooses(3)) as second:
        rung = AskModel([first.model(model="first"), second.model(model="second")])
        options: dict[str, Any] = {"pricing": lambda facts: 9.0 if facts.tool == "model:first" else 1.0}
        async with shop([rung], **options) as orc:
            await orc.run(Goal("quote", demotions=["weight"]), {"parcel": "box"})
        assert (len(first.requests), len(second.requests)) == (0, 1)
