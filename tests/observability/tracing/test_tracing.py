"""Runs as spans, metrics and log records."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from orchestrator import (
    NOT_DONE,
    Agent,
    AskHuman,
    CallStarted,
    DefinitionError,
    Goal,
    Orchestrator,
    Policy,
    Refused,
    Resolution,
    RunContext,
    SignalRaised,
    Status,
    StoreError,
    Tool,
    Unavailable,
    tool,
)
from orchestrator.core import conventions as names
from orchestrator.escalation import AskModel
from orchestrator.observability.tracing import TracingSink, collector, content, metering, setup, sink
from orchestrator.store.memory import MemoryStore
from orchestrator.store.protocol import RunRow
from orchestrator.testing import FakeClock, ScriptedChatModel, fail
from tests.support.random_runs import random_orchestrator, random_run
from tests.support.telemetry import Recorder, attributes, id_of, parent_of, receiving


@pytest.fixture
def recorder() -> Recorder:
    """A provider that keeps its spans."""
    return Recorder()


@tool(gives="quote", cost=0.002)
def carrier(parcel: str) -> float:
    return float(len(parcel))


@tool(gives="quote", cost=0.02)
def table(parcel: str) -> float:
    return float(len(parcel)) + 1


@tool(gives="label")
async def buy(quote: float) -> str:
    return f"label for {quote}"


def decisions(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """The spans of decisions."""
    return [span for span in spans if names.DECISION_ID in attributes(span)]


# -- the tree --------------------------------------------------------------------------------------------------------


async def test_a_healed_run_is_one_tree(recorder: Recorder) -> None:
    flaky = fail(carrier, times=2, error=ConnectionResetError("reset"))
    policy = Policy.model_validate({"retries": {"attempts": 1}})
    async with Orchestrator(
        [flaky, table, buy], policy=policy, tracer_provider=recorder.provider, clock=FakeClock()
    ) as orchestrator:
        outcome = await orchestrator.run("label", {"parcel": "p"})
    assert recorder.tree() == [
        "invoke_workflow label",
        "  plan",
        "  execute_tool carrier",
        "    attempt",
        "    retry",
        "    attempt",
        "  plan",
        "  execute_tool table",
        "    attempt",
        "  execute_tool buy",
        "    attempt",
    ]
    run = recorder.one("invoke_workflow label")
    assert run.status.status_code is StatusCode.UNSET
    told = attributes(run)
    assert told[names.OPERATION] == "invoke_workflow"
    assert told[names.WORKFLOW_NAME] == "label"
    assert told[names.RUN_ID] == outcome.run_id
    assert told[names.RUN_STATUS] == "reached"
    assert told[names.RUN_PRICE] == outcome.price
    assert told[names.RUN_COST] == outcome.cost
    assert run.context is not None
    assert outcome.trace_id == f"{run.context.trace_id:032x}"


async def test_decisions_carry_what_was_chosen_among_what_and_why(recorder: Recorder) -> None:
    async with Orchestrator(
        [fail(carrier, error=Unavailable("closed")), table, buy], tracer_provider=recorder.provider
    ) as orchestrator:
        outcome = await orchestrator.run("label", {"parcel": "p"})
    route, reroute = recorder.named("plan")
    told = attributes(route)
    assert told[names.OPERATION] == "plan"
    assert told[names.SPAN_KIND] == "DECISION"
    assert told[names.DECISION_ID] == "d1"
    assert told[names.DECISION_KIND] == "route"
    assert told[names.DECISION_CHOSEN] == "carrier > buy"
    assert told[names.DECISION_REASON] == outcome.decisions[0].reason
    assert told[names.DECISION_PRICE] == outcome.decisions[0].price
    assert told[names.CANDIDATES] == ("carrier > buy", "table > buy")
    assert told[names.CANDIDATE_PRICES] == tuple(c.price for c in outcome.decisions[0].candidates)
    assert told[names.POLICY] == "balanced"
    assert told[names.GRAPH_REVISION] == orchestrator.graph.view().revision
    told = attributes(reroute)
    assert told[names.DECISION_KIND] == "reroute"
    assert told[names.DECISION_ANSWERS] == ("f1",)
    assert told[names.CANDIDATE_PRICES][1] == names.UNUSABLE_PRICE
    failed = recorder.named("attempt")[0]
    assert [link.context.span_id for link in reroute.links] == [id_of(failed)]
    assert dict(reroute.links[0].attributes or {}) == {names.LINK: "answers", names.FAILURE_ID: "f1"}


async def test_errors_have_a_class_and_a_bug_its_traceback(recorder: Recorder) -> None:
    def broken(parcel: str) -> float:
        raise ZeroDivisionError("oh no")

    bug = Tool(broken, name="broken", needs={"parcel": "parcel"}, gives="quote")
    async with Orchestrator([bug, table], tracer_provider=recorder.provider) as orchestrator:
        await orchestrator.run("quote", {"parcel": "p"})
    attempt = recorder.named("attempt")[0]
    for span in (recorder.one("execute_tool broken"), attempt):
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == "ZeroDivisionError: oh no (test_tracing.py:149)"
        assert attributes(span)[names.ERROR_TYPE] == "bug"
        assert attributes(span)[names.FAILURE_ID] == "f1"
    event = attempt.events[0]
    assert event.name == "exception"
    told = dict(event.attributes or {})
    assert told[names.EXCEPTION_TYPE] == "ZeroDivisionError"
    assert "raise ZeroDivisionError" in str(told[names.EXCEPTION_STACKTRACE])


async def test_agents_demotions_and_compensations(recorder: Recorder) -> None:
    def draft(topic: str, ctx: RunContext) -> str:
        ctx.usage["input_tokens"] += 11
        ctx.usage["output_tokens"] += 7
        return topic

    def printed(text: str) -> bool:
        raise Refused("no paper")

    def undo(text: str) -> None:
        with recorder.tracer().start_as_current_span("user's undoing"):
            pass

    writer = Agent(draft, name="writer", gives="draft", skills={"write": 1})
    saver = Tool(
        lambda draft: draft, name="saver", needs={"draft": "draft"}, gives="text", effect="write", compensate=undo
    )
    async with Orchestrator(
        [saver, Tool(printed, gives="done")], [writer], tracer_provider=recorder.provider
    ) as orchestrator:
        outcome = await orchestrator.run(Goal("done", demotions=["draft"]), {"topic": "t"})
    assert outcome.status is Status.DEMOTED
    assert recorder.tree() == [
        "invoke_workflow done",
        "  plan",
        "  select",
        "  invoke_agent writer",
        "    attempt",
        "  execute_tool saver",
        "    attempt",
        "  execute_tool printed",
        "    attempt",
        "  demote",
        "    rung demote",
        "  plan",
        "  compensate",
        "    user's undoing",
    ]
    told = attributes(recorder.one("invoke_agent writer"))
    assert (told[names.SPAN_KIND], told[names.AGENT_NAME]) == ("AGENT", "writer")
    assert (told[names.INPUT_TOKENS], told[names.OUTPUT_TOKENS]) == (11, 7)
    assert attributes(recorder.one("invoke_workflow done"))[names.RUN_COMPENSATED] == ("saver",)
    assert len(recorder.one("demote").links) == 1


async def test_an_escalation_to_a_model_is_a_chat_span(recorder: Recorder) -> None:
    model = ScriptedChatModel(['{"choice": 1}'])
    async with Orchestrator(
        [fail(carrier, error=Refused("no"))],
        escalation=[AskModel(model)],
        tracer_provider=recorder.provider,
    ) as orchestrator:
        outcome = await orchestrator.run(Goal("quote", demotions=["parcel"]), {"parcel": "p"})
    assert outcome.llm_calls == 1
    chats = [span for span in recorder.spans if span.name.startswith("chat ")]
    assert [attributes(span)[names.SPAN_KIND] for span in chats] == ["LLM"]
    assert attributes(chats[0])[names.OPERATION] == "chat"
    assert attributes(recorder.one("invoke_workflow quote"))[names.RUN_LLM_CALLS] == 1


async def test_an_escalated_run_is_an_error(recorder: Recorder) -> None:
    async with Orchestrator([fail(carrier, error=Refused("no"))], tracer_provider=recorder.provider) as orchestrator:
        outcome = await orchestrator.run("quote", {"parcel": "p"})
    assert outcome.status is Status.ESCALATED
    run = recorder.one("invoke_workflow quote")
    assert run.status.status_code is StatusCode.ERROR
    assert attributes(run)[names.ERROR_TYPE] == "no_route"
    assert attributes(run)[names.RUN_STATUS] == "escalated"


async def test_a_reconciled_effect_belongs_to_its_step(recorder: Recorder) -> None:
    bought = Tool(lambda p: p, name="bought", needs={"p": "p"}, gives="b", effect="write", reconcile=lambda p: NOT_DONE)
    async with Orchestrator(
        [fail(bought, times=1, error=TimeoutError("?"))], tracer_provider=recorder.provider, clock=FakeClock()
    ) as orchestrator:
        outcome = await orchestrator.run("b", {"p": 1})
    assert outcome.status is Status.REACHED
    assert recorder.tree() == [
        "invoke_workflow b",
        "  plan",
        "  execute_tool bought",
        "    attempt",
        "    reconcile",
        "    attempt",
    ]
    assert recorder.one("execute_tool bought").status.status_code is StatusCode.UNSET
    assert attributes(recorder.one("execute_tool bought"))[names.ATTEMPTS] == 2


async def test_conditions_and_signals(recorder: Recorder) -> None:
    wary = Tool(lambda quote: quote, name="wary", needs={"quote": "quote"}, gives="label", when=lambda quote: False)
    async with Orchestrator([carrier, wary, buy], tracer_provider=recorder.provider) as orchestrator:
        await orchestrator.run("label", {"parcel": "p"})
    conditions = [event for event in recorder.one("invoke_workflow label").events if event.name.endswith("condition")]
    assert [dict(event.attributes or {})[names.EVENT_HOLDS] for event in conditions] == [False]
    tracing = TracingSink(recorder.provider)
    tracing.adopt("r", "g", tracing.open("r", "g"))
    signal = SignalRaised(
        run_id="r", at=0.0, target="a -> b", kind="slow", action="reweight", priority=0.5, reason="why", factor=2.0
    )
    tracing.on_event(signal)
    tracing.close()
    told = attributes(recorder.one("signal"))
    assert told[names.SIGNAL_TARGET] == "a -> b"
    assert told[names.SIGNAL_FACTOR] == 2.0
    assert parent_of(recorder.one("signal")) == id_of(recorder.one("invoke_workflow g"))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_every_decision_and_attempt_of_a_random_run_is_one_span(seed: int) -> None:
    async def run() -> None:
        random, recorder = Random(seed), Recorder()
        async with random_orchestrator(random, tracer_provider=recorder.provider) as orchestrator:
            outcome = await random_run(random, orchestrator)
            if outcome is None:
                return
        spans = recorder.spans
        told = [attributes(span)[names.DECISION_ID] for span in decisions(spans)]
        assert sorted(told) == sorted(decision.id for decision in outcome.decisions)
        assert {call.call_id for call in outcome.calls} <= {
            attributes(span)[names.TOOL_CALL_ID] for span in recorder.named("attempt")
        }
        known = {id_of(span) for span in spans}
        roots = [span for span in spans if parent_of(span) is None]
        assert [span.name.split()[0] for span in roots] == ["invoke_workflow"]
        assert all(parent_of(span) in known for span in spans if span not in roots)
        assert all(span.end_time is not None for span in spans)
        failed = {
            str(attributes(span)[names.FAILURE_ID])
            for span in recorder.named("attempt")
            if names.FAILURE_ID in attributes(span)
        }
        links = [dict(link.attributes or {}) for span in decisions(spans) for link in span.links]
        linked = {str(link[names.FAILURE_ID]) for link in links}
        assert failed == linked == {failure.id for failure in outcome.failures}

    asyncio.run(run())


# -- contexts --------------------------------------------------------------------------------------------------------


async def test_a_run_is_a_child_of_the_callers_span_and_parent_of_the_tools(recorder: Recorder) -> None:
    def traced(parcel: str) -> float:
        with recorder.tracer().start_as_current_span("in a thread"):
            return 1.0

    async def traced_too(quote: float) -> str:
        async def part() -> None:
            with recorder.tracer().start_as_current_span("in a task"):
                await asyncio.sleep(0)

        await asyncio.gather(part(), part())
        return "x"

    tools = [Tool(traced, gives="quote"), Tool(traced_too, gives="label")]
    async with Orchestrator(tools, tracer_provider=recorder.provider) as orchestrator:
        with recorder.tracer().start_as_current_span("request") as request:
            outcome = await orchestrator.run("label", {"parcel": "p"})
        assert trace.get_current_span() is trace.INVALID_SPAN
        row = orchestrator.store.run(outcome.run_id)
    assert recorder.tree() == [
        "request",
        "  invoke_workflow label",
        "    plan",
        "    execute_tool traced",
        "      attempt",
        "        in a thread",
        "    execute_tool traced_too",
        "      attempt",
        "        in a task",
        "        in a task",
    ]
    assert outcome.trace_id == f"{request.get_span_context().trace_id:032x}"
    assert row is not None
    assert row.trace_id == outcome.trace_id


async def test_child_runs_nest_under_the_attempt_that_reached_for_them(recorder: Recorder) -> None:
    async def many(parcels: list[str], ctx: RunContext) -> list[float]:
        reached = await asyncio.gather(*(ctx.reach("quote", {"parcel": parcel}) for parcel in parcels))
        return [outcome.value for outcome in reached]

    async with Orchestrator([carrier, Tool(many, gives="quotes")], tracer_provider=recorder.provider) as orchestrator:
        outcome = await orchestrator.run("quotes", {"parcels": ["a", "bb"]})
    assert sorted(outcome.value) == [1.0, 2.0]
    children = recorder.named("invoke_workflow quote")
    above = recorder.one("execute_tool many")
    attempt = next(span for span in recorder.named("attempt") if parent_of(span) == id_of(above))
    assert [parent_of(child) for child in children] == [id_of(attempt)] * 2
    assert {attributes(child)[names.RUN_PARENT] for child in children} == {outcome.run_id}


async def test_runs_at_the_same_time_do_not_mix(recorder: Recorder) -> None:
    async with Orchestrator([carrier, buy], tracer_provider=recorder.provider) as orchestrator:

        async def request(number: int) -> str:
            with recorder.tracer().start_as_current_span(f"request {number}") as span:
                outcome = await orchestrator.run("label", {"parcel": "p" * number})
                assert outcome.trace_id == f"{span.get_span_context().trace_id:032x}"
                return outcome.trace_id

        traces = await asyncio.gather(*map(request, range(8)))
    assert len(set(traces)) == 8
    for number, trace_id in enumerate(traces):
        spans = [span for span in recorder.spans if span.context and f"{span.context.trace_id:032x}" == trace_id]
        assert len(spans) == 7, number


async def test_run_sync_inside_a_loop_keeps_the_callers_span(recorder: Recorder) -> None:
    orchestrator = Orchestrator([carrier], tracer_provider=recorder.provider)
    with recorder.tracer().start_as_current_span("request"):
        orchestrator.run_sync("quote", {"parcel": "p"})
    await orchestrator.aclose()
    assert parent_of(recorder.one("invoke_workflow quote")) == id_of(recorder.one("request"))


async def test_an_answered_run_links_to_its_first_span(recorder: Recorder) -> None:
    async with Orchestrator(
        [fail(carrier, error=Refused("no"))], escalation=[AskHuman()], tracer_provider=recorder.provider
    ) as orchestrator:
        waiting = await orchestrator.run("quote", {"parcel": "p"})
        assert waiting.status is Status.WAITING
        first = recorder.one("invoke_workflow quote")
        assert attributes(first)[names.RUN_STATUS] == "waiting"
        with recorder.tracer().start_as_current_span("answer"):
            outcome = await orchestrator.resume(waiting.run_id, Resolution.provide("quote", 3.0), by="ann")
    assert outcome.status is Status.REACHED
    second = recorder.named("invoke_workflow quote")[1]
    assert [link.context.span_id for link in second.links] == [id_of(first)]
    assert parent_of(second) == id_of(recorder.one("answer"))
    assert outcome.trace_id == waiting.trace_id
    assert [attributes(span)[names.DECISION_KIND] for span in decisions(recorder.spans)] == [
        "route",
        "escalate",
        "resume",
        "route",
    ]


async def test_a_run_resumed_by_another_process_links_to_its_first_span(tmp_path: Path) -> None:
    store, before, after = tmp_path / "runs.db", Recorder(), Recorder()
    ladder = [AskHuman()]
    async with Orchestrator(
        [fail(carrier, error=Refused("no"))], escalation=ladder, store=store, tracer_provider=before.provider
    ) as orchestrator:
        waiting = await orchestrator.run("quote", {"parcel": "p"})
    async with Orchestrator([carrier], escalation=ladder, store=store, tracer_provider=after.provider) as later:
        outcome = await later.resume(waiting.run_id, Resolution.provide("quote", 3.0))
    assert outcome.status is Status.REACHED
    first, second = before.one("invoke_workflow quote"), after.one("invoke_workflow quote")
    assert [link.context.span_id for link in second.links] == [id_of(first)]
    assert outcome.trace_id == waiting.trace_id


def crash(store: Path) -> None:
    """A process that dies in the middle of the run `r`."""
    script = textwrap.dedent(f"""
        import os
        from opentelemetry.sdk.trace import TracerProvider
        from orchestrator import Orchestrator, tool

        @tool(gives="a")
        def first() -> int:
            return 1

        @tool(gives="b")
        def second(a: int) -> int:
            orchestrator.store.flush()
            os._exit(9)

        orchestrator = Orchestrator([first, second], store={str(store)!r}, tracer_provider=TracerProvider())
        orchestrator.run_sync("b", run_id="r")
    """)
    crashed = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert crashed.returncode == 9


async def test_a_run_recovered_after_a_crash_links_to_its_first_span(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    crash(store)
    recorder = Recorder()
    tools = [Tool(lambda: 1, name="first", gives="a"), Tool(lambda a: a, name="second", needs={"a": "a"}, gives="b")]
    async with Orchestrator(tools, store=store, tracer_provider=recorder.provider) as orchestrator:
        outcome = await orchestrator.resume("r")
        started = orchestrator.store.records("r")[0].body
    assert outcome.status is Status.REACHED
    run = recorder.one("invoke_workflow b")
    assert [f"{link.context.trace_id:032x}" for link in run.links] == [outcome.trace_id]
    assert started["traceparent"].split("-")[1] == outcome.trace_id
    assert attributes(run)[names.RUN_RESUMED] == "after a crash"
    assert attributes(recorder.one("resume"))[names.DECISION_KIND] == "resume"


async def test_a_compiled_graph_is_traced_too(recorder: Recorder) -> None:
    async with Orchestrator([carrier, buy], tracer_provider=recorder.provider) as orchestrator:
        with recorder.tracer().start_as_current_span("request"):
            told = await orchestrator.compile("label").ainvoke({"parcel": "p"})
    assert told["outcome"].status is Status.REACHED
    assert recorder.tree() == [
        "request",
        "  invoke_workflow label",
        "    plan",
        "    execute_tool carrier",
        "      attempt",
        "    execute_tool buy",
        "      attempt",
    ]


# -- nobody listens, or something is broken --------------------------------------------------------------------------


async def test_without_a_provider_no_span_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("something was built although nobody listens")

    monkeypatch.setattr(sink, "RunTrace", forbidden)
    async with Orchestrator([carrier, buy]) as orchestrator:
        outcome = await orchestrator.run("label", {"parcel": "p"})
        assert outcome.trace_id == ""
        assert not [r for r in orchestrator.store.records(outcome.run_id) if r.kind == "ProblemReported"]


async def test_a_run_that_is_not_sampled_leaves_no_orphans() -> None:
    recorder = Recorder(provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    seen: list[bool] = []

    def look(parcel: str) -> float:
        context = trace.get_current_span().get_span_context()
        seen.append(context.is_valid and not context.trace_flags.sampled)
        return 1.0

    async with Orchestrator([Tool(look, gives="quote")], tracer_provider=recorder.provider) as orchestrator:
        outcome = await orchestrator.run("quote", {"parcel": "p"})
    assert seen == [True]
    assert len(outcome.trace_id) == 32
    assert not recorder.spans


async def test_a_broken_exporter_changes_nothing() -> None:
    class Broken(SpanExporter):
        """Fails always."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            raise OSError("no disk")

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Broken()))
    async with Orchestrator([carrier, buy], tracer_provider=provider) as orchestrator:
        assert (await orchestrator.run("label", {"parcel": "p"})).status is Status.REACHED


