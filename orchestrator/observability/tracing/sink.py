"""`TracingSink`: events of runs as spans, metrics and log records. The OpenTelemetry API only."""

import logging
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from time import time_ns
from weakref import WeakSet

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    StatusCode,
    Tracer,
    TracerProvider,
    format_span_id,
    format_trace_id,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from orchestrator.core import conventions as names
from orchestrator.core.events import CallEnded, Event, RunResumed, RunStarted, RunWaiting, WorkJudged
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow

from . import logs as journal
from .attributes import Attributes, brief, of_evaluation, of_judgement
from .content import capture
from .content_attributes import LiveRun, show
from .ledger_heads import Anchor, head_now
from .metering import Circuits, Meters
from .runtrace import RunTrace

DRAIN_SECONDS = 5.0
"""Seconds that closing waits for heads of ledgers that are not durable yet."""
KEPT = 10_000
"""Maximum number of waiting runs whose first span is kept."""
SINKS: "WeakSet[TracingSink]" = WeakSet()
"""All sinks, so that the exit of the process can wait for their last exports."""
_NO_SPAN = nullcontext()
_PROPAGATOR = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Opened:
    """The open span of a run."""

    span: Span
    context: Context
    traceparent: str
    """W3C trace context; empty without tracing."""
    trace_id: str
    """The trace of the run; empty without tracing."""

    def end(self) -> None:
        """End the span of a run that was not started."""
        self.span.end()

    def ids(self) -> tuple[str, str]:
        """The ids of trace and span, for log records; empty without tracing."""
        return _ids(self.span.get_span_context())


@dataclass(frozen=True, slots=True)
class _Known:
    """What a waiting or recovered run needs for its next span."""

    name: str
    traceparent: str


