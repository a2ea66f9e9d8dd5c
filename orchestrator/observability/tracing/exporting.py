"""`setup`: an OpenTelemetry SDK for users who have none. Nothing leaves the machine unless the environment says where.

The variables are OpenTelemetry's own: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`, `..._METRICS_ENDPOINT`),
`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`,
`OTEL_BSP_*`, `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` (`none` turns one off).
"""

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics, trace

from orchestrator.core.conventions import SCOPE

from .content import MAX_CONTENT, Redact, configure
from .sink import SINKS

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

LOG: Final = logging.getLogger(SCOPE)
FLUSH_SECONDS: Final = 2.0
"""Maximum seconds that the exit of the process waits for unsent spans."""
EXPORT_SECONDS: Final = 5.0
"""Default time-out of a request to the collector, in seconds."""
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"


def setup(
    *,
    service_name: str | None = None,
    capture_content: bool | None = None,
    redact: Redact | None = None,
    max_content: int = MAX_CONTENT,
) -> bool:
    """Send spans and metrics to the endpoint in the environment, if there is one and OpenTelemetry was not set up
    before.

    `capture_content` puts inputs and outputs on spans (`None`: as `ORCHESTRATOR_CAPTURE_CONTENT` says; default off),
    each value through `redact(key, value)` and cut to `max_content` characters; that holds for the user's own provider
    as well, and the hook for the prompts of an `AskModel` that may show contents and has no hook of its own. Returns
    whether an exporter was set up. A second call changes content capture only.

    Raises `DefinitionError` for a `max_content` below 1.
    """
    configure(on=capture_content, redact=redact, max_content=max_content)
    if _off("OTEL_SDK_DISABLED", "true"):
        return False
    spans, measures = _wanted("TRACES"), _wanted("METRICS")
    spans = spans and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    measures = measures and type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.metrics")
    if not (spans or measures):
        return False
    _check_protocol()
    _set_up(service_name, spans=spans, measures=measures)
    return True


def flush(seconds: float = FLUSH_SECONDS) -> bool:
    """Send what was not sent yet, for at most this time; returns whether all was sent. For programs that end
    abruptly.
    """
    return _exit.flush(seconds) if _exit is not None else True


def _wanted(signal: str) -> bool:
    return bool(_endpoint(signal)) and not _off(f"OTEL_{signal}_EXPORTER", "none")


def _endpoint(signal: str) -> str:
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or os.environ.get(_ENDPOINT, "")


def _off(variable: str, value: str) -> bool:
    return os.environ.get(variable, "").strip().lower() == value


def _check_protocol() -> None:
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if protocol != "http/protobuf":
        LOG.warning("OTLP goes by http/protobuf here; OTEL_EXPORTER_OTLP_PROTOCOL=%s is ignored", protocol)


def _set_up(service_name: str | None, *, spans: bool, measures: bool) -> None:
    global _exit
    from opentelemetry.sdk.resources import Resource

    name = service_name or os.environ.get("OTEL_SERVICE_NAME") or SCOPE
    resource = Resource.create({"service.name": name})
    steps: list[Callable[[], object]] = [_drain]
    if spans:
        tracing = _tracer_provider(resource)
        trace.set_tracer_provider(tracing)
        steps.append(tracing.force_flush)
    if measures:
        metering = _meter_provider(resource)
        metrics.set_meter_provider(metering)
        steps.append(metering.force_flush)
    _exit = _Exit(steps)
    atexit.register(_exit.at_exit)


def _drain() -> None:
    """Wait for the thread that publishes the heads of ledgers."""
    for sink in list(SINKS):
        sink.drain(FLUSH_SECONDS / 4)


def _tracer_provider(resource: "Resource") -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from .collector import SampledWhileDelivered, Watched, collector_listens, not_while_asking

    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = Watched(OTLPSpanExporter(timeout=_timeout("TRACES")), collector_listens(_endpoint("TRACES")))
    logging.getLogger(OTLPSpanExporter.__module__).addFilter(not_while_asking)
    made.sampler = SampledWhileDelivered(made.sampler, exporter)
    made.add_span_processor(BatchSpanProcessor(exporter))
    return made


def _meter_provider(resource: "Resource") -> "MeterProvider":
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    reader = PeriodicExportingMetricReader(OTLPMetricExporter(timeout=_timeout("METRICS")))
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False)


def _timeout(signal: str) -> float | None:
    stated = os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") or os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT")
    return None if stated else EXPORT_SECONDS


class _Exit:
    """Flushes in an existing thread: at the exit of a process none can be started any more (Python 3.12)."""

    def __init__(self, steps: list[Callable[[], object]]) -> None:
        self._steps = steps
        self._pid = os.getpid()
        self._asked = threading.Semaphore(0)
        self._done = threading.Event()
        threading.Thread(target=self._work, name="orchestrator-flush", daemon=True).start()

    def flush(self, seconds: float) -> bool:
        """Request a flush and wait for its end."""
        if os.getpid() != self._pid:
            return False  # a forked child has no such thread; the parent sends its own spans
        self._done.clear()
        self._asked.release()
        return self._done.wait(seconds)

    def at_exit(self) -> None:
        """Flush briefly at the exit of the process."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # no messages about a dead collector at exit
        self.flush(FLUSH_SECONDS)

    def _work(self) -> None:
        while True:
            self._asked.acquire()
            for step in self._steps:
                with contextlib.suppress(Exception):
                    step()
            self._done.set()


_exit: _Exit | None = None
