"""Agents in runs: chosen, asked again, asking back, using the graph, learning."""

from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import StateGraph
from pydantic import BaseModel

from orchestrator import Agent, InputError, Orchestrator, RunContext, Status, Unavailable, tool
from orchestrator.agents.agent import Person, per_token
from orchestrator.agents.chat_tools import GoalTool
from orchestrator.selection import Consensus, Panel
from orchestrator.testing import ScriptedChatModel
from tests.support.summarisers import two


class Brief(BaseModel):
    title: str


class Adding(TypedDict):
    a: int
    b: int


async def test_the_demand_decides_who_does_a_step() -> None:
    async with Orchestrator(agents=two()) as orc:
        orc.require_skills("summary", {"summarise": 1})
        outcome = await orc.run("summary", {"text": "x"})
        assert outcome.value == "sound x"
        (select,) = [d for d in outcome.decisions if d.kind == "select"]
        assert select.chosen == "sound"
        assert {c.name for c in select.candidates} == {"quick", "sound"}
        chosen = orc.selector.select({"summarise": 1})
        assert chosen.agent == "sound"


async def test_feedback_changes_who_does_it() -> None:
    async with Orchestrator(agents=two()) as orc:
        orc.require_skills("summary", {"summarise": 1})
        values: list[str] = []
        for number in range(20):
            outcome = await orc.run("summary", {"text": str(number)})
            values.append(outcome.value.split()[0])
            orc.feedback(outcome.run_id, "summary", success=values[-1] == "quick")
        assert values[0] == "sound"
        assert values[-1] == "quick"


async def test_a_chat_model_is_asked_again_with_the_error_and_its_tokens_cost() -> None:
    model = ScriptedChatModel(['{"titel": "T"}', '{"title": "T"}'])
    writer = Agent(model, name="writer", needs=["text"], gives={"brief": Brief}, cost=per_token(10, 100))
    async with Orchestrator(agents=[writer]) as orc:
        outcome = await orc.run("brief", {"text": "..."})
    assert outcome.value == Brief(title="T")
    assert "rejected: " in model.received[1][-1].text
    assert "title: Field required" in model.received[1][-1].text
    assert outcome.cost == pytest.approx(2 * (10 * 10 + 100 * 5) / 1e6)
    assert outcome.llm_calls == 0  # the control plane asked no model


async def test_a_model_uses_the_graph_and_the_graph_heals() -> None:
    @tool(gives="weather", cost=0.001)
    def satellite(city: str) -> str:
        raise Unavailable("clouds")

    @tool(gives="weather", cost=0.01)
    def almanac(city: str) -> str:
        return f"rain in {city}"

    calls: list[Any] = [{"name": "weather", "args": {"city": "Oslo"}, "id": "1"}]
    model = ScriptedChatModel([AIMessage("", tool_calls=calls), "Take a coat."])
    guide = Agent(
        model, name="guide", needs=["question"], gives="advice", tools=[GoalTool("weather", takes={"city": str})]
    )
    async with Orchestrator([satellite, almanac], agents=[guide]) as orc:
        outcome = await orc.run("advice", {"question": "Go out?"})
    assert outcome.value == "Take a coat."
    result = model.received[1][-1]
    assert isinstance(result, ToolMessage)
    assert result.text == "rain in Oslo"
    assert outcome.usage["tool_calls"] == 1


async def test_a_person_is_waited_for() -> None:
    @tool(gives="draft")
    def write(topic: str) -> str:
        return f"about {topic}"

    editor = Agent(
        Person("Is '{draft}' fit to send?"), name="editor", needs=["draft"], gives={"verdict": bool}, skills="judge"
    )
    async with Orchestrator([write], agents=[editor]) as orc:
        waiting = await orc.run("verdict", {"topic": "rain"})
        assert waiting.status is Status.WAITING
        assert "Is 'about rain' fit to send?" in str(waiting.questions[0].text)
        outcome = await orc.resume(waiting.run_id, True)
        assert outcome.value is True


