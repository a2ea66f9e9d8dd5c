"""`AskModel` over the wire protocols of OpenAI, Anthropic, Ollama and vLLM, through their LangChain packages."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_ollama import ChatOllama

from orchestrator.agents import chat as chat_agent
from orchestrator.agents.models.providers import one_attempt
from orchestrator.agents.models.structured_output import OutputMode, modes_of
from orchestrator.core.clock import SystemClock
from orchestrator.escalation import AskModel, Climb, Resolution, RungContext, climb
from orchestrator.testing import ScriptedChatModel
from tests.escalation.anthropic_server import OVERLOADED, limited, serving_anthropic
from tests.escalation.impasses import no_route, typed
from tests.escalation.model_server import Fails, ModelServer, Says, chooses
from tests.escalation.ollama_server import serving_ollama
from tests.escalation.openai_server import serving

# the options of no_route() for a model: 1 demote to quote, 2 provide cost_center, 3 and 4 wait, 5 stop
PLAIN = Says(text='{"choice": 5, "value": null, "message": "no use"}')


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, and no model that an earlier test set up under the same name."""
    monkeypatch.setattr(chat_agent, "_LOADED", {})
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "none")


Script = Says | Fails
Begin = Callable[..., AbstractContextManager[tuple[ModelServer, str]]]


@contextmanager
def openai(*script: Script, **options: Any) -> Generator[tuple[ModelServer, str]]:
    with serving(*script, **options) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", server.url)
        yield server, "openai:gpt-5-mini"


@contextmanager
def anthropic(*script: Script, **options: Any) -> Generator[tuple[ModelServer, str]]:
    with serving_anthropic(*script, **options) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_BASE_URL", server.root)
        yield server, "anthropic:claude-scripted"


@contextmanager
def ollama(*script: Script, **options: Any) -> Generator[tuple[ModelServer, str]]:
    with serving_ollama(*script, **options) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLLAMA_HOST", server.root)
        yield server, "ollama:scripted"


PROVIDERS = pytest.mark.parametrize("provider", [openai, anthropic, ollama], ids=["openai", "anthropic", "ollama"])


