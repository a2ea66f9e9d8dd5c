"""Agents in runs: turns, the dial, constraints, demands that are inferred or come to be known, what a record shows."""

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator import (
    Agent,
    Decision,
    Goal,
    InputError,
    NoRoute,
    Orchestrator,
    Outcome,
    Policy,
    RunContext,
    Tool,
    tool,
)
from orchestrator.core.events import Event, RunStarted
from orchestrator.observability.explain.story import read_story
from orchestrator.selection import Constraints, Exploration, Handbook, Onboarding, Selector, Skill
from tests.support.summarisers import summarisers


def selects(outcome: Outcome[Any]) -> list[Decision]:
    return [decision for decision in outcome.decisions if decision.kind == "select"]


class Started:
    """A sink that keeps how runs began."""

    def __init__(self) -> None:
        self.events: list[RunStarted] = []

    def on_event(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.events.append(event)


# -- turns -----------------------------------------------------------------------------------------------------------


async def test_every_run_takes_a_turn_and_records_it() -> None:
    started = Started()
    async with summarisers() as orc:
        orc.add_sink(started)
        for _ in range(3):
            await orc.run("summary", {"text": "x"})
    assert [event.turn for event in started.events] == [1, 2, 3]


async def test_a_run_without_agents_takes_none() -> None:
    @tool
    def plain(text: str) -> str:
        return text

    started = Started()
    async with summarisers() as orc:
        orc.add(plain)
        orc.add_sink(started)
        await orc.run("plain", {"text": "x"})
    assert started.events[0].turn == 0
    assert orc.selector.turn().number == 1


async def test_replay_counts_upper_bounds_again_from_the_record() -> None:
    explore = Exploration("ucb", seed=11, width=2.0)
    async with summarisers(selector=Selector(exploration=explore)) as orc:
        chosen: set[str] = set()
        for number in range(12):
            outcome = await orc.run("summary", {"text": str(number)})
            (select,) = selects(outcome)
            chosen.add(select.chosen)
            assert select.facts["exploration"]["seed"] == 11
            replay = orc.replay(outcome.run_id)
            assert replay.agrees, replay.differences
        assert chosen == {"sound"}


# -- the dial --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dial", "agent"), [(0.0, "quick"), (0.5, "sound"), (1.0, "sound"), (None, "sound")])
async def test_the_dial_goes_from_cheapest_to_best(dial: float | None, agent: str) -> None:
    started = Started()
    async with summarisers() as orc:
        orc.add_sink(started)
        assert orc.plan("summary", {"text": "x"}, dial=dial).tools == (agent,)
        outcome = await orc.run("summary", {"text": "x"}, dial=dial)
        assert selects(outcome)[0].chosen == agent
        assert orc.replay(outcome.run_id).agrees
    assert started.events[0].dial == dial
    assert (
        started.events[0].policy["quality_value"] == {0.0: 0, 1.0: 1e6}.get(dial or 0.5, Policy().quality_value)
        or dial == 0.0
    )


async def test_a_dial_holds_for_its_run_alone_and_for_the_children() -> None:
    async def outer(text: str, ctx: RunContext) -> str:
        inner = await ctx.reach("summary", {"text": text})
        return f"outer {inner.value}"

    async with summarisers() as orc:
        orc.add(Agent(outer, gives="report"))
        assert (await orc.run("report", {"text": "x"}, dial=0)).value == "outer quick x"
        assert (await orc.run("report", {"text": "x"})).value == "outer sound x"


async def test_health_changes_reach_the_prices_of_every_dial() -> None:
    async with summarisers() as orc:
        assert (await orc.run("summary", {"text": "x"}, dial=0)).value == "quick x"
        orc.health.trip("quick", reason="tired")
        assert (await orc.run("summary", {"text": "x"}, dial=0)).value == "sound x"
        orc.health.restore("quick")
        assert (await orc.run("summary", {"text": "x"}, dial=0)).value == "quick x"


async def test_a_dial_that_makes_no_sense_is_an_error() -> None:
    async with summarisers() as orc:
        with pytest.raises(InputError, match="from 0"):
            await orc.run("summary", {"text": "x"}, dial=2)
    async with summarisers(pricing=lambda facts: facts.money) as orc:
        with pytest.raises(InputError, match="its own"):
            await orc.run("summary", {"text": "x"}, dial=0.9)


# -- constraints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraints", "why"),
    [
        (Constraints(data_may_leave=False), "data may not leave"),
        (Constraints(trust="local"), "its trust domain 'abroad' is not allowed"),
        (Constraints(max_cost=0.001), "costs 0.004 US dollars, more than 0.001"),
        (Constraints(agents=["quick"]), "not among the agents asked for"),
    ],
)
async def test_who_is_refused_does_not_work_in_the_run(constraints: Constraints, why: str) -> None:
    async with summarisers() as orc:
        assert orc.plan("summary", {"text": "x"}, constraints=constraints).tools == ("quick",)
        outcome = await orc.run("summary", {"text": "x"}, constraints=constraints)
        assert outcome.value == "quick x"
        refused = next(c for c in selects(outcome)[0].candidates if c.name == "sound")
        assert (refused.price, refused.reason) == (None, why)
        assert orc.replay(outcome.run_id).agrees
        assert (await orc.run("summary", {"text": "x"})).value == "sound x"


