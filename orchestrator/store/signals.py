"""Signals between the processes of a store: hints that something changed. The tables are the truth."""

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
        """Whether a hint that is sent now would arrive: who may not rely on it looks more often."""
        ...

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` at each hint of the topic, and after each reconnection; returns what ends it."""
        ...

    def send(self, topic: str) -> None:
        """Tell the other processes, soon; several hints of a topic become one. Never blocks, never raises."""
        ...

    def close(self) -> None:
        """Send and listen no more."""
        ...


class NoSignals:
    """For a store that only one process listens to, or that carries no hints: who waits for a change looks for it."""

    live = False

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        """No signal ever arrives."""
        del topic, listener
        return _nothing

    def send(self, topic: str) -> None:
        """Nobody listens."""
        del topic

    def close(self) -> None:
        """Nothing is open."""


def _nothing() -> None:
    """Ends a subscription that never began."""


__all__ = ["HEALTH", "QUEUE", "Listener", "NoSignals", "Signals"]
