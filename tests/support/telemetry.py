"""What tests of telemetry share: spans in memory, and a real OTLP/HTTP receiver."""

import gzip
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@dataclass
class Recorder:
    """A tracer provider that keeps its spans."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    provider: TracerProvider = field(default_factory=lambda: TracerProvider(shutdown_on_exit=False))

    def __post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Every span that has ended, in the order in which they began."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of a name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The one span of a name."""
        found = self.named(name)
        assert len(found) == 1, f"{len(found)} spans are named {name!r}: {[span.name for span in self.spans]}"
        return found[0]

    def tree(self) -> list[str]:
        """The spans as lines, indented by depth."""
        return _tree(self.spans, None, 0, {id_of(span) for span in self.spans})

    def tracer(self) -> Any:
        """A tracer of the user's own."""
        return self.provider.get_tracer("user")


def id_of(span: ReadableSpan) -> int:
    """The id of a span."""
    assert span.context is not None
    return span.context.span_id


def parent_of(span: ReadableSpan) -> int | None:
    """The id of a span's parent."""
    return span.parent.span_id if span.parent else None


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    """The attributes of a span."""
    return dict(span.attributes or {})


def _tree(spans: Sequence[ReadableSpan], parent: int | None, depth: int, known: set[int]) -> list[str]:
    lines: list[str] = []
    for span in spans:
        above = parent_of(span)
        if above == parent or (parent is None and above not in known):
            lines.append("  " * depth + span.name)
            lines += _tree(spans, id_of(span), depth + 1, known)
    return lines


@dataclass
class Receiver:
    """What an OTLP/HTTP receiver was sent."""

    port: int = 0
    spans: list[OtlpSpan] = field(default_factory=list[OtlpSpan])
    metrics: dict[str, Any] = field(default_factory=dict[str, Any])
    bodies: list[bytes] = field(default_factory=list[bytes])

    @property
    def endpoint(self) -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self.port}"

    def take(self, path: str, body: bytes) -> None:
        """Read one request."""
        self.bodies.append(body)
        if path == "/v1/traces":
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
        elif path == "/v1/metrics":
            for found in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for measured in found.scope_metrics:
                    self.metrics.update({metric.name: metric for metric in measured.metrics})


@contextmanager
def receiving() -> Generator[Receiver]:
    """A real receiver on loopback."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        """Takes everything."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.take(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
