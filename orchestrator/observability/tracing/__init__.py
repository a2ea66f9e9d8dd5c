"""Runs as OpenTelemetry spans, metrics and log records. Library code uses the API only; `setup` makes an SDK."""

from .content import Capture, Redact
from .exporting import flush, setup
from .sink import Opened, TracingSink, trace_id_of

__all__ = ["Capture", "Opened", "Redact", "TracingSink", "flush", "setup", "trace_id_of"]