async def test_constraints_of_the_selector_hold_in_every_run() -> None:
    async with summarisers(selector=Selector(constraints=Constraints(data_may_leave=False))) as orc:
        assert (await orc.run("summary", {"text": "x"})).value == "quick x"


async def test_constraints_hold_for_child_goals_and_for_lesser_ones() -> None:
    async def outer(text: str, ctx: RunContext) -> str:
        return str((await ctx.reach("summary", {"text": text})).value)

    async with summarisers() as orc:
        orc.add(Agent(outer, gives="report"))
        stay = Constraints(data_may_leave=False)
        assert (await orc.run("report", {"text": "x"}, constraints=stay)).value == "quick x"
        orc.remove("report" if "report" in orc.graph.view().tools else "outer")
        lesser = Goal("report", demotions=["summary"])
        with pytest.raises(InputError, match="report"):
            orc.plan("report", {"text": "x"})
        orc.add(Agent(outer, gives="report", cost=9.0, name="dear"))
        outcome = await orc.run(lesser, {"text": "x"}, constraints=Constraints(max_cost=0.001))
        assert (outcome.status, outcome.value) == ("demoted", "quick x")


async def test_when_nobody_may_do_it_the_impasse_says_why() -> None:
    async with summarisers() as orc:
        nobody = Constraints(trust="the moon")
        with pytest.raises(NoRoute) as met:
            orc.plan("summary", {"text": "x"}, constraints=nobody)
        assert "trust domain" in met.value.impasse.message
        outcome = await orc.run("summary", {"text": "x"}, constraints=nobody)
        assert outcome.status == "escalated"
        assert outcome.impasse is not None
        assert "its trust domain 'local' is not allowed" in outcome.impasse.message
        assert outcome.calls == ()


async def test_allowing_a_tool_does_not_lift_a_constraint() -> None:
    from orchestrator import Resolution

    async def ladder(impasse: Any) -> Resolution:
        return Resolution.allow("sound")

    async with summarisers(escalation=[ladder], policy=Policy(max_impasses=2)) as orc:
        outcome = await orc.run("summary", {"text": "x"}, constraints=Constraints(agents=[]))
        assert outcome.status == "escalated"
        assert outcome.calls == ()


# -- demands ---------------------------------------------------------------------------------------------------------

SKILLS = Handbook.of(
    [
        Skill(id="translate", indicators=("translate", "into German"), examples=("How do you say hello in Italian?",)),
        Skill(id="sums", indicators=("percent", "how many"), examples=("What is 17 times 23?",)),
    ]
)


