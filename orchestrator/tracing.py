"""Runs as OpenTelemetry spans. Library code uses the OpenTelemetry API only; `setup` makes an SDK on request."""

from opentelemetry.trace import TracerProvider

from .events import Event


class TracingSink:
    """Tells runs as spans."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider

    def open(self, run_id: str, goal: str, link: str = "") -> str:
        """Begin the span of a run in the current context; returns its W3C trace context."""
        return ""

    def on_event(self, event: Event) -> None:
        """Take one event."""
