"""Exporting from real processes: to a receiver, to a dead collector, and to nowhere by default."""

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from orchestrator import (
    Orchestrator,
    Status,
    StoreError,
)
from orchestrator.core import conventions as names
from orchestrator.observability.tracing import TracingSink, collector
from orchestrator.store.memory import MemoryStore
from orchestrator.store.rows import RunRow
from tests.support.telemetry import Recorder, receiving

from .shop import carrier

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
    failed = next(span for span in spans.values() if span.name == "execute_tool carrier")
    sent = {pair.key: pair.value.string_value for pair in failed.attributes}
    assert sent[names.TOOL_NAME] == "carrier"
    assert sent[names.ERROR_TYPE] == "outage"
    assert {names.TOOL_DURATION, names.FAILURES, names.REROUTES, names.CIRCUIT} <= set(receiver.metrics)
    for name, bounds in (
        (names.TOOL_DURATION, names.SECONDS),
        (names.WORKFLOW_DURATION, names.RUN_SECONDS_BOUNDS),
        (names.COST_OF_RUN, names.DOLLARS),
    ):
        points = receiver.metrics[name].histogram.data_points
        assert points and all(tuple(point.explicit_bounds) == bounds for point in points), name


def test_calls_are_measured_in_the_buckets_of_the_semantic_conventions_for_generative_ai() -> None:
    assert [round(0.01 * 2**n, 2) for n in range(14)] == list(names.SECONDS)  # as gen_ai.client.operation.duration


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
    recorder.provider.sampler = collector.SampledWhileDelivered(recorder.provider.sampler, watched)
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
        assert collector.collector_listens(endpoint)()
    assert not collector.collector_listens(endpoint)()
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
    assert collector.collector_listens(endpoint)()  # who knows


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