def answerers() -> list[Agent]:
    def polyglot(question: str) -> str:
        return "polyglot"

    def clerk(question: str) -> str:
        return "clerk"

    return [
        Agent(polyglot, gives="answer", skills={"translate": 1.0, "sums": 0.0}),
        Agent(clerk, gives="answer", skills={"sums": 1.0, "translate": 0.0}),
    ]


async def test_where_nothing_is_declared_the_text_of_the_step_tells() -> None:
    async with Orchestrator(agents=answerers(), selector=Selector(handbook=SKILLS)) as orc:
        for question, agent in (("How do you say rain in Dutch?", "polyglot"), ("How many percent is that?", "clerk")):
            outcome = await orc.run("answer", {"question": question})
            assert outcome.value == agent
            (select,) = selects(outcome)
            assert select.facts["source"] == "inferred"
            assert (
                max(select.facts["demand"], key=select.facts["demand"].get)
                == {
                    "polyglot": "translate",
                    "clerk": "sums",
                }[agent]
            )
            assert orc.replay(outcome.run_id).agrees


async def test_a_text_about_nothing_known_is_neutral_and_what_is_declared_stands() -> None:
    async with Orchestrator(agents=answerers(), selector=Selector(handbook=SKILLS)) as orc:
        (select,) = selects(await orc.run("answer", {"question": "zzz"}))
        assert (select.facts["demand"], select.facts["source"]) == ({}, "neutral")
        orc.require_skills("answer", {"sums": 1})
        (select,) = selects(await orc.run("answer", {"question": "How do you say rain in Dutch?"}))
        assert (select.chosen, select.facts["source"]) == ("clerk", "declared")


async def test_skills_without_a_body_are_not_inferred() -> None:
    async with Orchestrator(agents=answerers(), selector=Selector(handbook=Handbook.of(["sums"]))) as orc:
        (select,) = selects(await orc.run("answer", {"question": "sums sums sums"}))
        assert select.facts["source"] == "neutral"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_demand_that_comes_to_be_known_chooses_then(*, declared: bool) -> None:
    """Who answers is chosen when the question is there: neutral before, by a branch after."""

    @tool(gives="question")
    def read(page: str) -> str:
        return "How do you say rain in Dutch?" if page == "languages" else "How many percent is that?"

    def by_the_question(values: Mapping[str, Any]) -> dict[str, float]:
        return {"translate": 1} if "Dutch" in values["question"] else {"sums": 1}

    async with Orchestrator([read], answerers(), selector=Selector(handbook=SKILLS)) as orc:
        if declared:
            orc.require_skills("answer", by_the_question)
        for page, agent in (("languages", "polyglot"), ("numbers", "clerk")):
            outcome = await orc.run("answer", {"page": page})
            assert outcome.value == agent
            assert outcome.failures == ()
            assert [d.kind for d in outcome.decisions] == ["route", "select", "branch", "select"]
            first, last = selects(outcome)
            assert first.facts["demand"] == {}
            assert last.facts["demand"] != {}
            replay = orc.replay(outcome.run_id)
            assert replay.agrees, replay.differences


async def test_a_demand_function_that_fails_is_taken_for_neutral_and_told(caplog: pytest.LogCaptureFixture) -> None:
    def broken(values: Mapping[str, Any]) -> dict[str, float]:
        raise ZeroDivisionError

    async with Orchestrator(agents=answerers()) as orc:
        orc.require_skills("answer", broken)
        outcome = await orc.run("answer", {"question": "x"})
        assert selects(outcome)[0].facts["source"] == "neutral"
    assert "the demand of answer is taken for neutral: its function failed: ZeroDivisionError" in caplog.text


