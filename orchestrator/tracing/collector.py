"""A dead collector is given a rest: while spans cannot be delivered, runs build none, but for one now and then to see.

An exporter that fails has tried again for seconds, and the batch is lost: building the next ones would cost every call
and help nobody.
"""

import logging
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from orchestrator.conventions import SCOPE

LOG: Final = logging.getLogger(SCOPE)
REST: Final = 5.0
"""Seconds between two tries of a collector that is down."""


class Watched(SpanExporter):
    """An exporter that knows whether its last batch was delivered."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lock = threading.Lock()
        self._try_at = 0.0
        self.down = False
        """Whether the last batch was lost."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Deliver a batch, and note whether that was possible."""
        try:
            result = self._exporter.export(spans)
        except Exception:
            self._note(down=True)
            raise
        self._note(down=result is not SpanExportResult.SUCCESS)
        return result

    def _note(self, *, down: bool) -> None:
        if down != self.down:
            what = "cannot be reached: only a run now and then is traced until it can" if down else "is back"
            LOG.warning("The collector of spans %s", what)
        self.down = down

    def worth_it(self) -> bool:
        """Whether a new trace may be delivered: the collector is up, or it is time to try."""
        if not self.down:
            return True
        with self._lock:
            now = monotonic()
            due = now >= self._try_at
            if due:
                self._try_at = now + REST
            return due

    def shutdown(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held here."""
        return self._exporter.force_flush(timeout_millis)


class WhileDelivered(Sampler):
    """Leaves out new traces while the collector is down; what belongs to a trace that was begun is as it was begun."""

    def __init__(self, sampler: Sampler, exporter: Watched) -> None:
        self._sampler = sampler
        self._exporter = exporter

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """As the sampler says, where a trace can be delivered at all."""
        begun = get_current_span(parent_context).get_span_context().is_valid
        if not begun and not self._exporter.worth_it():
            return SamplingResult(Decision.DROP)
        return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def get_description(self) -> str:
        """For people."""
        return f"WhileDelivered({self._sampler.get_description()})"
