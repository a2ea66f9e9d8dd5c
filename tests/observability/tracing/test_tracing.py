"""Runs as trees of spans."""

import asyncio
import logging
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from orchestrator import (
    NOT_DONE,
    Agent,
    AskHuman,
    CallStarted,
    Goal,
    Orchestrator,
    Policy,
    Refused,
    Resolution,
    RunContext,
    SignalRaised,
    Status,
    Tool,
    Unavailable,
)
from orchestrator.core import conventions as names
from orchestrator.escalation import AskModel
from orchestrator.observability.tracing import TracingSink, sink
from orchestrator.testing import FakeClock, ScriptedChatModel, fail
from tests.support.random_runs import random_orchestrator, random_run
from tests.support.telemetry import Recorder, attributes, id_of, parent_of

from .shop import buy, carrier, decisions, table

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
    assert told[names.WORKFLOW_NAME] == told[names.AGENT_NAME] == "label"
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
        assert span.status.description == "ZeroDivisionError: oh no (test_tracing.py:112)"
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
    assert told[names.SPAN_KIND] == "GUARDRAIL"
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