async def test_feedback_counts_under_the_demand_of_the_choice() -> None:
    def by_language(values: Mapping[str, Any]) -> dict[str, float]:
        return {str(values.get("language", "unknown")): 1}

    def write(text: str) -> dict[str, str]:
        return {"summary": text, "title": text}

    agent = Agent(write, gives=["summary", "title"], skills=["german", "unknown"])
    async with Orchestrator(agents=[agent]) as orc:
        orc.require_skills("summary", by_language)
        outcome = await orc.run("title", {"text": "x", "language": "german"})
        before = orc.selector.handbook.profile("write").skills["german"].total
        orc.feedback(outcome.run_id, "title", success=True)
        after = orc.selector.handbook.profile("write").skills
        assert after["german"].total == pytest.approx(before + 1, abs=0.01)
        assert "unknown" not in after


# -- what is on record -----------------------------------------------------------------------------------------------


async def test_a_select_has_all_candidates_scores_parts_and_uncertainty() -> None:
    async with summarisers() as orc:
        outcome = await orc.run("summary", {"text": "x"})
        (select,) = selects(outcome)
        assert [c.name for c in select.candidates] == ["sound", "quick"]
        for candidate in select.candidates:
            parts = select.facts["parts"][candidate.name]
            assert candidate.facts is not None
            attempt = sum(usd for name, usd in parts.items() if name != "quality")
            price = attempt / candidate.facts.success + parts["quality"]
            assert candidate.price == pytest.approx(price, abs=1e-9)
            mean, low, high, evidence = select.facts["judged"][candidate.name]["expected"]
            assert low < mean == candidate.facts.competence < high
            assert evidence == 0
        told = [entry.text for entry in read_story(orc.store, outcome.run_id).entries]
        assert any("sound" in text and "competence 0.80" in text for text in told), told


# -- new agents ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("worthless", ["invalid", "disappointing"])
async def test_a_worthless_newcomer_lowers_quality_by_no_more_than_its_share(worthless: str) -> None:
    share, runs = 0.1, 120

    def good(text: str) -> str:
        return f"good {text}"

    def poor(text: str) -> str:
        return "poor" if worthless == "disappointing" else ""

    orc = Orchestrator(
        agents=[Agent(good, gives="summary", skills={"summarise": 0.9}, cost=0.01, ensure=bool)],
        selector=Selector(onboarding=Onboarding(share=share)),
    )
    orc.require_skills("summary", {"summarise": 1})
    async with orc:
        for number in range(30):
            outcome = await orc.run("summary", {"text": str(number)})
            orc.feedback(outcome.run_id, "summary", success=True)
        orc.add(Agent(poor, gives="summary", skills={"summarise": 1.0}, ensure=bool, retries=0))
        values: list[str] = []
        asked = 0
        for number in range(runs):
            outcome = await orc.run("summary", {"text": str(number)})
            values.append(outcome.value)
            asked += any(call.tool == "poor" for call in outcome.calls)
            orc.feedback(outcome.run_id, "summary", success=outcome.value != "poor")
            assert outcome.llm_calls == 0
    assert 0 < asked <= share * runs
    disappointed = values.count("poor")
    assert disappointed == (asked if worthless == "disappointing" else 0)  # what fails a check is healed


# -- inputs ----------------------------------------------------------------------------------------------------------


async def test_an_input_that_nothing_takes_is_an_error_with_the_nearest_name() -> None:
    async with summarisers() as orc:
        with pytest.raises(InputError, match="Nothing takes the input 'txet'\\. Did you mean 'text'"):
            await orc.run("summary", {"text": "x", "txet": 1})
        with pytest.raises(InputError, match="Nothing takes the input 'zzz'\\. Known keys:"):
            orc.plan("summary", {"text": "x", "zzz": 1})


async def test_a_goal_that_nothing_gives_is_an_error_of_both_kinds() -> None:
    async with summarisers() as orc:
        with pytest.raises(InputError, match=r"No tool gives or needs 'sumary'\. Did you mean 'summary'\?"):
            await orc.run("sumary", {"text": "x"})
        with pytest.raises(NoRoute) as raised:
            orc.plan("sumary", {"text": "x"})
        assert raised.value.impasse.unreachable == ("sumary",)


