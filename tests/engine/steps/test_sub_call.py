"""Calls within calls: members of a consensus have health of their own; an agent's own tools are recorded, counted."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool as langchain_tool
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from orchestrator import Agent, Budget, Orchestrator, Status, Unavailable
from orchestrator.core.enums import CircuitState
from orchestrator.core.event_records import from_body
from orchestrator.core.events import PartEnded
from orchestrator.observability.explain.story import read_story
from orchestrator.selection import Consensus, Panel
from orchestrator.testing import FakeClock, ScriptedChatModel
from tests.support.telemetry import Recorder


def parts(orc: Orchestrator, run_id: str) -> list[PartEnded]:
    found = [from_body(r.kind, run_id, r.at, r.body) for r in orc.store.records(run_id) if r.kind == "PartEnded"]
    return [event for event in found if isinstance(event, PartEnded)]


def saying(name: str, answer: str, *, down: dict[str, bool] | None = None, cost: float = 0.01) -> Agent:
    def work(question: str) -> str:
        if down is not None and down.get(name):
            raise Unavailable("gone")
        return answer

    return Agent(work, name=name, gives="answer", cost=cost)


# -- members ---------------------------------------------------------------------------------------------------------


async def test_a_member_that_is_down_is_left_out_and_comes_back() -> None:
    down = {"ada": True}
    clock = FakeClock()
    experts = [saying(name, "42", down=down) for name in ("ada", "bob", "cy")]
    probes = iter("123456789" * 9)

    def guess(question: str) -> str:
        return next(probes)  # they never agree, so all experts are asked

    panel = Agent(Consensus(Agent(guess, name="cheap", gives="answer", cost=0.001), experts), name="panel")
    async with Orchestrator(agents=[panel], clock=clock) as orc:
        for _ in range(5):
            assert (await orc.run("answer", {"question": "6 x 7?"})).value == "42"
        assert orc.health.status("ada").circuit is CircuitState.OPEN
        assert orc.health.status("bob").circuit is CircuitState.CLOSED
        assert orc.health.status("panel").circuit is CircuitState.CLOSED
        outcome = await orc.run("answer", {"question": "6 x 7?"})
        assert outcome.value == "42"
        assert outcome.cost == pytest.approx(3 * 0.001 + 2 * 0.01)  # who is not asked costs nothing
        (left,) = [part for part in parts(orc, outcome.run_id) if part.left_out]
        assert (left.part, left.tool, left.ok) == ("ada", "panel", False)
        (verdict,) = [d for d in outcome.decisions if "consensus" in d.facts]
        assert list(verdict.facts["consensus"]["left_out"]) == ["ada"]
        assert [c.reason.split(":")[0] for c in verdict.candidates if c.name == "ada"] == ["left out"]
        assert "without ada" in verdict.reason
        assert orc.replay(outcome.run_id).agrees
        assert any("panel left ada out" in entry.text for entry in read_story(orc.store, outcome.run_id).entries)
        down["ada"] = False
        clock.advance(60)
        back = await orc.run("answer", {"question": "6 x 7?"})
        assert not [part for part in parts(orc, back.run_id) if part.left_out]
        assert [part.ok for part in parts(orc, back.run_id) if part.part == "ada"] == [True]
        orc.health.trip("ada", "by hand")
        orc.health.restore("ada")


async def test_the_first_two_that_are_up_are_asked() -> None:
    probes = iter("AAB" * 10)

    def guess(question: str) -> str:
        return next(probes)

    experts = [saying(name, answer) for name, answer in (("ada", "X"), ("bob", "Y"), ("cy", "Y"))]
    panel = Agent(Consensus(Agent(guess, name="cheap", gives="answer"), experts), name="panel")
    async with Orchestrator(agents=[panel]) as orc:
        orc.health.trip("ada", "being mended")
        outcome = await orc.run("answer", {"question": "?"})
        assert outcome.value == "Y"
        asked = [part.part for part in parts(orc, outcome.run_id) if not part.left_out]
        assert asked.count("cheap") == 3
        assert sorted(set(asked)) == ["bob", "cheap", "cy"]
        assert orc.replay(outcome.run_id).agrees


async def test_when_all_members_are_down_the_step_is_rerouted() -> None:
    panel = Agent(Consensus(saying("cheap", "1"), [saying("ada", "2"), saying("bob", "3")]), name="panel")
    other = saying("other", "42", cost=5.0)
    async with Orchestrator(agents=[panel, other]) as orc:
        for name in ("cheap", "ada", "bob"):
            orc.health.trip(name, "being mended")
        outcome = await orc.run("answer", {"question": "?"})
        assert outcome.value == "42"
        (failure,) = outcome.failures
        assert (failure.tool, str(failure.kind)) == ("panel", "outage")
        assert "Every member of the consensus is down" in failure.message
        assert outcome.llm_calls == 0


async def test_a_judge_that_is_down_leaves_the_order_to_decide() -> None:
    probes = iter("ABC" * 10)

    def guess(question: str) -> str:
        return next(probes)

    def best(answers: list[str]) -> str:
        return answers[-1]

    judge = Agent(best, name="judge", gives="answer")
    experts = [saying("ada", "X"), saying("bob", "Y")]
    panel = Agent(Consensus(Agent(guess, name="cheap", gives="answer"), experts, judge=judge), name="panel")
    async with Orchestrator(agents=[panel]) as orc:
        assert (await orc.run("answer", {"question": "?"})).value == "Y"
        orc.health.trip("judge", "being mended")
        outcome = await orc.run("answer", {"question": "?"})
        assert outcome.value == "X"
        (verdict,) = [d for d in outcome.decisions if "consensus" in d.facts]
        assert verdict.facts["consensus"]["decided_by"] == "order"
        assert "judge" in verdict.facts["consensus"]["left_out"]
        assert orc.replay(outcome.run_id).agrees


async def test_a_panel_goes_on_without_who_is_down() -> None:
    def merge(answers: dict[str, str], inputs: dict[str, str]) -> str:
        return " + ".join(answers[name] for name in sorted(answers))

    both = Agent(Panel([saying("ada", "X"), saying("bob", "Y")], merge, least=1), name="both")
    strict = Agent(Panel([saying("ada", "X"), saying("bob", "Y")], merge, least=2), name="strict")
    async with Orchestrator(agents=[both]) as orc:
        orc.health.trip("ada", "being mended")
        outcome = await orc.run("answer", {"question": "?"})
        assert outcome.value == "Y"
        (told,) = [d for d in outcome.decisions if "panel" in d.facts]
        assert told.facts["panel"]["left_out"] == {"ada": "being mended"}
        assert orc.replay(outcome.run_id).agrees
    async with Orchestrator(agents=[strict]) as orc:
        orc.health.trip("ada", "being mended")
        failed = await orc.run("answer", {"question": "?"})
        assert failed.status is Status.ESCALATED
        assert {str(failure.kind) for failure in failed.failures} == {"outage"}


async def test_what_is_known_of_members_is_known_to_the_next_process(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    down = {"ada": True}

    def panel() -> Agent:
        probes = iter("ABC" * 20)
        guess = Agent(lambda question: next(probes), name="cheap", needs=["question"], gives="answer")
        return Agent(Consensus(guess, [saying("ada", "X", down=down), saying("bob", "Y")]), name="panel")

    async with Orchestrator(agents=[panel()], store=where) as orc:
        for _ in range(5):
            await orc.run("answer", {"question": "?"})
    async with Orchestrator(agents=[panel()], store=where) as orc:
        assert orc.health.status("ada").circuit is not CircuitState.CLOSED


# -- tools of an agent's own -----------------------------------------------------------------------------------------


def calling(*names: str) -> AIMessage:
    calls: list[Any] = [{"name": name, "args": {"word": "rain"}, "id": str(n)} for n, name in enumerate(names)]
    return AIMessage("", tool_calls=calls)


def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word}: water"


@langchain_tool
def broken(word: str) -> str:
    """Break."""
    raise Unavailable(f"no {word}")


async def test_an_agents_own_tools_are_on_record_as_spans_and_in_the_story() -> None:
    recorder = Recorder()
    model = ScriptedChatModel([calling("look_up", "broken"), "done"])
    writer = Agent(model, name="writer", needs=["topic"], gives="text", tools=[look_up, broken])
    async with Orchestrator(agents=[writer], tracer_provider=recorder.provider) as orc:
        outcome = await orc.run("text", {"topic": "rain"})
    assert outcome.value == "done"
    bad, good = sorted(parts(orc, outcome.run_id), key=lambda part: part.part)  # two threads end in either order
    assert (good.tool, good.part, str(good.kind), good.ok, good.failure) == ("writer", "look_up", "tool", True, None)
    assert (bad.part, bad.ok, str(bad.failure), bad.error) == ("broken", False, "outage", "Unavailable")
    assert good.call_id == outcome.calls[0].call_id
    assert outcome.failures == ()  # the model answers for it
    attempt = recorder.one("attempt")
    span = recorder.one("execute_tool broken")
    assert attempt.context is not None
    assert span.parent is not None
    assert span.parent.span_id == attempt.context.span_id
    assert (span.attributes or {})["error.type"] == "outage"
    texts = [entry.text for entry in read_story(orc.store, outcome.run_id).entries]
    assert any(text.startswith("writer called look_up") for text in texts)
    assert any("which failed: outage, Unavailable" in text for text in texts)
    assert orc.verify(outcome.run_id).ok
    assert orc.replay(outcome.run_id).agrees


async def test_an_agents_own_tools_count_for_the_budget_of_calls() -> None:
    model = ScriptedChatModel([calling("look_up", "look_up", "look_up"), "done"])
    writer = Agent(model, name="writer", needs=["topic"], gives="text", tools=[look_up])
    async with Orchestrator(agents=[writer]) as orc:
        outcome = await orc.run("text", {"topic": "rain"}, budget=Budget(calls=3))
    assert outcome.value == "done"
    made = [not part.left_out for part in parts(orc, outcome.run_id)]
    assert sorted(made) == [False, True, True]
    refused = model.received[1][-1]
    assert isinstance(refused, ToolMessage)
    assert "look_up may not be called: the budget of 3 calls is used up" in refused.text


async def test_tools_inside_a_graph_are_on_record_and_counted_too() -> None:
    model = ScriptedChatModel([calling("look_up"), "done"])

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def more(state: MessagesState) -> str:
        last = state["messages"][-1]
        return "act" if isinstance(last, AIMessage) and last.tool_calls else "__end__"

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("act", ToolNode([langchain_tool(look_up)]))
    graph.set_entry_point("think")
    graph.add_conditional_edges("think", more)
    graph.add_edge("act", "think")
    compiled: Any = graph.compile()
    agent = Agent(compiled, name="guide", needs=["messages"], gives="text")
    async with Orchestrator(agents=[agent]) as orc:
        outcome = await orc.run("text", {"messages": [("user", "rain?")]}, budget=Budget(calls=5))
        assert outcome.value == "done"
        (part,) = parts(orc, outcome.run_id)
        assert (part.tool, part.part, part.ok) == ("guide", "look_up", True)
        assert outcome.usage["tool_calls"] == 1