class TracingSink:
    """Exports runs as spans, metrics and log records. Without an exporter it does almost nothing.

    `provider` and `meters` are the OpenTelemetry providers to use instead of the global ones; `live` are the runs of
    the process by id (asked for values when content capture is on); `circuits` is the health registry.
    """

    def __init__(
        self,
        provider: TracerProvider | None = None,
        *,
        meters: MeterProvider | None = None,
        live: Mapping[str, LiveRun] | None = None,
        circuits: Circuits | None = None,
    ) -> None:
        self._tracer: Tracer = trace.get_tracer(names.SCOPE, names.__version__, provider)
        self._meters = Meters(meters, circuits)
        self._live: Mapping[str, LiveRun] = live if live is not None else {}
        self._runs: dict[str, Opened] = {}
        self._recorded: dict[str, RunTrace] = {}
        self._known: dict[str, _Known] = {}
        self._anchor = Anchor()
        SINKS.add(self)

    # -- the spans of runs -------------------------------------------------------------------------------------------

    def open(self, run_id: str, goal: str, link: str = "") -> Opened:
        """Start the span of a run in the current context; `link`: the trace context of the run's first span.

        It is not published before `adopt`.
        """
        attributes: Attributes = {
            names.SPAN_KIND: names.CHAIN,
            names.OPERATION: names.INVOKE_WORKFLOW,
            names.WORKFLOW_NAME: goal,
            names.AGENT_NAME: goal,  # the new name in the GenAI conventions 0.1.0
            names.RUN_ID: run_id,
        }
        first = span_context_of(link) if link else None
        links = [Link(first, {names.LINK: "resumes"})] if first is not None else None
        span = self._tracer.start_span(_span_name(goal), attributes=attributes, links=links)
        context = span.get_span_context()
        traceparent = traceparent_of(context) if context.is_valid else ""
        trace_id = trace_id_of(traceparent) if traceparent else ""
        return Opened(span, trace.set_span_in_context(span), traceparent, trace_id)

    def adopt(self, run_id: str, goal: str, opened: Opened) -> None:
        """Make `opened` the span of this run."""
        self._known[run_id] = _Known(goal, opened.traceparent)
        while len(self._known) > KEPT:  # waiting runs may be answered by another process unnoticed
            del self._known[next(iter(self._known))]
        if not opened.traceparent:
            return
        self._runs[run_id] = opened
        if opened.span.is_recording():
            self._recorded[run_id] = RunTrace(self._tracer, opened.span, opened.context, capture())

    def expect(self, run_id: str, goal: str, traceparent: str) -> None:
        """Note the trace context of the first span of a recovered run: its next span links to it."""
        self._known.setdefault(run_id, _Known(goal, traceparent))

    @staticmethod
    def trace_id_of(traceparent: str) -> str:
        """The trace of a W3C trace context; empty for none."""
        return trace_id_of(traceparent)

    def within(self, run_id: str) -> AbstractContextManager[None]:
        """Make the run's span the current one within a `with` block."""
        opened = self._runs.get(run_id)
        return _NO_SPAN if opened is None else _attached(opened.context)

    def abandon(self, run_id: str, error: BaseException) -> None:
        """Close the span of a run that stopped without an end."""
        self._known.pop(run_id, None)
        opened = self._runs.pop(run_id, None)
        traced = self._recorded.pop(run_id, None)
        if traced is not None:
            traced.note({names.ERROR_TYPE: type(error).__name__})
            traced.span.set_status(StatusCode.ERROR, type(error).__name__)
            traced.end()
        elif opened is not None:
            opened.span.end()

    def ended(self, run_id: str, store: Store) -> None:
        """End the span of an ended run, and publish the head of its ledger once it is durable."""
        self._known.pop(run_id, None)
        opened = self._runs.pop(run_id, None)
        traced = self._recorded.pop(run_id, None)
        if traced is not None or journal.LOG.isEnabledFor(logging.INFO):
            row = head_now(store, run_id)
            if row is None:
                self._anchor.watch(store, run_id, lambda row: self._seal(row, opened))
            else:
                self._publish_head(row, opened.span if opened else None)
        if traced is not None:
            traced.end()
        elif opened is not None:
            opened.span.end()

    def _seal(self, row: RunRow, opened: Opened | None) -> None:
        """Publish a head in a short span of its own, because it was not known when the run's span ended."""
        if opened is None:
            self._publish_head(row, None)
            return
        attributes: Attributes = {names.SPAN_KIND: names.CHAIN, names.RUN_ID: row.run_id}
        span = self._tracer.start_span(names.SEAL, opened.context, attributes=attributes)
        self._publish_head(row, span)
        span.end()

    def _publish_head(self, row: RunRow, span: Span | None) -> None:
        trace_id = span_id = ""
        if span is not None:
            span.set_attributes({names.LEDGER_HEAD: row.head, names.LEDGER_COUNT: row.count})
            trace_id, span_id = _ids(span.get_span_context())
        text = f"run {row.run_id}: {row.status}, ledger of {row.count} records, head {row.head}"
        journal.log_line(logging.INFO, text, row.run_id, trace_id, span_id)

    # -- events ------------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Handle one event."""
        run_id = event.run_id
        if isinstance(event, RunStarted | RunResumed):
            self._meters.look()
            if isinstance(event, RunResumed) and run_id not in self._runs and run_id in self._known:
                self._reopen(run_id)
        traced = self._recorded.get(run_id)
        if traced is not None:
            self._trace(traced, event)
        if self._meters.on:
            self._meters.take(event)
        if (type(event) in journal.LOUD or journal.LOG.isEnabledFor(logging.INFO)) and journal.is_loggable(event):
            opened = self._runs.get(run_id)
            journal.record(event, opened.ids if opened else _no_ids)
        if isinstance(event, RunWaiting):
            self._rest(run_id)
        elif isinstance(event, WorkJudged):
            self._judged(event)

    def _judged(self, event: WorkJudged) -> None:
        """Publish a judgement, which comes after the run's span has ended, in a span of its own in the same trace."""
        first = span_context_of(event.traceparent)
        if first is None:
            return
        context = trace.set_span_in_context(trace.NonRecordingSpan(first))
        began = time_ns() - round(event.seconds * 1e9)
        name = f"{names.JUDGE} {brief(event.tool, 100)}"
        span = self._tracer.start_span(name, context, attributes=of_judgement(event), start_time=began)
        span.add_event(names.EVALUATION, of_evaluation(event))
        span.end()

    def _trace(self, traced: RunTrace, event: Event) -> None:
        run = None if traced.capture is None else self._live.get(event.run_id)
        if traced.capture is not None and run is not None and isinstance(event, CallEnded):
            show(traced.capture, run, traced, event)  # before its span ends
        traced.take(event)
        if traced.capture is not None and run is not None and not isinstance(event, CallEnded):
            show(traced.capture, run, traced, event)

    def _reopen(self, run_id: str) -> None:
        known = self._known[run_id]
        self.adopt(run_id, known.name, self.open(run_id, known.name, known.traceparent))
        self._known[run_id] = known  # links still refer to the first span

    def _rest(self, run_id: str) -> None:
        """End the span of a run that waits, perhaps for days; the span of its continuation links to the first one."""
        opened = self._runs.pop(run_id, None)
        traced = self._recorded.pop(run_id, None)
        if traced is not None:
            traced.end()
        elif opened is not None:
            opened.span.end()

    def close(self) -> None:
        """Export what is buffered, and end the spans of abandoned runs."""
        self._anchor.drain(DRAIN_SECONDS)
        for run_id in list(self._runs):
            self.abandon(run_id, InterruptedError())

    def drain(self, seconds: float) -> None:
        """Wait briefly for heads of ledgers that are not published yet."""
        self._anchor.drain(seconds)


@lru_cache(maxsize=1024)
def _span_name(goal: str) -> str:
    """The name of the span of a run."""
    return f"{names.INVOKE_WORKFLOW} {brief(goal, 100)}"


@contextmanager
def _attached(context: Context) -> Generator[None]:
    token = contexts.attach(context)
    try:
        yield
    finally:
        contexts.detach(token)


def traceparent_of(span: SpanContext) -> str:
    """The W3C trace context of a span; empty for one that is not valid."""
    if not span.is_valid:
        return ""
    return f"00-{format_trace_id(span.trace_id)}-{format_span_id(span.span_id)}-{span.trace_flags:02x}"


def span_context_of(traceparent: str) -> SpanContext | None:
    """The span that a W3C trace context names; `None` for none."""
    carried = trace.get_current_span(_PROPAGATOR.extract({"traceparent": traceparent}, Context())).get_span_context()
    return carried if carried.is_valid else None


def trace_id_of(traceparent: str) -> str:
    """The trace of a W3C trace context; empty for none."""
    return traceparent[3:35]


def _no_ids() -> tuple[str, str]:
    return "", ""


def _ids(span: SpanContext) -> tuple[str, str]:
    return (format_trace_id(span.trace_id), format_span_id(span.span_id)) if span.is_valid else ("", "")
