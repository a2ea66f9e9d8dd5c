"""Agents made of functions, chat models, runnables, graphs and people."""

import subprocess
import sys
from typing import Any, Literal, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from orchestrator import Goal, Orchestrator, tool
from orchestrator.agents.agent import Agent, Person, per_token
from orchestrator.agents.chat import find_json, read_answer
from orchestrator.agents.chat_tools import GoalTool
from orchestrator.errors import CallerError, DefinitionError, InvalidOutput
from orchestrator.graph.tool import Tool
from orchestrator.testing import ScriptedChatModel
from tests.selection.workers import Alone


class Brief(BaseModel):
    title: str
    points: list[str] = []


class Numbers(TypedDict):
    a: int
    b: int


def summarise(text: str, feedback: str | None = None) -> str:
    """Say it shorter."""
    return f"{text[:5]} {feedback or ''}".strip()


# -- declarations ----------------------------------------------------------------------------------------------------


def test_an_agent_is_a_tool_with_skills() -> None:
    agent = Agent(summarise, skills={"summarise": 0.9}, cost=0.01, gives="summary")
    assert isinstance(agent, Tool)
    assert agent.is_agent
    assert agent.skills == {"summarise": 0.9}
    assert (agent.name, dict(agent.needs), list(agent.gives)) == ("summarise", {"text": "text"}, ["summary"])
    assert agent("hello world") == "hello"
    assert (agent.trust, agent.data_leaves) == ("local", False)


def test_a_skill_without_a_number_is_declared_in_full() -> None:
    assert Agent(summarise, skills=["a", "b"]).skills == {"a": 1.0, "b": 1.0}
    assert Agent(summarise, skills="a").skills == {"a": 1.0}
    assert Agent(summarise).skills == {}


