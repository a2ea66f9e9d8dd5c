"""What a queue engine does for us: it carries an id to one worker, soon. The run's row is the truth."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class QueueTransport(Protocol):
    """Carries jobs, each of which is the id of a run that may start now; one may come twice, late, or never."""

    @property
    def name(self) -> str:
        """The engine's name."""
        ...

    def install(self, connection: Any) -> None:
        """Make the engine's tables where they are missing; `connection` is a psycopg connection in a transaction."""
        ...

    def send(self, connection: Any, run_ids: Sequence[str]) -> None:
        """Insert a job for each run, in the open transaction of this psycopg connection."""
        ...

    async def receive(self, wake: Callable[[str], None]) -> None:
        """Take jobs and call `wake` with the id of each; returns or raises when the engine stops, until cancelled."""
        ...


__all__ = ["QueueTransport"]
