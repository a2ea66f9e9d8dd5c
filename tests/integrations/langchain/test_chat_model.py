"""Several chat models as one, against scripted servers that speak the OpenAI protocol."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

import orchestrator
from orchestrator import Agent, DefinitionError, Orchestrator
from orchestrator.agents.models.pool import name_of_model
from orchestrator.agents.models.providers import known_price
from orchestrator.integrations.langchain import HealingChatModel
from orchestrator.testing import ScriptedChatModel
from tests.escalation.model_server import Fails, Says
from tests.escalation.openai_server import OpenAIServer, serving


def client(server: OpenAIServer, name: str) -> ChatOpenAI:
    return ChatOpenAI(base_url=server.url, api_key=SecretStr("k"), model=name)


def record(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = message.response_metadata["orchestrator"]
    return found


def test_the_name_is_public() -> None:
    assert orchestrator.HealingChatModel is HealingChatModel


@pytest.mark.parametrize("status", [500, 503, 401, 402, 404, 429, 400])
async def test_the_next_model_answers_whatever_the_status(status: int) -> None:
    with serving(Fails(status), Fails(status)) as down, serving(Says("hello"), Says("again")) as up:
        model = HealingChatModel([client(down, "first"), client(up, "second")])
        answer = await model.ainvoke("hi")
        assert (answer.content, record(answer)["model"]) == ("hello", "second")
        assert [tried["model"] for tried in record(answer)["failed"]] == ["first"]
        assert {each["model"] for each in record(answer)["candidates"]} == {"first", "second"}
        later = model.invoke("hi")
    assert (later.content, record(later)["failed"]) == ("again", [])
    assert answer.usage_metadata


@pytest.mark.parametrize("compiled", [False, True])
async def test_within_a_run_the_choice_is_a_decision_on_its_record(compiled: bool) -> None:
    with serving(Fails(503)) as down, serving(Says('{"reply": "hello"}')) as up:
        model = HealingChatModel([client(down, "first"), client(up, "second")])
        made: Any = create_agent(model, []) if compiled else model
        agent = Agent(made, name="writer", skills={"writing": 1.0}, needs=["question"], gives={"reply": str})
        async with Orchestrator(agents=[agent]) as orc:
            outcome = await orc.run("reply", {"question": "hi"})
            assert orc.replay(outcome.run_id).agrees
    assert "hello" in outcome.value
    (choice,) = [each for each in outcome.decisions if each.subject == "writer"]
    assert (choice.kind, choice.chosen, choice.reason) == ("select", "second", "first failed")
    first, second = sorted(choice.candidates, key=lambda each: each.name)
    assert "503" in first.reason
    assert second.price is not None


@pytest.mark.parametrize("sync", [True, False])
async def test_streams_fall_back_until_the_first_token(sync: bool) -> None:
    with serving(Fails(503)) as down, serving(Says("hello")) as up:
        model = HealingChatModel([client(down, "first"), client(up, "second")])
        chunks = list(model.stream("hi")) if sync else [chunk async for chunk in model.astream("hi")]
    assert "".join(str(chunk.text) for chunk in chunks) == "hello"
    assert len(chunks) > 2
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert record(whole)["model"] == "second"


class Broken(ScriptedChatModel):
    """Streams the first part of an answer, and breaks off."""

    first: str = ""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content=self.first))
        raise ConnectionResetError("broke off")


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("first", ["", "hel"])
async def test_a_stream_that_breaks_off_is_begun_anew_only_while_nothing_of_it_was_given(
    sync: bool, first: str
) -> None:
    with serving(Says("hello")) as up:
        model = HealingChatModel([Broken(responses=["x"], first=first), client(up, "second")])
        given: list[Any] = []
        with contextlib.ExitStack() as stack:
            if first:
                stack.enter_context(pytest.raises(ConnectionResetError))
            if sync:
                given.extend(model.stream("hi"))
            else:
                async for chunk in model.astream("hi"):
                    given.append(chunk)
    assert "".join(str(chunk.text) for chunk in given) == (first or "hello")


class Metered(ScriptedChatModel):
    """Says in its last chunk how many tokens it took, or never."""

    says: bool = True

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        used = UsageMetadata(input_tokens=1_000_000, output_tokens=0, total_tokens=1_000_000)
        yield ChatGenerationChunk(message=AIMessageChunk(content="hello"))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=used if self.says else None))


@pytest.mark.parametrize("says", [True, False])
async def test_a_stream_costs_what_its_tokens_cost(says: bool) -> None:
    scripted = Metered(responses=["x"], says=says)
    orc = Orchestrator()
    model = HealingChatModel([scripted], prices={name_of_model(scripted): (2.0, 0.0)}, orc=orc)
    assert "".join([chunk.text async for chunk in model.astream("hi")]) == "hello"
    learned = orc.health.money(f"model:{name_of_model(scripted)}", 7.0)
    assert (learned == 7.0) is not says
    assert learned != 0


async def test_tools_and_structured_output_are_kept() -> None:
    class Size(BaseModel):
        """A size."""

        cm: int

    says = Says(calls=({"cm": 5},), tool="Size")
    with serving(Fails(503)) as down, serving(says, says) as up:
        model = HealingChatModel([client(down, "first"), client(up, "second")])
        answer = await model.bind_tools([Size]).ainvoke("how long?")
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("Size", {"cm": 5})]
        assert await model.with_structured_output(Size).ainvoke("how long?") == Size(cm=5)


async def test_a_conversation_stays_with_the_model_that_answered() -> None:
    with serving(Says("one")) as first, serving(Says("two")) as second:
        model = HealingChatModel([client(first, "first"), client(second, "second")])
        assert (await model.ainvoke("hi")).content == "one"
        said = AIMessage("before", response_metadata={"orchestrator": {"model": "second"}})
        answer = await model.ainvoke([HumanMessage("hi"), said, HumanMessage("go on")])
    assert answer.content == "two"


async def test_the_cheaper_one_is_asked_first() -> None:
    with serving(Says("dear")) as dear, serving(Says("cheap")) as cheap:
        prices = {"a": (1000.0, 1000.0), "b": (0.1, 0.1)}
        model = HealingChatModel([client(dear, "a"), client(cheap, "b")], prices=prices)
        assert (await model.ainvoke("hi")).content == "cheap"


def test_published_prices_fill_what_nobody_declared() -> None:
    assert known_price("openai:gpt-4o-mini") == (0.15, 0.6)
    assert known_price("gpt-4o-mini") == (0.15, 0.6)
    assert known_price("no-such-model-at-all") is None


async def test_when_every_model_fails_the_error_names_them() -> None:
    with serving(Fails(500)) as one, serving(Fails(503)) as two:
        model = HealingChatModel([client(one, "first"), client(two, "second")])
        with pytest.raises(Exception, match="out of order") as raised:
            await model.ainvoke("hi")
    assert "second: " in raised.value.__notes__[0]


async def test_health_is_shared_with_an_orchestrator() -> None:
    with serving(Fails(401)) as down, serving(Says("hello")) as up:
        async with Orchestrator() as orc:
            model = HealingChatModel([client(down, "first"), client(up, "second")], orc=orc)
            await model.ainvoke("hi")
            assert orc.health.success("model:first") < orc.health.success("model:second")


@pytest.mark.parametrize("models", [[], "openai:gpt-5-mini", [3], [""]])
def test_what_is_no_list_of_models_is_refused(models: Any) -> None:
    with pytest.raises(DefinitionError, match=r"chat model|ChatModel"):
        HealingChatModel(models)