@pytest.mark.parametrize("skills", [{"a": 1.5}, {"a": -0.1}, {"a": float("nan")}, {"a": True}, {"": 1.0}, [1], 3])
def test_wrong_skills_are_refused(skills: Any) -> None:
    with pytest.raises(DefinitionError, match="summarise"):
        Agent(summarise, skills=skills)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trust": ""}, "trust domain"),
        ({"data_leaves": "no"}, "True or False"),
        ({"feedback": "mood"}, "no such optional parameter"),
        ({"feedback": "text"}, "no such optional parameter"),
        ({"instructions": "be brief"}, "made of a chat model"),
        ({"tools": []}, "made of a chat model"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Agent(summarise, **options)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(DefinitionError, match="made of a callable"):
        Agent(3)


def test_feedback_is_never_filled_from_a_key() -> None:
    agent = Agent(summarise)
    assert agent.accepts_feedback == "feedback"
    assert agent.optional == {}

    def replies(feedback: str) -> str:  # a need like any other: it has no default
        return feedback

    def criticised(text: str, criticism: str = "") -> str:
        return text + criticism

    assert Agent(replies).accepts_feedback is None
    assert dict(Agent(replies).needs) == {"feedback": "feedback"}
    assert Agent(criticised, feedback="criticism").accepts_feedback == "criticism"
    opted_out = Agent(summarise, feedback=None)
    assert (opted_out.accepts_feedback, opted_out.optional) == (None, {"feedback": "feedback"})


def test_tokens_cost_what_they_cost() -> None:
    cost = per_token(2.0, 10.0, typical=(500, 100))
    assert cost({}) == pytest.approx((2 * 500 + 10 * 100) / 1e6)
    assert cost({"input_tokens": 1e6, "output_tokens": 0}) == pytest.approx(2.0)
    assert cost({"model_calls": 1}) == cost({})
    assert Agent(summarise, cost=cost).planned_cost() == cost({})
    with pytest.raises(DefinitionError):
        per_token(-1.0, 1.0)


def test_langchain_is_not_imported_for_plain_agents() -> None:
    code = (
        "import sys; sys.modules['orchestrator'] = type(sys)('orchestrator'); "
        "sys.modules['orchestrator'].__path__ = ['orchestrator']; from orchestrator.agents.agent import Agent; "
        "Agent(len, needs='obj', name='n'); print(any(m.startswith(('langchain', 'langgraph')) for m in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


# -- chat models -----------------------------------------------------------------------------------------------------


async def test_a_chat_model_answers_with_text() -> None:
    model = ScriptedChatModel(["  Hello.  "])
    agent = Agent(model, name="greeter", instructions="Be kind.", needs=["person", "mood"], gives="greeting")
    ctx = Alone()
    assert await agent(ctx=ctx, person="Ada", mood={"joy": 3}) == "Hello."
    system, user = model.received[0]
    assert system.text == "Be kind."
    assert "person:\nAda" in user.text
    assert '"joy": 3' in user.text
    assert (ctx.usage["input_tokens"], ctx.usage["output_tokens"], ctx.usage["model_calls"]) == (10, 5, 1)
    assert agent.data_leaves


async def test_a_chat_model_answers_with_data() -> None:
    model = ScriptedChatModel(['Here it is:\n```json\n{"title": "T", "points": ["p"]}\n```'])
    agent = Agent(model, name="writer", needs=["text"], gives={"brief": Brief})
    assert await agent(ctx=Alone(), text="...") == {"title": "T", "points": ["p"]}
    assert agent.gives == {"brief": Brief}
    assert '"title"' in model.received[0][0].text  # the schema is in the prompt


async def test_a_chat_model_gives_several_keys() -> None:
    model = ScriptedChatModel([{"mood": "glad", "count": 2}])
    agent = Agent(model, name="reader", needs=["text"], gives={"mood": str, "count": int})
    assert await agent(ctx=Alone(), text="...") == {"mood": "glad", "count": 2}


async def test_a_rejected_answer_is_asked_for_again_with_the_reason() -> None:
    model = ScriptedChatModel(["{}"], repeat=True)
    agent = Agent(model, name="writer", needs=["text"], gives={"brief": Brief})
    assert agent.accepts_feedback == "feedback"
    await agent(ctx=Alone(), text="...", feedback="title: Field required")
    assert "rejected: title: Field required" in model.received[0][-1].text


@pytest.mark.parametrize("answer", ["", "no json here"])
async def test_an_answer_without_data_is_invalid(answer: str) -> None:
    agent = Agent(ScriptedChatModel([answer]), name="w", needs=["text"], gives={"a": int, "b": int})
    with pytest.raises(InvalidOutput):
        await agent(ctx=Alone(), text="...")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("The answer is {not json} but [1, 2] is", [1, 2]),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("null", None),
    ],
)
def test_json_is_found_among_words(text: str, value: Any) -> None:
    assert find_json(text) == (value,)


def test_a_literal_needs_no_quotes() -> None:
    assert read_answer("yes", {"verdict": Literal["yes", "no"]}) == "yes"
    assert find_json("nothing") is None


async def test_a_chat_model_calls_its_tools() -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    asks = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 2, "b": 3}, "id": "1"}])
    model = ScriptedChatModel([asks, "It is 5."])
    agent = Agent(model, name="clerk", needs=["question"], gives="answer", tools=[add])
    ctx = Alone()
    assert await agent(ctx=ctx, question="2 + 3?") == "It is 5."
    result = model.received[1][-1]
    assert isinstance(result, ToolMessage)
    assert result.content == "5"
    assert ctx.usage["tool_calls"] == 1
    assert [tool["function"]["name"] for tool in model.bound] == ["add"]


async def test_a_tool_error_is_an_answer_that_the_model_can_mend() -> None:
    async def divide(a: int, b: int) -> float:
        """Divide."""
        return a / b

    calls: list[Any] = [
        {"name": "divide", "args": {"a": 1, "b": 0}, "id": "1"},
        {"name": "nothing", "args": {}, "id": "2"},
    ]
    model = ScriptedChatModel([AIMessage("", tool_calls=calls), "I cannot."])
    agent = Agent(model, name="clerk", needs=["question"], gives="answer", tools=[divide])
    assert await agent(ctx=Alone(), question="1 / 0?") == "I cannot."
    first, second = model.received[1][-2:]
    assert isinstance(first, ToolMessage)
    assert isinstance(second, ToolMessage)
    assert first.status == second.status == "error"
    assert "ZeroDivisionError" in first.text
    assert "There is no tool 'nothing'. There are: divide." in second.text


