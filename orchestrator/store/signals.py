"""Signals between the processes of a store: hints that something changed. Only the tables are authoritative."""

from collections.abc import Callable
from typing import Final, Protocol

QUEUE: Final = "queue"
"""A run became runnable."""
HEALTH: Final = "health"
"""A circuit opened or closed."""

Listener = Callable[[], object]
"""Called from any thread; it must not block."""


class Signals(Protocol):
    """Carries hints, which may be lost, late or repeated."""

    @property
    def live(self) -> bool:
        """Whether a hint sent now would arrive; if not, processes poll more often."""
        ...

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` at each hint of the topic, and after each reconnection; returns what ends it."""
        ...

    def send(self, topic: str) -> None:
        """Notify the other processes soon; several hints of a topic are combined. Never blocks, never raises."""
        ...

    def close(self) -> None:
        """Stop sending and listening."""
        ...


class NoSignals:
    """For a store with one process, or without notifications: changes are found by polling."""

    live = False

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        """No signal ever arrives."""
        del topic, listener
        return _nothing

    def send(self, topic: str) -> None:
        """Do nothing."""
        del topic

    def close(self) -> None:
        """Do nothing."""


def _nothing() -> None:
    """Do nothing: there is no subscription."""


__all__ = ["HEALTH", "QUEUE", "Listener", "NoSignals", "Signals"]