async def test_a_compiled_graph_works_inside_a_run() -> None:
    def add(state: Adding) -> dict[str, int]:
        return {"b": state["a"] + 1}

    builder = StateGraph(Adding)
    builder.add_node("add", add)
    builder.set_entry_point("add")
    compiled: Any = builder.compile()
    plain = Agent(compiled, name="adder", needs=["a"], gives={"b": int})
    async with Orchestrator(agents=[plain]) as orc:
        assert (await orc.run("b", {"a": 1})).value == 2
        graph: Any = orc.compile("b")
        assert (await graph.ainvoke({"a": 5}))["b"] == 6


async def test_a_consensus_that_agrees_on_nonsense_is_sent_back() -> None:
    def cheap(question: str) -> str:
        return "41"

    def expert(question: str) -> str:
        return "42"

    def is_even(answer: str) -> bool:
        return int(answer) % 2 == 0

    experts = [Agent(expert, name=name, gives="answer", cost=0.02) for name in "abc"]
    panel = Agent(Consensus(Agent(cheap, gives="answer", cost=0.001), experts), name="panel", ensure=is_even)
    async with Orchestrator(agents=[panel]) as orc:
        outcome = await orc.run("answer", {"question": "6 x 7?"})
    assert outcome.value == "42"
    assert outcome.cost == pytest.approx(0.003 + 0.003 + 0.06)
    assert outcome.usage["mode_one"] == outcome.usage["mode_all"] == 1


async def test_a_panel_is_a_step_too() -> None:
    def merge(answers: dict[str, str], inputs: dict[str, str]) -> str:
        return " + ".join(answers[name] for name in sorted(answers))

    both = Agent(Panel(two(), merge), name="both")
    async with Orchestrator(agents=[both]) as orc:
        outcome = await orc.run("summary", {"text": "x"})
    assert outcome.value == "quick x + sound x"
    assert outcome.cost == pytest.approx(0.004)


async def test_when_the_best_agent_is_down_the_next_one_does_it() -> None:
    def broken(text: str) -> str:
        raise Unavailable("gone")

    agents = [Agent(broken, gives="summary", skills={"summarise": 1.0}), two()[0]]
    async with Orchestrator(agents=agents) as orc:
        orc.require_skills("summary", {"summarise": 1})
        outcome = await orc.run("summary", {"text": "x"})
    assert outcome.value == "quick x"
    assert [failure.tool for failure in outcome.failures] == ["broken"]
    assert outcome.llm_calls == 0


async def test_a_skill_that_nobody_knows_is_found_when_a_function_demands_it() -> None:
    @tool(gives="page")
    async def page(text: str, ctx: RunContext) -> str:
        return (await ctx.reach("summary", {"text": text})).value

    async with Orchestrator([page], two()) as orc:
        orc.require_skills("summary", lambda values: {"sumarise": len(values["text"])})
        with pytest.raises(InputError, match=r"skill 'sumarise'.*Did you mean 'summarise'"):
            await orc.run("summary", {"text": "x"})
        outcome = await orc.run("page", {"text": "x"})
        (failure,) = outcome.failures
        assert (failure.tool, failure.kind) == ("page", "caller_error")
        assert "Did you mean 'summarise'" in failure.message
        assert outcome.children == ()


async def test_a_skill_that_nobody_knows_in_the_middle_of_a_run_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    @tool(gives="text")
    def text(seed: str) -> str:
        return seed

    async with Orchestrator([text], two()) as orc:
        orc.require_skills("summary", lambda values: {"sumarise": len(values["text"])})
        outcome = await orc.run("summary", {"seed": "x"})
        await orc.run("summary", {"seed": "y"})
    assert outcome.ok
    said = [record.getMessage() for record in caplog.records if "sumarise" in record.getMessage()]
    assert len(said) == 1
    assert "Did you mean 'summarise'" in said[0]
