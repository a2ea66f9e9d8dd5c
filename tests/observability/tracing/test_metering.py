"""Runs as metrics and log records."""

import json
import logging

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from orchestrator import (
    Goal,
    Orchestrator,
    Policy,
    Refused,
    Tool,
    Unavailable,
    tool,
)
from orchestrator.core import conventions as names
from orchestrator.escalation import AskModel
from orchestrator.observability.tracing import TracingSink, metering
from orchestrator.testing import ScriptedChatModel, fail
from tests.support.telemetry import Recorder

from .shop import buy, carrier, table


async def test_metrics() -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    policy = Policy.model_validate({"retries": {"attempts": 0}, "circuit": {"consecutive": 1}})
    async with Orchestrator([fail(carrier, error=Unavailable("x")), table, buy], policy=policy) as orchestrator:
        orchestrator.add_sink(TracingSink(meters=meters, circuits=orchestrator.health))
        outcome = await orchestrator.run("label", {"parcel": "p"})
        await orchestrator.run(Goal("nothing", demotions=["parcel"]), {"parcel": "p", "nothing": 1})
        data = json.loads(reader.get_metrics_data().to_json())  # type: ignore[union-attr]  # pyright: ignore
    found = {m["name"]: m["data"]["data_points"] for m in data["resource_metrics"][0]["scope_metrics"][0]["metrics"]}
    calls = {p["attributes"][names.TOOL_NAME]: p for p in found[names.TOOL_DURATION]}
    assert calls["carrier"]["attributes"][names.ERROR_TYPE] == "outage"
    assert calls["table"]["count"] == 1
    assert found[names.FAILURES][0]["attributes"] == {names.TOOL_NAME: "carrier", names.ERROR_TYPE: "outage"}
    assert found[names.REROUTES][0]["value"] == 1
    prices = {p["attributes"][names.WORKFLOW_NAME]: p["sum"] for p in found[names.PRICE_OF_RUN]}
    assert prices["label"] == outcome.price
    assert {p["attributes"][names.TOOL_NAME]: p["value"] for p in found[names.CIRCUIT]}["carrier"] == 2
    assert {p["attributes"][names.RUN_STATUS] for p in found[names.WORKFLOW_DURATION]} == {"reached"}
    runs = [
        p["attributes"] for p in found[names.AGENT_DURATION] if p["attributes"][names.OPERATION] == "invoke_workflow"
    ]
    assert {p[names.AGENT_NAME] for p in runs} == {"label", "nothing"}


def counted(reader: InMemoryMetricReader) -> dict[str, int]:
    """Tool -> attempts that were measured."""
    data = json.loads(reader.get_metrics_data().to_json())  # type: ignore[union-attr]  # pyright: ignore
    found = {m["name"]: m["data"]["data_points"] for m in data["resource_metrics"][0]["scope_metrics"][0]["metrics"]}
    return {p["attributes"][names.TOOL_NAME]: p["count"] for p in found.get(names.TOOL_DURATION, ())}


async def test_who_collects_while_a_run_goes_on_sees_the_calls_that_ended() -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    seen: list[dict[str, int]] = []

    @tool(gives="label")
    async def look(quote: float) -> str:
        seen.append(counted(reader))
        return "label"

    async with Orchestrator([table, look]) as orchestrator:
        orchestrator.add_sink(TracingSink(meters=meters, circuits=orchestrator.health))
        await orchestrator.run("label", {"parcel": "p"})
    assert seen == [{"table": 1}]
    assert counted(reader) == {"table": 1, "look": 1}


async def test_no_more_than_a_few_measurements_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    monkeypatch.setattr(metering, "MOST_KEPT", 1)
    counts: list[dict[str, int]] = []
    numbers = range(4)

    def step(number: int) -> Tool:
        async def call(**values: int) -> int:
            counts.append(counted(reader))
            return number

        return Tool(call, name=f"t{number}", needs=[f"t{number - 1}"] if number else [])

    async with Orchestrator([step(number) for number in numbers]) as orchestrator:
        orchestrator.add_sink(TracingSink(meters=MeterProvider([reader], shutdown_on_exit=False)))
        await orchestrator.run("t3")
    assert [len(found) for found in counts] == [0, 0, 1, 2]  # the newest one is kept until the run ends
    assert counted(reader) == {f"t{number}": 1 for number in numbers}


async def test_escalations_and_calls_of_models_are_measured() -> None:
    reader, model = InMemoryMetricReader(), ScriptedChatModel(['{"choice": 1}'])
    meters = MeterProvider([reader], shutdown_on_exit=False)
    async with Orchestrator([fail(carrier, error=Refused("no"))], escalation=[AskModel(model)]) as orchestrator:
        orchestrator.add_sink(TracingSink(meters=meters))
        outcome = await orchestrator.run(Goal("quote", demotions=["parcel"]), {"parcel": "p"})
        data = json.loads(reader.get_metrics_data().to_json())  # type: ignore[union-attr]  # pyright: ignore
    found = {m["name"]: m["data"]["data_points"] for m in data["resource_metrics"][0]["scope_metrics"][0]["metrics"]}
    decided = {p["attributes"][names.DECISION_KIND]: p["value"] for p in found[names.DECISIONS]}
    assert sum(decided.values()) == len(outcome.decisions)
    assert [(p["value"], p["attributes"]) for p in found[names.ESCALATIONS]] == [
        (1, {names.DECISION_KIND: "demote" if "demote" in decided else "escalate"})
    ]
    assert [p["value"] for p in found[names.LLM_CALLS]] == [outcome.llm_calls] == [1]
    assert sum(p["sum"] for p in found[names.COST_OF_RUN]) == outcome.cost


async def test_log_records_carry_run_and_trace(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "orchestrator")
    async with Orchestrator(
        [fail(carrier, error=Unavailable("closed\nFAKE LINE")), table], tracer_provider=recorder.provider
    ) as orchestrator:
        outcome = await orchestrator.run("quote", {"parcel": "p"})
    records = [record for record in caplog.records if record.name == "orchestrator"]
    assert {(record.__dict__["run_id"], record.__dict__["trace_id"]) for record in records} == {
        (outcome.run_id, outcome.trace_id)
    }
    warnings = [record.getMessage() for record in records if record.levelno == logging.WARNING]
    assert warnings == [f"run {outcome.run_id}: carrier failed (outage, f1): closed FAKE LINE"]
    told = [record.getMessage() for record in records if record.levelno == logging.INFO]
    assert any("route d1: carrier" in line for line in told)
    assert any("reroute d2: table" in line and "[answers f1]" in line for line in told)