async def test_a_run_that_is_known_is_not_refused_when_its_tools_are_gone() -> None:
    async with summarisers() as orc:
        await orc.run("summary", {"text": "x"}, run_id="one")
        orc.remove("quick")
        orc.remove("sound")
        assert (await orc.run("summary", {"text": "x"}, run_id="one")).status == "reached"


# -- a compiled graph ------------------------------------------------------------------------------------------------


async def test_every_run_of_a_compiled_graph_keeps_to_the_dial_and_the_constraints() -> None:
    async with summarisers() as orc:
        cheapest, best = orc.compile("summary", dial=0.0), orc.compile("summary", dial=1.0)
        for text in ("a", "b"):
            assert (await cheapest.ainvoke({"text": text}))["summary"] == f"quick {text}"
            assert (await best.ainvoke({"text": text}))["summary"] == f"sound {text}"
        here = orc.compile("summary", dial=1.0, constraints=Constraints(data_may_leave=False))
        outcome = (await here.ainvoke({"text": "x"}))["outcome"]
        assert outcome.value == "quick x"
        assert orc.replay(outcome.run_id).agrees
        with pytest.raises(InputError, match="dial goes from 0"):
            orc.compile("summary", dial=7)


# -- which of several keys -------------------------------------------------------------------------------------------


async def test_a_choice_is_for_the_key_that_the_step_is_wanted_for() -> None:
    def both(text: str) -> dict[str, str]:
        return {"draft": text, "title": text[:1]}

    def one(text: str) -> str:
        return text[:2]

    agents = [
        Agent(both, name="both", gives=["draft", "title"], skills={"write": 0.9}),
        Agent(one, name="one", gives="title", skills={"write": 0.3}),
    ]
    async with Orchestrator(agents=agents) as orc:
        orc.require_skills("title", {"write": 1})
        outcome = await orc.run("title", {"text": "Rain"})
        (select,) = selects(outcome)
        assert (select.subject, select.chosen) == ("title", "both")
        assert {candidate.name for candidate in select.candidates} == {"both", "one"}
        draft = await orc.run("draft", {"text": "Rain"})
        assert [select.subject for select in selects(draft)] == ["draft"]
        for each in (outcome, draft):
            assert orc.replay(each.run_id).agrees


async def test_a_choice_is_for_the_key_that_another_step_takes() -> None:
    def both(text: str) -> dict[str, str]:
        return {"draft": text, "title": text[:1]}

    @tool(gives="shouted")
    def shout(title: str) -> str:
        return title.upper()

    async with Orchestrator([shout], agents=[Agent(both, name="both", gives=["draft", "title"])]) as orc:
        outcome = await orc.run("shouted", {"text": "rain"})
    assert [select.subject for select in selects(outcome)] == ["title"]


async def test_a_skill_that_nobody_knows_is_an_error_as_soon_as_it_can_be_judged() -> None:
    able = Agent(lambda text: text, name="able", gives="summary", skills={"summarise": 0.8})
    plain = Tool(lambda text: text, name="plain", gives="summary", cost=9.0)
    async with Orchestrator([plain], agents=[able]) as orc:
        with pytest.raises(
            InputError, match=r"the skill 'sumarise'.* Did you mean 'summarise'\? Known skills: summarise"
        ):
            orc.require_skills("summary", {"sumarise": 1})
        assert orc.plan("summary", {"text": "x"}).tools == ("able",)
    async with Orchestrator([plain]) as orc:
        orc.require_skills("summary", {"sumarise": 1})  # agents may come
        assert (await orc.run("summary", {"text": "x"})).value == "x"
        orc.add(able)
        with pytest.raises(InputError, match="Did you mean 'summarise'"):
            orc.plan("summary", {"text": "x"})
        with pytest.raises(InputError, match="Did you mean 'summarise'"):
            await orc.run("summary", {"text": "x"})
        orc.require_skills("summary", {"summarise": 1})
        assert orc.plan("summary", {"text": "x"}).tools == ("able",)