async def test_a_cancelled_run_leaves_no_span_open(recorder: Recorder) -> None:
    begun = asyncio.Event()

    async def never(parcel: str) -> float:
        begun.set()
        await asyncio.Event().wait()
        return 0.0

    async with Orchestrator([Tool(never, gives="quote")], tracer_provider=recorder.provider) as orchestrator:
        task = asyncio.create_task(orchestrator.run("quote", {"parcel": "p"}))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert recorder.tree() == ["invoke_workflow quote", "  plan", "  execute_tool never", "    attempt", "  halt"]
    assert recorder.one("invoke_workflow quote").status.status_code is StatusCode.ERROR


# -- the ledger's head -----------------------------------------------------------------------------------------------


async def test_the_head_of_the_ledger_is_told_outside(
    recorder: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "orchestrator")
    async with Orchestrator([carrier], tracer_provider=recorder.provider) as orchestrator:
        outcome = await orchestrator.run("quote", {"parcel": "p"})
        verified = orchestrator.verify(outcome.run_id)
    told = attributes(recorder.one("invoke_workflow quote"))
    assert (told[names.LEDGER_HEAD], told[names.LEDGER_COUNT]) == (verified.head, verified.count)
    assert verified.head in caplog.text
    recorder.exporter.clear()
    async with Orchestrator([carrier], tracer_provider=recorder.provider, store=tmp_path / "r.db") as orchestrator:
        outcome = await orchestrator.run("quote", {"parcel": "p"})
        verified = orchestrator.verify(outcome.run_id)
    told = attributes(recorder.one("seal"))
    assert (told[names.LEDGER_HEAD], told[names.LEDGER_COUNT]) == (verified.head, verified.count)
    assert parent_of(recorder.one("seal")) == id_of(recorder.one("invoke_workflow quote"))
    assert verified.head in caplog.text


