"""The GenAI conventions: spans of an agent's own model calls, messages under content capture, groups, exceptions."""

import json

import pytest
from langchain_core.messages import AIMessage
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from orchestrator import Agent, Orchestrator, Tool
from orchestrator.agents.models.providers import provider_name
from orchestrator.core import conventions as names
from orchestrator.observability.tracing import attributes as of
from orchestrator.observability.tracing import content, exceptions
from orchestrator.testing import ScriptedChatModel
from tests.support.telemetry import Recorder, attributes, id_of, parent_of

CALL = {"name": "look_up", "args": {"word": "whale"}, "id": "c1", "type": "tool_call"}


def look_up(word: str) -> str:
    """Look up a word."""
    return f"{word}: a mammal"


async def answered(recorder: Recorder, model: ScriptedChatModel) -> None:
    agent = Agent(model, name="writer", instructions="Be brief.", needs=["topic"], gives="text", tools=[look_up])
    async with Orchestrator([], [agent], tracer_provider=recorder.provider) as orc:
        await orc.run("text", {"topic": "secret whale"})


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    for name in (content.ENVIRONMENT, content.STANDARD, exceptions.OPT_IN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(content, "_chosen", False)
    monkeypatch.setattr(content, "_current", None)
    return Recorder()


async def test_an_agents_own_model_calls_are_spans_with_tokens_and_a_provider(recorder: Recorder) -> None:
    await answered(recorder, ScriptedChatModel([AIMessage("", tool_calls=[CALL]), "a whale"]))
    chats = [span for span in recorder.spans if span.name.startswith("chat ")]
    assert len(chats) == 2
    for span in chats:
        told = attributes(span)
        assert span.kind is SpanKind.CLIENT
        assert told[names.SPAN_KIND] == "LLM"
        assert told["gen_ai.operation.name"] == "chat"
        assert told["gen_ai.provider.name"]
        assert told["gen_ai.request.model"] in span.name
        assert parent_of(span) == id_of(recorder.one("attempt"))
        assert not [name for name in told if "messages" in name or name.endswith(".value")]
    told = attributes(chats[1])
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (10, 5)
    assert "secret" not in json.dumps([dict(span.attributes or {}) for span in recorder.spans], default=str)


async def test_cached_and_reasoning_tokens_are_told_where_the_model_reports_them(recorder: Recorder) -> None:
    said = AIMessage(
        "a whale",
        usage_metadata={
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_token_details": {"cache_read": 7},
            "output_token_details": {"reasoning": 3},
        },
    )
    await answered(recorder, ScriptedChatModel([said]))
    told = attributes(next(span for span in recorder.spans if span.name.startswith("chat ")))
    assert (told[names.CACHE_READ_TOKENS], told[names.REASONING_TOKENS]) == (7, 3)
    assert names.CACHE_CREATION_TOKENS not in told


@pytest.mark.parametrize(
    ("value", "shown"),
    [("true", True), ("SPAN_ONLY", True), ("span_and_event", True), ("event_only", False), ("NO_CONTENT", False)],
)
async def test_the_standard_variable_shows_messages(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, value: str, shown: bool
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", value)
    await answered(recorder, ScriptedChatModel([AIMessage("", tool_calls=[CALL]), "a whale"]))
    first, second = (attributes(span) for span in recorder.spans if span.name.startswith("chat "))
    assert ("gen_ai.input.messages" in first) is shown
    if not shown:
        return
    asked = json.loads(str(first["gen_ai.input.messages"]))
    assert [message["role"] for message in asked] == ["system", "user"]
    assert asked[1]["parts"][0]["type"] == "text" and "secret whale" in asked[1]["parts"][0]["content"]
    called = json.loads(str(first["gen_ai.output.messages"]))[0]["parts"][0]
    assert (called["type"], called["name"]) == ("tool_call", "look_up")
    again = json.loads(str(second["gen_ai.input.messages"]))
    assert again[-1]["role"] == "tool" and again[-1]["parts"][0]["type"] == "tool_call_response"


async def test_messages_go_through_the_redaction_hook(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = content.Capture(redact=lambda key, value: str(value).replace("secret", "[…]"))
    monkeypatch.setattr(content, "_chosen", True)
    monkeypatch.setattr(content, "_current", shown)
    await answered(recorder, ScriptedChatModel(["a secret whale"]))
    chat = next(span for span in recorder.spans if span.name.startswith("chat "))
    assert "[…] whale" in str(attributes(chat)["gen_ai.input.messages"])
    assert "secret" not in str(dict(chat.attributes or {}))


async def test_a_model_call_that_fails_is_an_error(recorder: Recorder) -> None:
    await answered(recorder, ScriptedChatModel([TimeoutError("slow"), "a whale"]))
    chats = [span for span in recorder.spans if span.name.startswith("chat ")]
    assert [span.status.status_code for span in chats] == [StatusCode.ERROR, StatusCode.UNSET]
    assert attributes(chats[0])["error.type"] == "TimeoutError"


async def test_every_span_of_a_run_has_its_session_and_user(recorder: Recorder) -> None:
    agent = Agent(ScriptedChatModel(["a whale"]), name="writer", needs=["topic"], gives="text")
    async with Orchestrator([], [agent], tracer_provider=recorder.provider) as orc:
        await orc.run("text", {"topic": "whale"}, labels={"session": "s-1", "user": "u-1"})
    assert {"chat", "plan", "attempt"} <= {span.name.split()[0] for span in recorder.spans}
    for span in recorder.spans:
        told = attributes(span)
        assert (told["session.id"], told["user.id"], told["gen_ai.conversation.id"]) == ("s-1", "u-1", "s-1")


def test_labels_become_what_viewers_group_by() -> None:
    told = of.of_labels({"customer": "17", "session": "s-1", "tier": "gold"})
    assert told["session.id"] == told["gen_ai.conversation.id"] == "s-1"
    assert told["user.id"] == "17"
    assert told["orchestrator.label.tier"] == "gold"
    assert of.of_labels({"user": "u", "customer": "17", "conversation": "c"}) == {
        "user.id": "u",
        "gen_ai.conversation.id": "c",
        "orchestrator.label.user": "u",
        "orchestrator.label.customer": "17",
        "orchestrator.label.conversation": "c",
    }


@pytest.mark.parametrize(
    ("given", "model", "expected"),
    [
        ("azure", "gpt-5", "azure.ai.openai"),
        (None, "openai:gpt-5-mini", "openai"),
        (None, "claude-4", "anthropic"),
        ("google_genai", "gemini-3", "gcp.gemini"),
        (None, "something", "unknown"),
    ],
)
def test_providers_have_their_conventional_names(given: str | None, model: str, expected: str) -> None:
    assert provider_name(given, model) == expected


@pytest.mark.parametrize(("opt_in", "events", "logs"), [("", 1, 0), ("logs", 0, 1), ("logs/dup", 1, 1)])
async def test_exceptions_are_log_records_where_that_was_asked_for(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, opt_in: str, events: int, logs: int
) -> None:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER", provider)
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", opt_in)

    def broken(x: int) -> int:
        raise ValueError("no good")

    async with Orchestrator([Tool(broken, name="broken", gives="y")], tracer_provider=recorder.provider) as orc:
        await orc.run("y", {"x": 1})
    attempt = recorder.one("attempt")
    assert len([event for event in attempt.events if event.name == "exception"]) == events
    found = exporter.get_finished_logs()
    assert len(found) == logs
    for each in found:
        record = each.log_record
        assert record.span_id == id_of(attempt)
        assert dict(record.attributes or {})["exception.type"] == "ValueError"


async def test_a_judgement_is_an_evaluation_in_the_trace_of_its_run(recorder: Recorder) -> None:
    def short_enough(inputs: object, output: str) -> bool:
        return len(output) < 100

    agent = Agent(lambda topic: topic, name="writer", gives="text", skills={"write": 0.5})
    async with Orchestrator([], [agent], tracer_provider=recorder.provider, judge=short_enough) as orc:
        outcome = await orc.run("text", {"topic": "whale"})
    span = recorder.one("judge writer")
    assert f"{id_trace(span):032x}" == outcome.trace_id
    told = attributes(span)
    assert (told[names.SPAN_KIND], told["gen_ai.agent.name"]) == ("EVALUATOR", "writer")
    (event,) = span.events
    assert event.name == "gen_ai.evaluation.result"
    assert dict(event.attributes or {}) == {
        "gen_ai.evaluation.name": "short_enough",
        "gen_ai.evaluation.score.value": 1.0,
        "gen_ai.evaluation.score.label": "good",
    }


def id_trace(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id
