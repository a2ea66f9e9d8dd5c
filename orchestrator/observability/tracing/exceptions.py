"""Exceptions of failed attempts: span events, or log records where `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN` says so."""

import os
from typing import Final

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger_provider
from opentelemetry.trace import Span, set_span_in_context

from orchestrator.core import conventions as names

from .attributes import Attributes

OPT_IN: Final = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
"""`logs`: log records instead of span events; `logs/dup`: both."""


def report_exception(span: Span, found: Attributes) -> None:
    """Report the exception behind a failed attempt before its span ends."""
    wanted = {word.strip().lower() for word in os.environ.get(OPT_IN, "").split(",")}
    if not wanted & {"logs", "logs/dup"}:
        span.add_event(names.EXCEPTION, found)
        return
    if "logs/dup" in wanted:
        span.add_event(names.EXCEPTION, found)
    record = LogRecord(
        context=set_span_in_context(span),
        severity_number=SeverityNumber.ERROR,
        severity_text="ERROR",
        body=str(found.get(names.EXCEPTION_MESSAGE, "")),
        attributes=dict(found),
        event_name=names.EXCEPTION,
    )
    get_logger_provider().get_logger(names.SCOPE).emit(record)


__all__ = ["OPT_IN", "report_exception"]
