"""A model asked what a step demands: only where its text leaves that unsure, on record, remembered, never needed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Agent, Budget, Orchestrator, Outcome, tool
from orchestrator.agents.agent import per_token
from orchestrator.core.event_records import from_body
from orchestrator.core.events import DemandTold
from orchestrator.observability.explain.story import read_story
from orchestrator.selection import Constraints, DemandModel, Handbook, Selector, Skill
from orchestrator.store import MemoryStore
from orchestrator.testing import ScriptedChatModel
from tests.support.telemetry import Recorder

BOOK = Handbook.of(
    [
        Skill(id="translate", indicators=("translate", "into German"), examples=("How do you say hello in Italian?",)),
        Skill(id="sums", indicators=("percent", "how many"), examples=("What is 17 times 23?",)),
    ]
)
UNSURE = "Please have a look at this for me"
SURE = "translate this into German"
SUMS = '{"sums": 1}'


def work(question: str) -> str:
    return question


def team() -> list[Agent]:
    return [
        Agent(work, name="polyglot", gives="answer", skills={"translate": 1.0}),
        Agent(work, name="clerk", gives="answer", skills={"sums": 0.9}),
    ]


def asking(model: Any, **options: Any) -> Orchestrator:
    return Orchestrator(agents=team(), selector=Selector(handbook=BOOK), demand_model=model, **options)


def choice(outcome: Outcome[Any]) -> tuple[str, Any, Any]:
    (select,) = [decision for decision in outcome.decisions if decision.kind == "select"]
    return select.chosen, select.facts["source"], select.facts.get("model")


def told(orc: Orchestrator, run_id: str) -> list[DemandTold]:
    found = [from_body(r.kind, run_id, r.at, r.body) for r in orc.store.records(run_id) if r.kind == "DemandTold"]
    return [event for event in found if isinstance(event, DemandTold)]


async def test_a_model_is_asked_where_the_text_leaves_it_unsure_and_only_there() -> None:
    model = ScriptedChatModel([SUMS])
    async with asking(DemandModel(model, cost=per_token(100, 1000))) as orc:
        unsure = await orc.run("answer", {"question": UNSURE})
        assert choice(unsure) == ("clerk", "model", orc.demand_model.name if orc.demand_model else "")
        sure = await orc.run("answer", {"question": SURE})
        assert choice(sure) == ("polyglot", "inferred", None)
        assert model.calls == 1
        again = await orc.run("answer", {"question": UNSURE})  # remembered
        assert choice(again)[0] == "clerk"
        assert model.calls == 1
        assert UNSURE in model.received[0][1].text
        assert unsure.cost == pytest.approx((100 * 10 + 1000 * 5) / 1e6)
        assert (unsure.llm_calls, unsure.usage["demand_calls"], unsure.usage["demand_tokens"]) == (0, 1, 15)
        assert (again.cost, "demand_calls" in again.usage) == (0.0, False)
        (event,) = told(orc, unsure.run_id)
        assert (event.key, event.demand, event.problem) == ("answer", {"sums": 1.0}, "")
        for outcome in (unsure, sure, again):
            assert orc.replay(outcome.run_id).agrees
            assert orc.verify(outcome.run_id).ok
        story = read_story(orc.store, unsure.run_id)
        assert any("was asked what answer demands: sums 1.00" in entry.text for entry in story.entries)
        orc.plan("answer", {"question": "Quite another thing"})  # planning alone asks nobody
        assert model.calls == 1


@pytest.mark.parametrize("answer", ["no idea", '{"juggling": 1}', '{"sums": -1}', ConnectionError("gone")])
async def test_what_fails_or_makes_no_sense_leaves_what_the_text_tells(answer: Any) -> None:
    store = MemoryStore()
    problems: list[str] = []
    store.on_problem = problems.append
    model = ScriptedChatModel([answer])
    async with asking(model, store=store) as orc:
        first = await orc.run("answer", {"question": UNSURE})
        second = await orc.run("answer", {"question": UNSURE})
        assert first.value == second.value == UNSURE
        assert choice(first)[1] in ("neutral", "inferred")
        assert model.calls == 1  # nor is it asked again
        assert told(orc, first.run_id)[0].problem
        assert len(problems) == 1
        assert orc.replay(first.run_id).agrees


async def test_a_model_that_is_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*arguments: Any, **options: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(ScriptedChatModel, "ainvoke", never)
    async with asking(DemandModel(ScriptedChatModel([]), timeout=0.01)) as orc:
        outcome = await orc.run("answer", {"question": UNSURE})
        assert outcome.value == UNSURE
        assert told(orc, outcome.run_id)[0].problem == "it gave no answer in time"


async def test_nobody_is_asked_what_is_declared_or_makes_no_choice_or_may_not_leave() -> None:
    model = ScriptedChatModel([SUMS], repeat=True)
    async with asking(model) as orc:
        orc.require_skills("answer", {"translate": 1})
        await orc.run("answer", {"question": UNSURE})
    async with Orchestrator(agents=team()[:1], selector=Selector(handbook=BOOK), demand_model=model) as orc:
        await orc.run("answer", {"question": UNSURE})  # there is nobody else to choose
    async with Orchestrator(agents=team(), demand_model=model) as orc:
        await orc.run("answer", {"question": UNSURE})  # there are no skills to tell apart
    async with asking(model) as orc:
        await orc.run("answer", {"question": UNSURE}, constraints=Constraints(data_may_leave=False))
        await orc.run("answer", {"question": UNSURE}, budget=Budget(usd=0.0))
        assert model.calls == 0
        await orc.run("answer", {"question": UNSURE})
        assert model.calls == 1


async def test_a_text_that_comes_from_a_step_is_asked_about_when_it_is_there() -> None:
    @tool(gives="question")
    def listen(speech: str) -> str:
        return UNSURE

    model = ScriptedChatModel([SUMS])
    async with asking(model) as orc:
        orc.add(listen)
        outcome = await orc.run("answer", {"speech": "..."})
        assert outcome.value == UNSURE
        chosen = [d.chosen for d in outcome.decisions if d.kind == "select"]
        assert chosen[-1] == "clerk"
        assert "branch" in [d.kind for d in outcome.decisions]
        assert model.calls == 1
        assert orc.replay(outcome.run_id).agrees


async def test_it_is_a_span_and_may_be_set_later(tmp_path: Path) -> None:
    recorder = Recorder()
    async with asking(None, tracer_provider=recorder.provider, store=str(tmp_path / "runs.db")) as orc:
        assert orc.demand_model is None
        orc.demand_model = ScriptedChatModel([SUMS])
        outcome = await orc.run("answer", {"question": UNSURE})
    assert choice(outcome)[0] == "clerk"
    (span,) = [span for span in recorder.spans if span.name.startswith("chat ")]
    assert (span.attributes or {})["gen_ai.operation.name"] == "chat"
    assert UNSURE not in str(dict(span.attributes or {}))