async def test_goals_of_the_graph_are_tools() -> None:
    def forecast(city: str) -> str:
        """What the weather will be."""
        return city

    weather = Tool(forecast, gives="weather")
    calls: list[Any] = [
        {"name": "forecast", "args": {"city": "Oslo"}, "id": "1"},
        {"name": "traffic", "args": {"city": 5}, "id": "2"},
        {"name": "traffic", "args": {}, "id": "3"},
    ]
    model = ScriptedChatModel([AIMessage("", tool_calls=calls), "Stay at home."])
    agent = Agent(
        model, name="guide", needs=["question"], gives="advice", tools=[weather, GoalTool("traffic", {"city": str})]
    )
    ctx = Alone()
    assert await agent(ctx=ctx, question="Go out?") == "Stay at home."
    assert ctx.reached == [("weather", {"city": "Oslo"})]
    answers = [message.text for message in model.received[1][-3:]]
    assert answers[0] == "value of weather"
    assert "city is no str" in answers[1]
    assert "takes city; wrong: city" in answers[2]
    assert agent.own_tools == (weather,)


@pytest.mark.parametrize("offered", ["weather", Goal("weather"), GoalTool("weather")])
async def test_a_goal_offered_by_name_takes_what_the_graph_says(offered: Any) -> None:
    @tool(gives="weather")
    def forecast(city: str, days: int = 1) -> str:
        return f"{days} sunny in {city}"

    @tool(gives="town")
    def nearest_town(place: str) -> str:
        return place

    calls: list[Any] = [
        {"name": "weather", "args": {"city": "Oslo"}, "id": "1"},
        {"name": "weather", "args": {"city": "Rome", "days": 3}, "id": "2"},
        {"name": "weather", "args": {"town": "Bern"}, "id": "3"},
    ]
    model = ScriptedChatModel([AIMessage("", tool_calls=calls), "Stay at home."])
    agent = Agent(model, name="guide", needs=["question"], gives="advice", tools=[offered])
    async with Orchestrator([forecast, nearest_town], agents=[agent]) as orc:
        outcome = await orc.run("advice", {"question": "Go out?"})
    assert outcome.value == "Stay at home."
    parameters = model.bound[0]["function"]["parameters"]
    assert (sorted(parameters["properties"]), parameters["required"]) == (["city", "days"], ["city"])
    answers = [message.text for message in model.received[1][-3:]]
    assert answers == ["1 sunny in Oslo", "3 sunny in Rome", "weather takes city, days; wrong: town, city."]
    assert len(outcome.children) == 2


async def test_a_goal_that_the_graph_does_not_know_fails_with_the_nearest_name() -> None:
    model = ScriptedChatModel(["never asked"])
    agent = Agent(model, name="guide", needs=["question"], gives="advice", tools=["advise"])
    async with Orchestrator(agents=[agent]) as orc:
        outcome = await orc.run("advice", {"question": "Go out?"})
    assert "No tool gives or needs 'advise'. Did you mean 'advice'?" in outcome.failures[0].message
    assert model.calls == 0


async def test_tools_are_not_called_for_ever() -> None:
    def more() -> str:
        """More."""
        return "more"

    asks = AIMessage("", tool_calls=[{"name": "more", "args": {}, "id": "1"}])
    agent = Agent(ScriptedChatModel([asks], repeat=True), name="loop", needs=["q"], gives="a", tools=[more])
    with pytest.raises(InvalidOutput, match="without giving an answer"):
        await agent(ctx=Alone(), q="?")