# -- content ---------------------------------------------------------------------------------------------------------


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


# -- metrics and logs ------------------------------------------------------------------------------------------------


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


# -- a real receiver -------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from orchestrator import Orchestrator, Unavailable, tool
from orchestrator.testing import fail
from orchestrator.observability.tracing import setup

@tool(gives="quote", cost=0.002)
def carrier(parcel: str) -> float:
    return 1.0

@tool(gives="quote", cost=0.02)
def table(parcel: str) -> float:
    return 2.0

print("exports:", setup(service_name="shop"))
with_store = dict(store=sys.argv[1]) if len(sys.argv) > 1 else {}
orchestrator = Orchestrator([fail(carrier, error=Unavailable("closed")), table], **with_store)
print(orchestrator.run_sync("quote", {"parcel": "p"}).status)
orchestrator.close()
"""


def program(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the program above in a process of its own, with these variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_spans_and_metrics_reach_a_real_receiver(tmp_path: Path) -> None:
    with receiving() as receiver:
        done = program(str(tmp_path / "runs.db"), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert done.stdout.split("\n")[:2] == ["exports: True", "reached"]
    spans = {span.span_id: span for span in receiver.spans}
    tree = sorted(
        (span.name, spans[span.parent_span_id].name if span.parent_span_id else "") for span in spans.values()
    )
    assert tree == [
        ("attempt", "execute_tool carrier"),
        ("attempt", "execute_tool table"),
        ("execute_tool carrier", "invoke_workflow quote"),
        ("execute_tool table", "invoke_workflow quote"),
        ("invoke_workflow quote", ""),
        ("plan", "invoke_workflow quote"),
        ("plan", "invoke_workflow quote"),
        ("seal", "invoke_workflow quote"),
    ]
    linked = [span.links[0].span_id for span in spans.values() if span.links]
    assert [spans[span].name for span in linked] == ["attempt"]
    assert {names.TOOL_DURATION, names.FAILURES, names.REROUTES, names.CIRCUIT} <= set(receiver.metrics)


def test_nothing_leaves_the_machine_by_itself() -> None:
    done = program()
    assert done.stdout.split("\n")[:2] == ["exports: False", "reached"]
    with receiving() as receiver:
        off = program(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_SDK_DISABLED="true")
        quiet = program(
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none"
        )
    assert "exports: False" in off.stdout
    assert "exports: False" in quiet.stdout
    assert not receiver.bodies


def test_a_dead_collector_stops_nothing_and_is_not_talked_about() -> None:
    done = program(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.stdout.split("\n")[:2] == ["exports: True", "reached"]
    assert "Traceback" not in done.stderr


async def test_a_dead_collector_is_given_a_rest(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Deaf(SpanExporter):
        """Delivers or not, as told."""

        result = SpanExportResult.FAILURE

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            """As told."""
            return self.result

    deaf = Deaf()
    asked = threading.Event()
    listens = [False]

    def somebody_listens() -> bool:
        asked.set()
        return listens[0]

    def until_it_is_up() -> None:
        while watched.down:
            time.sleep(0.001)

    watched = collector.Watched(deaf, somebody_listens, rest=0.01)
    monkeypatch.setattr(collector, "LONGEST_REST", 0.01)
    recorder.provider.sampler = collector.WhileDelivered(recorder.provider.sampler, watched)
    async with Orchestrator([carrier], tracer_provider=recorder.provider) as orchestrator:

        async def traced() -> int:
            recorder.exporter.clear()
            await orchestrator.run("quote", {"parcel": "p"})
            return len(recorder.spans)

        async def ask_again() -> None:
            for _ in range(2):  # the first answer may be to what was asked before
                asked.clear()
                assert await asyncio.to_thread(asked.wait, 30)

        assert await traced() == 4
        watched.export([])
        assert await traced() == 0
        await ask_again()
        assert await traced() == 0
        listens[0] = True  # somebody listens, and takes nothing
        await ask_again()
        assert await traced() == 0
        deaf.result = SpanExportResult.SUCCESS
        await asyncio.to_thread(until_it_is_up)
        assert await traced() == 4
    watched.shutdown()
    said = [record.getMessage() for record in caplog.records if "collector" in record.getMessage()]
    assert [text.split()[4:6] for text in said] == [["cannot", "be"], ["is", "back"]]


def test_whether_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}/v1/traces"
        assert collector.somebody_listens(endpoint)()
    assert not collector.somebody_listens(endpoint)()
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
    assert collector.somebody_listens(endpoint)()  # who knows


def test_a_collector_that_never_answers_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = program(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert done.stdout.split("\n")[:2] == ["exports: True", "reached"]
    assert "Traceback" not in done.stderr


async def test_heads_are_told_when_a_store_that_was_down_is_back(recorder: Recorder) -> None:
    class Flaky(MemoryStore):
        """Cannot be reached at first."""

        asked = 0

        def flush(self, timeout: float = 10.0, run_id: str | None = None, token: int | None = None) -> None:
            """Fails once."""
            self.asked += 1
            if self.asked == 1:
                raise StoreError("down")

    tracing, told, store = TracingSink(recorder.provider), threading.Event(), Flaky()
    store.begin(RunRow("r", None, "g", Status.RUNNING, "p", 0.0, None, "", 0, "", {}))
    store.set_status("r", Status.REACHED, ended=1.0)
    tracing._anchor.watch(store, "r", lambda row: told.set())  # pyright: ignore[reportPrivateUsage]
    assert await asyncio.to_thread(told.wait, 30)
    assert store.asked == 2


def test_the_command_line_sends_where_the_environment_says(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    source = """
        from orchestrator import Unavailable, tool

        @tool(gives="quote")
        def carrier(parcel: str) -> float:
            raise Unavailable("closed")

        @tool(gives="quote", cost=0.1)
        def table(parcel: str) -> float:
            return 2.0
    """
    (tmp_path / "tools" / "quotes.py").write_text(textwrap.dedent(source))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with receiving() as receiver:
        command = [sys.executable, "-m", "orchestrator.cli", "run", "quote", "parcel=p", "--project", str(tmp_path)]
        subprocess.run(
            command,
            env={**clean, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint},
            cwd=tmp_path,
            capture_output=True,
            timeout=100,
            check=True,
        )
    assert {"invoke_workflow quote", "plan", "execute_tool carrier", "execute_tool table", "seal"} <= {
        span.name for span in receiver.spans
    }


def test_a_users_own_provider_wins() -> None:
    mine = """
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        from orchestrator.observability.tracing import setup
        own = TracerProvider()
        trace.set_tracer_provider(own)
        metrics.set_meter_provider(MeterProvider())
        assert setup() is False
        assert trace.get_tracer_provider() is own
    """
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(mine)], env=environment, timeout=60, check=True)


async def test_an_attempt_is_current_only_while_it_runs(recorder: Recorder) -> None:
    seen: list[str] = []

    class Watcher:
        """Notes which span is current when a call begins."""

        def on_event(self, event: Any) -> None:
            if isinstance(event, CallStarted):
                seen.append(getattr(trace.get_current_span(), "name", ""))

    async with Orchestrator([carrier, buy], tracer_provider=recorder.provider) as orchestrator:
        orchestrator.add_sink(Watcher())
        await orchestrator.run("label", {"parcel": "p"})
    assert seen == ["attempt", "attempt"]
    assert trace.get_current_span() is trace.INVALID_SPAN
