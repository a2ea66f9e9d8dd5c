"""Escalation inside a run: what its record says, what it counts, and how the models of a rung fare between runs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Goal, InputError, Orchestrator, Refused, Resolution, RungAsked, Status, Unavailable
from orchestrator.core.route import Impasse
from orchestrator.escalation import AskHuman, AskModel, Demote
from orchestrator.graph.tool import Tool
from orchestrator.testing import FakeClock
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


# -- what each resolution does -----------------------------------------------------------------------------------------


async def test_waiting_for_a_tool_tries_it_again_after_that_time() -> None:
    clock, calls = FakeClock(), list[float]()

    def flaky() -> str:
        calls.append(clock.monotonic())
        if clock.monotonic() - calls[0] < 90:
            raise Refused("not yet")
        return "there"

    with serving(chooses(1, value=100)) as server:
        orc = Orchestrator([Tool(flaky, gives="it")], escalation=[AskModel(server.model())], clock=clock)
        outcome = await orc.run("it")
    assert (outcome.value, outcome.llm_calls, len(calls)) == ("there", 1, 2)
    assert calls[1] - calls[0] == 100


async def waiting_an_hour(orc: Orchestrator) -> "asyncio.Task[Any]":
    """A run that waits for its tool as it was told to."""
    begun = asyncio.create_task(orc.run("it", run_id="r"))
    for _ in range(400):
        await asyncio.sleep(0.005)
        if any(decision.chosen.startswith("wait 3600") for decision in orc.outcome("r").decisions):
            return begun
    raise AssertionError("it does not wait")


async def an_hour(impasse: Impasse) -> Resolution:
    return Resolution.wait("it", 3600)


async def test_the_wait_is_over_when_the_tool_is_back() -> None:
    orc = Orchestrator([Tool(lambda: "here", name="it")], escalation=[an_hour])
    orc.health.trip("it", "under repair")
    begun = await waiting_an_hour(orc)
    assert not begun.done()
    orc.health.restore("it")
    assert (await asyncio.wait_for(begun, 20)).value == "here"


async def test_a_run_that_waits_for_a_tool_can_be_cancelled() -> None:
    orc = Orchestrator([Tool(lambda: "here", name="it")], escalation=[an_hour])
    orc.health.trip("it", "under repair")
    begun = await waiting_an_hour(orc)
    cancelled = await asyncio.wait_for(orc.cancel("r", "enough"), 20)
    assert (cancelled.status, (await begun).status) == (Status.ESCALATED, Status.ESCALATED)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
async def test_a_person_raises_the_budget_and_the_run_goes_on(tmp_path: Path, elsewhere: bool) -> None:
    def dear() -> Orchestrator:
        tools = [Tool(lambda: 1, name="first", cost=0.6), Tool(lambda first: 2, name="second", cost=0.6)]
        return Orchestrator(tools, escalation=[Demote(), AskHuman()], store=tmp_path / "runs.db")

    orc = dear()
    waiting = await orc.run("second", budget=1.0)
    assert waiting.impasse is not None
    assert (waiting.status, waiting.impasse.kind) == (Status.WAITING, "budget")
    assert waiting.impasse.message == "No route to second; second (it costs $0.6, and $0.4 of $1 is left)."
    assert waiting.impasse.budget_left["usd"] == pytest.approx(0.4)
    if elsewhere:
        await orc.aclose()
        orc = dear()
    done = await orc.resume(waiting.run_id, Resolution.raise_budget(usd=0.5), by="ann")
    assert done.value == 2
    assert done.cost == pytest.approx(1.2)
    assert orc.replay(done.run_id).agrees
    await orc.aclose()


async def test_a_model_is_not_offered_what_only_a_person_may_do() -> None:
    tools = [Tool(lambda: 1, name="first", cost=0.6), Tool(lambda first: 2, name="second", cost=0.6)]
    with serving(chooses(1)) as server:
        orc = Orchestrator(tools, escalation=[AskModel(server.model())])
        outcome = await orc.run("second", budget=1.0)
        options = server.prompts[0].rpartition("Options:\n")[2]
    assert options == "1. undo what can be undone, and stop"
    assert (outcome.status, outcome.llm_calls) == (Status.ESCALATED, 1)


async def test_a_tool_that_was_forbidden_is_used_when_a_person_allows_it() -> None:
    orc = Orchestrator([Tool(lambda: "here", name="it")], escalation=[AskHuman()])
    orc.health.trip("it", "under repair")
    waiting = await orc.run("it")
    assert waiting.impasse is not None
    assert [(blame.tool, blame.reason) for blame in waiting.impasse.blame] == [("it", "circuit open: under repair")]
    assert (await orc.resume(waiting.run_id, Resolution.allow("it"), by="ann")).value == "here"


async def test_what_a_model_provided_is_not_written_without_a_person() -> None:
    written: list[int] = []

    def book(cost_center: int) -> str:
        written.append(cost_center)
        return f"booked on {cost_center}"

    def look_up(person: str) -> int:
        raise Unavailable("down")

    tools = [Tool(look_up, gives="cost_center"), Tool(book, gives="booking", effect="write")]
    with serving(chooses(1, value="4711")) as server:
        orc = Orchestrator(tools, escalation=[AskModel(server.model()), AskHuman()])
        waiting = await orc.run(Goal("booking", providable=["cost_center"]), {"person": "ann"})
        assert (waiting.status, written, waiting.llm_calls) == (Status.WAITING, [], 1)
        assert waiting.impasse is not None and waiting.impasse.kind == "approval"
        done = await orc.resume(waiting.run_id, "yes", by="ann")
    assert (done.value, written, done.llm_calls) == ("booked on 4711", [4711], 1)
