"""Capturing content: off by default, and only through the redaction hook."""

from typing import Any

import pytest

from orchestrator import (
    DefinitionError,
    Orchestrator,
)
from orchestrator.core import conventions as names
from orchestrator.observability.tracing import content, setup
from tests.support.telemetry import Recorder, attributes

from .shop import buy, carrier


def all_told(recorder: Recorder) -> str:
    """Everything that any span holds."""
    return "\n".join(str(span.to_json()) for span in recorder.spans)


async def test_content_is_not_captured_unless_it_is_wanted(recorder: Recorder) -> None:
    async with Orchestrator([carrier, buy], tracer_provider=recorder.provider) as orchestrator:
        await orchestrator.run("label", {"parcel": "very private"})
    assert "very private" not in all_told(recorder)
    assert names.INPUT_VALUE not in all_told(recorder)
    assert "label for" not in all_told(recorder)


async def test_captured_content_goes_through_the_hook_and_is_cut(recorder: Recorder) -> None:
    def redact(key: str, value: Any) -> Any:
        if key == "quote":
            raise ValueError("the hook is broken")
        return "***" if key == "parcel" else value

    setup(capture_content=True, redact=redact, max_content=30)
    async with Orchestrator([carrier, buy], tracer_provider=recorder.provider) as orchestrator:
        await orchestrator.run("label", {"parcel": "very private"})
    run = attributes(recorder.one("invoke_workflow label"))
    assert run[names.INPUT_VALUE] == '{"parcel":"***"}'
    assert run[names.OUTPUT_VALUE] == '{"label":"label for 12.0"}'
    assert run[names.INPUT_TYPE] == "application/json"
    step = attributes(recorder.one("execute_tool carrier"))
    assert step[names.INPUT_VALUE] == step[names.TOOL_ARGUMENTS] == '{"parcel":"***"}'
    assert step[names.OUTPUT_VALUE] == step[names.TOOL_RESULT] == '{"quote":"[redaction failed]"}'
    assert len(str(attributes(recorder.one("execute_tool buy"))[names.OUTPUT_VALUE])) <= 30
    assert "very private" not in all_told(recorder)


async def test_the_environment_turns_capture_on(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(content.ENVIRONMENT, "true")
    async with Orchestrator([carrier], tracer_provider=recorder.provider) as orchestrator:
        await orchestrator.run("quote", {"parcel": "shown"})
    assert attributes(recorder.one("invoke_workflow quote"))[names.INPUT_VALUE] == '{"parcel":"shown"}'


def test_nonsense_is_an_error() -> None:
    with pytest.raises(DefinitionError, match="max_content"):
        setup(max_content=0)
