"""Agents at work: tools of their own, what a rejected answer is told, several agents for one step on record."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from orchestrator import Agent, DefinitionError, Orchestrator, Refused, RunContext, Unavailable, tool
from orchestrator.selection import Consensus, Panel
from orchestrator.testing import FakeClock, ScriptedChatModel


def calling(name: str, **arguments: Any) -> AIMessage:
    """A model that wants to call a tool."""
    calls: list[Any] = [{"name": name, "args": arguments, "id": "1"}]
    return AIMessage("", tool_calls=calls)


# -- tools of their own ----------------------------------------------------------------------------------------------


async def test_an_agents_own_tools_go_through_the_router() -> None:
    @tool(gives="weather", cost=0.001)
    def satellite(city: str) -> str:
        raise Unavailable("clouds")

    @tool(gives="weather", cost=0.01)
    def almanac(city: str) -> str:
        return f"rain in {city}"

    model = ScriptedChatModel([calling("satellite", city="Oslo"), "Take a coat."])
    guide = Agent(model, name="guide", needs=["question"], gives="advice", tools=[satellite])
    async with Orchestrator([almanac], agents=[guide]) as orc:
        assert set(orc.graph.view().tools) == {"almanac", "guide", "satellite"}
        outcome = await orc.run("advice", {"question": "Go out?"})
        assert outcome.value == "Take a coat."
        result = model.received[1][-1]
        assert isinstance(result, ToolMessage)
        assert result.text == "rain in Oslo"  # its own tool is down, and the router knows another
        assert orc.health.status("satellite").last_failure is not None
        assert outcome.cost == pytest.approx(0.01)
        (child,) = [row for row in orc.store.runs() if row.parent == outcome.run_id]
        assert orc.replay(child.run_id).agrees


async def test_a_tool_may_be_the_own_tool_of_several_agents_and_be_there_already() -> None:
    @tool(gives="weather")
    def almanac(city: str) -> str:
        return f"rain in {city}"

    def guide(name: str) -> Agent:
        model = ScriptedChatModel(["Take a coat."])
        return Agent(model, name=name, needs=["question"], gives="advice", tools=[almanac])

    async with Orchestrator([almanac], agents=[guide("one"), guide("two")]) as orc:
        assert set(orc.graph.view().tools) == {"almanac", "one", "two"}


async def test_two_own_tools_of_one_name_are_an_error() -> None:
    @tool(name="almanac", gives="weather")
    def one(city: str) -> str:
        return city

    @tool(name="almanac", gives="weather")
    def other(city: str) -> str:
        return city

    agent = Agent(ScriptedChatModel([""]), name="guide", needs=["question"], gives="advice", tools=[one])
    with pytest.raises(DefinitionError, match="almanac"):
        Orchestrator([other], agents=[agent])
    orc = Orchestrator([other])
    with pytest.raises(DefinitionError, match="almanac"):
        orc.add(agent)
    assert set(orc.graph.view().tools) == {"almanac"}  # nothing of it was added
    assert set(orc.selector.agents) == set()


# -- feedback --------------------------------------------------------------------------------------------------------


async def test_only_a_rejected_answer_is_told_that_it_was_rejected() -> None:
    told: list[str | None] = []
    clock = FakeClock()

    async def write(text: str, feedback: str | None = None) -> str:
        told.append(feedback)
        if len(told) == 1:
            raise ConnectionResetError("a moment")
        if len(told) == 2:
            await clock.sleep(100)
        return "" if len(told) == 3 else "good"

    agent = Agent(write, gives="summary", ensure=bool, timeout=5, retries=5)
    async with Orchestrator(agents=[agent], clock=clock) as orc:
        running = asyncio.create_task(orc.run("summary", {"text": "x"}))
        while not running.done():
            await asyncio.sleep(0)
            clock.advance(1)
        outcome = await running
    assert outcome.value == "good"
    assert [str(failure.kind) for failure in outcome.failures][-1] == "invalid_output"
    assert told[:3] == [None, None, None]
    assert told[3] is not None
    assert "ensure rejected the output" in told[3]


# -- several agents for one step -------------------------------------------------------------------------------------


def answering(name: str, answer: str, cost: float = 0.02, **options: Any) -> Agent:
    def work(question: str) -> str:
        if not answer:
            raise Refused("no idea")
        return answer

    return Agent(work, name=name, gives="answer", cost=cost, **options)


def cheap(*answers: str) -> Agent:
    """A probe that answers these, one after another."""
    left = list(answers)

    def work(question: str) -> str:
        return left.pop(0)

    return Agent(work, name="cheap", gives="answer", cost=0.001)


@pytest.mark.parametrize(
    ("probes", "mode", "sigma", "asked", "winner", "decided_by"),
    [
        (["41", "41", "41"], "one", 0.0, [], "agreement", "agreement"),
        (["41", "42", "41"], "two", 0.5, ["a", "b"], "a", "majority"),
        (["40", "41", "42"], "all", 1.0, ["a", "b", "c"], "a", "majority"),
    ],
)
async def test_how_many_agents_a_step_is_worth_is_a_decision(
    probes: list[str], mode: str, sigma: float, asked: list[str], winner: str, decided_by: str
) -> None:
    experts = [answering(name, "42") for name in "abc"]
    panel = Agent(Consensus(cheap(*probes), experts), name="panel")
    async with Orchestrator(agents=[panel]) as orc:
        outcome = await orc.run("answer", {"question": "6 x 7?"})
        assert outcome.value == ("41" if mode == "one" else "42")
        (verdict,) = [d for d in outcome.decisions if d.subject == "panel"]
        assert (str(verdict.kind), verdict.chosen) == ("select", winner)
        facts = verdict.facts["consensus"]
        assert (facts["mode"], facts["sigma"], facts["decided_by"]) == (mode, sigma, decided_by)
        assert [c.name for c in verdict.candidates] == ["cheap", "cheap", "cheap", *asked]
        assert outcome.cost == pytest.approx(0.003 + 0.02 * len(asked))
        assert facts["usd"] == pytest.approx(outcome.cost)
        assert "'42'" not in str(verdict)  # answers are not on record
        replay = orc.replay(outcome.run_id)
        assert replay.agrees, replay.differences


async def test_replay_finds_a_verdict_that_does_not_follow() -> None:
    from dataclasses import replace

    experts = [answering("a", "1"), answering("b", "2"), answering("c", "2")]
    panel = Agent(Consensus(cheap("1", "2", "3"), experts), name="panel")
    async with Orchestrator(agents=[panel]) as orc:
        outcome = await orc.run("answer", {"question": "?"})
        assert outcome.value == "2"
        records = orc.store.records(outcome.run_id)

        def forged(**changed: Any) -> set[str]:
            rows = [
                replace(
                    record,
                    body={
                        "decision": {
                            **record.body["decision"],
                            **{k: v for k, v in changed.items() if k == "chosen"},
                            "facts": {
                                **record.body["decision"]["facts"],
                                "consensus": {
                                    **record.body["decision"]["facts"]["consensus"],
                                    **{k: v for k, v in changed.items() if k != "chosen"},
                                },
                            },
                        }
                    },
                )
                if record.kind == "Decided" and "consensus" in record.body["decision"].get("facts", {})
                else record
                for record in records
            ]
            orc.store.records = lambda run_id, after=0: rows  # type: ignore[method-assign]
            return {difference.what for difference in orc.replay(outcome.run_id).differences}

        assert forged() == set()
        assert forged(sigma=0.5) == {"sigma"}
        assert forged(mode="two") == {"mode"}
        assert forged(chosen="a") == {"winner"}


async def test_agreement_on_an_invalid_answer_is_caught_and_both_verdicts_are_on_record() -> None:
    def is_even(answer: str) -> bool:
        return int(answer) % 2 == 0

    experts = [answering(name, "42") for name in "abc"]
    panel = Agent(Consensus(cheap(*["41"] * 6), experts), name="panel", ensure=is_even)
    async with Orchestrator(agents=[panel]) as orc:
        outcome = await orc.run("answer", {"question": "6 x 7?"})
        assert outcome.value == "42"
        verdicts = [d.facts["consensus"]["mode"] for d in outcome.decisions if "consensus" in d.facts]
        assert verdicts[0] == "one"
        assert verdicts[-1] == "all"
        assert orc.replay(outcome.run_id).agrees


async def test_a_judge_and_members_that_fail_are_on_record() -> None:
    def judge(answers: list[str], inputs: dict[str, str]) -> str:
        return max(answers)

    experts = [answering("a", "1"), answering("b", ""), answering("c", "3")]
    panel = Agent(Consensus(cheap("1", "2", "3"), experts, judge=judge), name="panel")
    async with Orchestrator(agents=[panel]) as orc:
        outcome = await orc.run("answer", {"question": "?"})
        assert outcome.value == "3"
        (verdict,) = [d for d in outcome.decisions if d.subject == "panel"]
        assert (verdict.chosen, verdict.facts["consensus"]["decided_by"]) == ("judge", "judge")
        assert next(c for c in verdict.candidates if c.name == "b").reason == "gave no answer"
        assert orc.replay(outcome.run_id).agrees


async def test_a_set_with_a_refiner_is_on_record() -> None:
    def merge(answers: dict[str, str], inputs: dict[str, str]) -> str:
        return " + ".join(answers[name] for name in sorted(answers))

    both = Agent(Panel([answering("a", "1"), answering("b", ""), answering("c", "3")], merge), name="both")
    async with Orchestrator(agents=[both]) as orc:
        outcome = await orc.run("answer", {"question": "?"})
        assert outcome.value == "1 + 3"
        assert outcome.cost == pytest.approx(0.06)
        (verdict,) = [d for d in outcome.decisions if d.subject == "both"]
        assert verdict.chosen == "a + c"
        assert [(c.name, c.reason) for c in verdict.candidates] == [
            ("a", "answered"),
            ("b", "gave no answer"),
            ("c", "answered"),
        ]
        assert orc.replay(outcome.run_id).agrees


async def test_members_may_reach_goals_of_the_graph() -> None:
    @tool
    def fact(question: str) -> str:
        return "42"

    async def look_up(question: str, ctx: RunContext) -> str:
        return str((await ctx.reach("fact", {"question": question})).value)

    experts = [Agent(look_up, name=name, gives="answer") for name in "ab"]
    panel = Agent(Consensus(cheap("1", "2", "3"), experts), name="panel")
    async with Orchestrator([fact], agents=[panel]) as orc:
        assert (await orc.run("answer", {"question": "?"})).value == "42"
