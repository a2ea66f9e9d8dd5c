"""The work of agents judged when their run has ended: recorded, learned from, and never in the way of a run."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Agent, DefinitionError, Goal, InputError, Orchestrator, Policy, RunContext, tool
from orchestrator.agents.agent import per_token
from orchestrator.core.events import Event, WorkJudged
from orchestrator.health.monitors.facts import RunStatistics
from orchestrator.selection import Constraints, Judgement, ModelJudge
from orchestrator.selection.learning.evaluation import judgements_of
from orchestrator.store import MemoryStore
from orchestrator.testing import ScriptedChatModel
from tests.support.telemetry import Recorder

GOOD = '{"good": true, "sure": 0.4, "reason": "says it all"}'
BAD = '{"good": false, "sure": 0.9, "reason": "made up"}'


class Hears:
    """A sink that hands on what it hears."""

    def __init__(self, hear: Callable[[Event], None]) -> None:
        self._hear = hear

    def on_event(self, event: Event) -> None:
        self._hear(event)


def short(text: str) -> str:
    return text[:3]


def team(**options: Any) -> list[Agent]:
    return [Agent(short, gives="summary", name="short", skills={"summarise": 0.5}, **options)]


def summarising(judge: Any, store: Any = None, **options: Any) -> Orchestrator:
    orc = Orchestrator(agents=team(**options), judge=judge, store=store)
    orc.require_skills("summary", {"summarise": 1})
    return orc


async def test_a_judge_says_how_good_the_work_was_and_it_is_learned_from() -> None:
    model = ScriptedChatModel([GOOD, BAD])
    judge = ModelJudge(model, "Is it faithful?", cost=per_token(100, 1000), domain="here")
    seen: list[Event] = []
    orc = summarising(judge)
    orc.add_sink(Hears(seen.append))
    async with orc:
        first = await orc.run("summary", {"text": "Rain is on its way."})
        second = await orc.run("summary", {"text": "Take a coat."})
        assert first.llm_calls == second.llm_calls == 0  # the control plane asked no model
        assert first.cost == 0.0
    asked = model.received[0][1].text
    assert "Rain is on its way." in asked
    assert "Rai" in asked
    (told,) = orc.judgements(first.run_id)
    assert (told.tool, told.keys, told.by, told.good, told.weight) == ("short", ("summary",), judge.name, True, 0.4)
    assert (told.tokens, told.problem) == (15, "")
    assert told.cost == pytest.approx((100 * 10 + 1000 * 5) / 1e6)
    (worse,) = orc.judgements(second.run_id)
    assert (worse.good, worse.weight) == (False, 0.5)  # no judge weighs more than it is trusted
    assert [event for event in seen if isinstance(event, WorkJudged)] == [told, worse]
    general = orc.selector.handbook.profile("short").general
    assert general.failures == pytest.approx(0.5, abs=0.01)
    assert general.successes == pytest.approx(0.25 + 0.25 + 0.4, abs=0.01)


async def test_a_function_judges_too_and_an_agent_may_have_its_own_judge_or_none() -> None:
    judged: list[tuple[str, Any]] = []

    def by_length(inputs: Mapping[str, Any], output: str) -> bool:
        judged.append(("by length", dict(inputs)))
        return len(output) > 5

    async def strict(inputs: Mapping[str, Any], output: Any) -> Judgement:
        judged.append(("strict", output))
        return Judgement(False, 0.3)

    agents = [
        Agent(short, gives="a", name="a"),
        Agent(short, gives={"b": str}, name="b", judge=strict),
        Agent(short, gives="c", name="c", judge=False),
    ]
    async with Orchestrator(agents=agents, judge=by_length) as orc:
        outcome = await orc.run(Goal(["a", "b", "c"]), {"text": "abcdef"})
    assert sorted(judged, key=str) == [("by length", {"text": "abcdef"}), ("strict", "abc")]
    told = {each.tool: (each.by, each.good, each.weight) for each in orc.judgements(outcome.run_id)}
    assert told == {"a": ("by_length", False, 0.5), "b": ("strict", False, 0.3)}


@pytest.mark.parametrize(
    ("judge", "problem"),
    [
        (ModelJudge(ScriptedChatModel([ConnectionError("no way")]), "Good?"), "failed: ConnectionError"),
        (lambda inputs, output: "very good", "failed: InputError"),
    ],
)
async def test_a_judge_that_fails_is_reported_and_hurts_nobody(judge: Any, problem: str) -> None:
    store = MemoryStore()
    problems: list[str] = []
    store.on_problem = problems.append
    async with summarising(judge, store) as orc:
        outcome = await orc.run("summary", {"text": "Rain."})
        assert outcome.value == "Rai"
    (told,) = orc.judgements(outcome.run_id)
    assert (told.good, told.problem) == (None, problem)
    assert any(problem in each and "short" in each for each in problems)
    assert orc.selector.handbook.profile("short").general.total == pytest.approx(0.25)


async def test_what_makes_no_sense_counts_for_nothing_but_its_cost() -> None:
    judge = ModelJudge(ScriptedChatModel(["I would rather not say"]), "Good?", cost=0.02)
    async with summarising(judge) as orc:
        outcome = await orc.run("summary", {"text": "Rain."})
    (told,) = orc.judgements(outcome.run_id)
    assert (told.good, told.cost, told.problem) == (None, 0.02, "")
    assert orc.selector.handbook.profile("short").general.total == pytest.approx(0.25)


async def test_no_run_waits_for_a_judge() -> None:
    free, began = asyncio.Event(), asyncio.Event()

    async def slow(inputs: Any, output: Any) -> bool:
        began.set()
        await free.wait()
        return True

    async with summarising(slow) as orc:
        first = await orc.run("summary", {"text": "one"})
        await began.wait()
        second = await orc.run("summary", {"text": "two"})
        assert orc.judgements(first.run_id) == ()
        free.set()
    assert len(orc.judgements(first.run_id)) == len(orc.judgements(second.run_id)) == 1


async def test_closing_waits_only_so_long_and_says_what_stays_without_a_judgement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(inputs: Any, output: Any) -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr("orchestrator.engine.background.closing.JUDGED_WITHIN", 0.01)
    store = MemoryStore()
    problems: list[str] = []
    store.on_problem = problems.append
    async with summarising(never, store) as orc:
        await orc.run("summary", {"text": "one"})
    assert problems == ["1 piece of work: not judged before the end"]


def test_what_one_event_loop_left_is_judged_in_the_next() -> None:
    gate = {"open": False}

    async def later(inputs: Any, output: Any) -> bool:
        if not gate["open"]:
            await asyncio.Event().wait()
        return True

    orc = summarising(later)
    outcome = orc.run_sync("summary", {"text": "one"})  # its event loop ends before the judge does
    gate["open"] = True
    orc.close()
    assert [each.good for each in orc.judgements(outcome.run_id)] == [True]


async def test_closing_repeats_nothing_of_a_judgement_that_is_being_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def judge(inputs: Any, output: Any) -> bool:
        asked.append(output)
        return True

    store = MemoryStore()
    orc = summarising(judge, store)
    storing, put, learned = threading.Event(), store.put_document, list[bool]()
    learn = orc.selector.learn

    def slow(kind: str, body: Mapping[str, Any]) -> Any:
        if kind.startswith("judged:"):
            storing.set()
            time.sleep(0.2)
        return put(kind, body)

    def counted(agent: Any, demand: Any, good: bool, sure: float = 1.0) -> None:
        learned.append(good)
        learn(agent, demand, good, sure)

    monkeypatch.setattr(store, "put_document", slow)
    monkeypatch.setattr(orc.selector, "learn", counted)
    outcome = await orc.run("summary", {"text": "Rain"})
    await asyncio.to_thread(storing.wait, 10)
    orc.close()  # in async code: from here on, another event loop finishes what is pending
    assert (asked, learned) == (["Rai"], [True])
    assert len(judgements_of(store, outcome.run_id)) == 1


async def test_a_judge_is_shown_nothing_that_may_not_leave() -> None:
    model = ScriptedChatModel([GOOD], repeat=True)
    async with summarising(ModelJudge(model, "Good?")) as orc:
        kept = await orc.run("summary", {"text": "secret"}, constraints=Constraints(data_may_leave=False))
        elsewhere = await orc.run("summary", {"text": "secret"}, constraints=Constraints(trust={"eu", "mars"}))
        shown = await orc.run("summary", {"text": "open"})
    assert model.calls == 1
    assert orc.judgements(kept.run_id) == orc.judgements(elsewhere.run_id) == ()
    assert len(orc.judgements(shown.run_id)) == 1


async def test_child_runs_are_judged_and_plain_tools_are_not(tmp_path: Path) -> None:
    @tool(gives="brief")
    async def brief(text: str, ctx: RunContext) -> str:
        return str((await ctx.reach("summary", {"text": text}, key="part")).value)

    async with summarising(lambda inputs, output: True, str(tmp_path / "runs.db")) as orc:
        orc.add(brief)
        plain = await orc.run("brief", {"text": "y"})
        outcome = await orc.run("summary", {"text": "x"})
        orc.feedback(outcome.run_id, "summary", success=False)
    async with Orchestrator(agents=team(), store=str(tmp_path / "runs.db")) as other:
        assert other.judgements(plain.run_id) == ()
        (child,) = other.store.runs(parent=plain.run_id)
        assert [each.tool for each in other.judgements(child.run_id)] == ["short"]
        told = {each.by: (each.good, each.weight) for each in other.judgements(outcome.run_id)}
        assert told == {"<lambda>": (True, 0.5), "a person": (False, 1.0)}


async def test_a_judgement_is_a_span_in_the_trace_of_its_run_and_money_of_the_day() -> None:
    recorder = Recorder()
    judge = ModelJudge(ScriptedChatModel([GOOD]), "Good?", cost=0.25)
    orc = Orchestrator(agents=team(), judge=judge, tracer_provider=recorder.provider)
    fold = RunStatistics()
    orc.add_sink(Hears(lambda event: fold.apply(event, 0.0)))
    async with orc:
        outcome = await orc.run("summary", {"text": "Rain."})
    span = recorder.one("judge short")
    run = recorder.one("invoke_workflow summary")
    assert span.context is not None
    assert run.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id) == (run.context.trace_id, run.context.span_id)
    attributes = dict(span.attributes or {})
    assert attributes["orchestrator.judgement.good"] is True
    assert attributes["orchestrator.judgement.cost"] == 0.25
    assert "says it all" not in str(attributes)  # reasons may quote the work
    assert fold.today.usd == pytest.approx(0.25)
    assert orc.verify(outcome.run_id).ok


def test_something_that_cannot_judge() -> None:
    nonsense: Any = 3
    with pytest.raises(DefinitionError, match="judge is a function"):
        Orchestrator(judge=nonsense)
    with pytest.raises(DefinitionError, match="judge is a function"):
        Agent(short, judge="me")
    with pytest.raises(InputError, match="above 0, up to 1"):
        Judgement(True, 0.0)


async def test_nobody_judges_when_the_money_of_the_day_is_spent() -> None:
    store = MemoryStore()
    problems: list[str] = []
    store.on_problem = problems.append
    judge = ModelJudge(ScriptedChatModel([GOOD], repeat=True), "Good?", cost=0.3)
    policy = Policy(max_spend_per_day=0.2)
    async with Orchestrator(agents=team(), judge=judge, store=store, policy=policy, monitors=()) as orc:
        first = await orc.run("summary", {"text": "one"})
        await orc._evaluator.drain(10)  # pyright: ignore[reportPrivateUsage]
        second = await orc.run("summary", {"text": "two"})
    assert len(orc.judgements(first.run_id)) == 1
    assert orc.judgements(second.run_id) == ()
    assert problems == [f"the work of run {second.run_id} is not judged: today's $0.2 are spent"]