def test_a_chat_model_states_its_needs_and_sound_tools() -> None:
    with pytest.raises(DefinitionError, match="state needs="):
        Agent(ScriptedChatModel(), gives="x")
    with pytest.raises(DefinitionError, match="two tools named 'summarise'"):
        Agent(ScriptedChatModel(), name="a", needs=["x"], tools=[summarise, summarise])
    with pytest.raises(DefinitionError, match="a tool of a chat model is"):
        Agent(ScriptedChatModel(), name="a", needs=["x"], tools=[3])


async def test_a_model_is_named_by_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    agent = Agent("openai:gpt-5-mini", needs=["text"], gives={"brief": Brief})
    assert (agent.name, agent.data_leaves) == ("openai:gpt-5-mini", True)
    assert not Agent("ollama:llama3", needs=["text"]).data_leaves
    with pytest.raises(CallerError, match=r"'openai:gpt-5-mini' cannot be set up"):
        await agent(ctx=Alone(), text="...")


def test_a_model_string_needs_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(DefinitionError, match="the extra 'llm'"):
        Agent("openai:gpt-5-mini", needs=["text"])


# -- runnables and graphs --------------------------------------------------------------------------------------------


async def test_a_runnable_takes_a_mapping_or_a_value() -> None:
    def length(text: str) -> int:
        return len(text)

    one = Agent(RunnableLambda(length), name="length", needs="document", gives={"length": int})
    assert await one(ctx=Alone(), document="four") == 4
    chain = ChatPromptTemplate.from_messages([("user", "Say {word} in {language}")]) | ScriptedChatModel(["oui"])
    many = Agent(chain, name="translator", gives="translation")
    assert sorted(many.needs) == ["language", "word"]
    ctx = Alone()
    assert await many(ctx=ctx, word="yes", language="French") == "oui"
    assert ctx.usage["input_tokens"] == 10
    with pytest.raises(DefinitionError, match="takes one value"):
        Agent(RunnableLambda(length), needs=["a", "b"])
    with pytest.raises(DefinitionError, match="state needs="):
        Agent(RunnableLambda(length))


async def test_a_compiled_graph_gives_keys_of_its_state() -> None:
    graph = StateGraph(Numbers)

    def add(state: Numbers) -> dict[str, int]:
        return {"b": state["a"] + 1}

    graph.add_node("add", add)
    graph.add_edge(START, "add")
    graph.add_edge("add", END)
    with pytest.raises(DefinitionError, match="compile"):
        Agent(graph, gives="b")
    compiled: Any = graph.compile()
    agent = Agent(compiled, name="adder", needs=["a"], gives={"b": int})
    assert await agent(ctx=Alone(), a=1) == 2
    with pytest.raises(DefinitionError, match="does not take"):
        Agent(compiled, name="adder", needs=["z"], gives="b")
    missing = Agent(compiled, name="adder", needs=["a"], gives="c")
    with pytest.raises(InvalidOutput, match="lacks c"):
        await missing(ctx=Alone(), a=1)


async def test_a_graph_of_messages_is_asked_and_answers() -> None:
    model = ScriptedChatModel(["Forty-two."])

    def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_edge(START, "think")
    compiled: Any = graph.compile()
    agent = Agent(compiled, name="sage", needs=["question"], gives="answer")
    ctx = Alone()
    assert await agent(ctx=ctx, question="Why?") == "Forty-two."
    assert isinstance(model.received[0][0], HumanMessage)
    assert "question:\nWhy?" in model.received[0][0].text
    assert ctx.usage["output_tokens"] == 5


# -- people ----------------------------------------------------------------------------------------------------------


async def test_a_person_is_asked() -> None:
    agent = Agent(Person("Is {brief} fit to send?"), name="editor", needs=["brief"], gives={"verdict": bool})
    assert await agent(ctx=Alone(), brief="this") == "Is this fit to send?"
    assert "rejected: no" in await agent(ctx=Alone(), brief="this", feedback="no")
    with pytest.raises(DefinitionError, match="states name="):
        Agent(Person("Well?"))
