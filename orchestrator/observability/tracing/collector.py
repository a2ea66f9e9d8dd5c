"""Suspends tracing while the collector is unreachable; a thread checks when it is back.

An exporter fails only after retrying for seconds, and the batch is lost, so further spans would cost time without use.
A run that starts while the collector is down has no spans, also when the collector comes back meanwhile.
"""

import logging
import random
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes
from typing_extensions import override

from orchestrator.core.conventions import SCOPE
from orchestrator.core.process.forks import new_lock

LOG: Final = logging.getLogger(SCOPE)
REST: Final = 1.0
"""Seconds until a collector that is down is polled for the first time; doubled after each failure."""
LONGEST_REST: Final = 60.0
ASKING: Final = "orchestrator-collector"
"""The name of the thread that polls the collector."""
_CONNECT_SECONDS: Final = 1.0


class Watched(SpanExporter):
    """An exporter that knows whether its last batch was delivered, and polls until the next one can be.

    `answers` checks cheaply whether a collector is listening; only then an empty batch is sent.
    """

    def __init__(self, exporter: SpanExporter, answers: Callable[[], bool] = lambda: True, rest: float = REST) -> None:
        self._exporter = exporter
        self._answers = answers
        self._rest = rest
        self._lock = new_lock()
        self._ended = threading.Event()
        self._asking: threading.Thread | None = None
        self.down = False
        """Whether the last batch was lost."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Deliver a batch and note whether that succeeded; while the collector is known to be down, the batch is
        dropped.
        """
        if self.down:
            return SpanExportResult.FAILURE
        try:
            delivered = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:
            self._note(down=True)
            raise
        self._note(down=not delivered)
        return SpanExportResult.SUCCESS if delivered else SpanExportResult.FAILURE

    def worth_it(self) -> bool:
        """Whether a new trace can be delivered."""
        if self.down:
            self._start_polling()  # a forked child has the exporter, but not the thread
        return not self.down

    def _note(self, *, down: bool) -> None:
        if down != self.down:
            LOG.warning("The collector of spans %s", "cannot be reached: no run is traced" if down else "is back")
        self.down = down
        if down:
            self._start_polling()

    def _start_polling(self) -> None:
        if self._asking is not None and self._asking.is_alive():
            return
        with self._lock:
            if (self._asking is None or not self._asking.is_alive()) and not self._ended.is_set():
                self._asking = threading.Thread(target=self._ask, name=ASKING, daemon=True)
                self._asking.start()

    def _ask(self) -> None:
        """Poll with back-off and jitter until the collector is back."""
        rest = self._rest
        while not self._ended.wait(rest * random.uniform(0.75, 1.25)):
            if self._is_back():
                self._note(down=False)
                return
            rest = min(2 * rest, LONGEST_REST)

    def _is_back(self) -> bool:
        try:
            return self._answers() and self._exporter.export(()) is SpanExportResult.SUCCESS
        except Exception:
            return False

    def shutdown(self) -> None:
        """End the exporter."""
        self._ended.set()
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: this exporter has no buffer."""
        return self._exporter.force_flush(timeout_millis)


class SampledWhileDelivered(Sampler):
    """Drops new traces while the collector is down; spans of a trace that was started follow its decision."""

    def __init__(self, sampler: Sampler, exporter: Watched) -> None:
        self._sampler = sampler
        self._exporter = exporter

    @override
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
        """The decision of the wrapped sampler, unless the trace cannot be delivered."""
        begun = get_current_span(parent_context).get_span_context().is_valid
        if not begun and not self._exporter.worth_it():
            return SamplingResult(Decision.DROP)
        return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def get_description(self) -> str:
        """For people."""
        return f"SampledWhileDelivered({self._sampler.get_description()})"


def collector_listens(endpoint: str) -> Callable[[], bool]:
    """Whether an endpoint accepts connections; true behind a proxy, where it is unknown."""
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)

    def look() -> bool:
        if getproxies() or not parts.hostname:
            return True
        try:
            socket.create_connection((parts.hostname, port), _CONNECT_SECONDS).close()
        except OSError:
            return False
        return True

    return look


def not_while_asking(record: logging.LogRecord) -> bool:
    """A filter for an exporter's logger that drops repeated messages about a collector that is still down."""
    return record.threadName != ASKING