class Restless(SystemClock):
    """Keeps in mind how long it should have slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def ask(model: Any, **options: Any) -> Climb:
    return await climb([AskModel(model, **options)], no_route(), validate=typed)


@PROVIDERS
async def test_a_model_by_its_name_chooses_by_tool_call_and_usage_is_counted(provider: Begin) -> None:
    with provider(chooses(2, value=12)) as (server, name):
        done = await ask(name, usd_per_million={name: (2.0, 10.0)})
    assert done.resolution == Resolution.provide("cost_center", 12, "because")
    (asked,) = done.asked
    assert (asked.model, asked.calls, asked.attempts, asked.repairs) == (name, 1, 1, 0)
    assert (asked.input_tokens, asked.output_tokens) == (200, 20)
    assert asked.usd == pytest.approx(200 * 2e-6 + 20 * 10e-6)
    assert (len(server.requests), server.turned_down) == (1, [])
    assert "answer" in str(server.requests[0]["tools"])


@PROVIDERS
async def test_a_malformed_answer_is_repaired_once(provider: Begin) -> None:
    with provider(Says(text="I would stop."), chooses(5)) as (server, name):
        done = await ask(name)
    assert done.resolution == Resolution.stop("because")
    assert (done.calls, done.repairs, len(server.requests), server.turned_down) == (1, 1, 2, [])
    assert done.asked[0].output_tokens == 40


@PROVIDERS
async def test_a_model_without_tools_is_given_the_schema_then_and_from_then_on(provider: Begin) -> None:
    with provider(PLAIN, tools=False) as (server, name):
        rung = AskModel(name)
        for _ in range(2):
            done = await climb([rung], no_route(), validate=typed)
            assert done.resolution == Resolution.stop("no use")
        assert len(server.turned_down) == 1  # the request with a tool
        assert len(server.requests) == 3
    for request in server.requests[1:]:
        asked = request.get("format") or request.get("output_config") or request.get("response_format")
        assert "choice" in str(asked)
        assert not request.get("tools")


@pytest.mark.parametrize(
    ("provider", "options"),
    [(openai, {"tools": False, "guided": False}), (anthropic, {"tools": False, "schemas": False})],
    ids=["vllm", "anthropic"],
)
async def test_what_knows_neither_tools_nor_schemas_is_asked_for_plain_json(
    provider: Begin, options: dict[str, bool]
) -> None:
    with provider(PLAIN, **options) as (server, name):
        done = await ask(name)
        assert len(server.turned_down) == 2
    assert done.resolution == Resolution.stop("no use")
    assert (done.calls, done.repairs, done.asked[0].attempts) == (1, 0, 3)
    assert [problem.partition(": ")[2].split()[0] for problem in done.asked[0].problems] == ["tool", "schema"]


async def test_guided_json_of_vllm_may_hold_a_value_as_text() -> None:
    with serving(Says(text='{"choice": 2, "value": "12", "message": ""}'), tools=False) as server:
        done = await ask(server.model())
        schema = server.requests[1]["response_format"]["json_schema"]["schema"]
    assert done.resolution == Resolution.provide("cost_center", 12)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"]) == {"choice", "value", "message"}


async def test_the_responses_api_does_as_well() -> None:
    with serving(Says(text="hm"), chooses(1)) as server:
        done = await ask(server.model(use_responses_api=True))
        assert server.paths == ["/v1/responses"] * 2
    assert done.resolution == Resolution.demote("quote", "because")
    assert (done.repairs, done.asked[0].input_tokens) == (1, 400)


@pytest.mark.parametrize(
    "says", [chooses(3, value=30), Says(text='So: {"choice": 3, "value": 30}')], ids=["tool", "text"]
)
async def test_a_streamed_message_of_anthropic(says: Says) -> None:
    with serving_anthropic(says) as server:
        model = ChatAnthropic(model="claude-scripted", base_url=server.root, api_key="none", streaming=True)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
        done = await ask(model)
        assert server.requests[0]["stream"] is True
    assert done.resolution is not None
    assert (done.resolution.kind, done.resolution.seconds) == ("wait", 30.0)
    assert (done.asked[0].input_tokens, done.asked[0].output_tokens) == (200, 20)


@pytest.mark.filterwarnings("ignore:tool_choice is forced but thinking is enabled")
async def test_thinking_that_forbids_a_forced_tool_is_no_obstacle() -> None:
    with serving_anthropic(PLAIN) as server:
        thinking = {"type": "enabled", "budget_tokens": 1024}
        model: Any = ChatAnthropic
        done = await ask(
            model(model="claude-scripted", base_url=server.root, api_key="none", max_tokens=4096, thinking=thinking)
        )
    assert done.resolution == Resolution.stop("no use")


@pytest.mark.parametrize("trouble", [limited(7), OVERLOADED, Fails(500), Fails(503)], ids=lambda it: str(it.status))
async def test_trouble_of_anthropic_for_a_moment_is_met_by_one_more_request(trouble: Fails) -> None:
    clock = Restless()
    with anthropic(trouble, chooses(5)) as (server, name):
        done = await climb([AskModel(name)], no_route(), means=RungContext(clock=clock))
        assert len(server.requests) == 2
    assert done.resolution == Resolution.stop("because")
    assert (done.calls, done.repairs, done.asked[0].attempts) == (1, 0, 2)
    assert clock.slept == [7.0 if trouble.status == 429 else 0.5]  # what the server said, or what is usual


@PROVIDERS
async def test_a_server_that_stays_in_trouble_is_asked_twice_and_no_more(provider: Begin) -> None:
    with provider(Fails(500, (), b'{"error": "out of order"}')) as (server, name):
        done = await ask(name)
        assert len(server.requests) == 2
    assert (done.resolution, done.calls, len(done.asked[0].problems)) == (None, 1, 2)


@PROVIDERS
async def test_a_slow_answer_is_not_waited_for(provider: Begin) -> None:
    with provider(Says(text='{"choice": 5}', after=5.0)) as (_, name):
        await ask(name, timeout=0.001)  # so that the client is set up before
        done = await ask(name, timeout=0.4)
    assert done.resolution is None
    assert done.asked[0].problems == (f"{name}: the answer took too long",)


@PROVIDERS
@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"\xff\xfe\x00\n", b"[]\n", b'{"content": 3}\n'], ids=repr)
async def test_garbage_is_a_problem_on_record(provider: Begin, body: bytes) -> None:
    with provider(Fails(200, (("Content-Type", "application/json"),), body)) as (_, name):
        done = await ask(name)
    assert done.resolution is None
    assert done.asked[0].problems or done.refused


async def test_a_stream_of_ollama_that_breaks_off_is_a_problem_on_record() -> None:
    with ollama(Says(text='{"choice": 5}'), breaks=True) as (_, name):
        done = await ask(name)
    assert done.resolution is None
    assert "llama runner process has terminated" in done.asked[0].problems[0]


async def test_a_model_that_ollama_does_not_have_is_a_problem_on_record() -> None:
    with ollama(chooses(5)):
        done = await ask("ollama:another")
    assert done.resolution is None
    assert "model 'another' not found" in done.asked[0].problems[-1]


async def test_an_ollama_that_does_not_run_is_a_problem_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    done = await ask("ollama:scripted")
    assert (done.resolution, done.asked[0].attempts) == (None, 1)
    assert "ConnectError" in done.asked[0].problems[0]


async def test_the_next_provider_is_asked_when_one_is_in_trouble() -> None:
    with anthropic(OVERLOADED) as (busy, first), ollama(chooses(1)) as (local, second):
        done = await ask([first, second])
        assert (len(busy.requests), len(local.requests)) == (1, 1)
    assert done.resolution == Resolution.demote("quote", "because")
    assert (done.asked[0].model, done.calls, done.asked[0].attempts) == ("ollama:scripted", 1, 2)


# -- one layer retries -------------------------------------------------------------------------------------------------


async def test_the_retries_of_a_client_are_switched_off() -> None:
    failing = Fails(500, (("Content-Type", "application/json"),))
    with serving(failing) as first, serving_anthropic(failing) as second:
        given: list[Any] = [
            first.model(max_retries=2),
            ChatAnthropic(model="claude-scripted", base_url=second.root, api_key="none"),  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
        ]
        assert [model.max_retries for model in given] == [2, 2]
        for model in given:
            await ask(model)
        assert (len(first.requests), len(second.requests)) == (2, 2)  # ours, and ours once more
        assert [model.max_retries for model in given] == [2, 2]  # what the user made stays as it is


async def test_the_one_attempt_of_a_client_that_was_used_before() -> None:
    with serving_anthropic(Says(text="hi"), Fails(500)) as server:
        model: Any = ChatAnthropic(model="claude-scripted", base_url=server.root, api_key="none")  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
        await model.ainvoke("hello")
        with pytest.raises(Exception, match="500"):
            await one_attempt(model).ainvoke("hello")
        assert len(server.requests) == 2


def test_a_model_without_retries_stays_what_it_is() -> None:
    with serving(Says(text="")) as server:
        for model in (ScriptedChatModel("x"), server.model(max_retries=0), ChatOllama(model="scripted")):
            assert one_attempt(model) is model


def test_the_ways_to_ask_best_first() -> None:
    with serving(Says(text="")) as server:
        every = (OutputMode.TOOL, OutputMode.SCHEMA, OutputMode.JSON)
        assert modes_of(server.model()) == modes_of(ChatOllama(model="scripted")) == every
        no_tools: Any = {"tool_calling": False, "structured_output": True}
        nothing: Any = {"tool_calling": False}
        assert modes_of(server.model(profile=no_tools)) == every[1:]
        assert modes_of(server.model(profile=nothing)) == every[2:]
