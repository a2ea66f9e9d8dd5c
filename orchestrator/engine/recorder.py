"""`Recorder`: the one place where a run's events are written to the ledger and passed to the sinks."""

from collections.abc import Callable, Sequence
from typing import Protocol

from orchestrator.core.calls.user_code import must_propagate
from orchestrator.core.clock import Clock
from orchestrator.core.event_records import to_body
from orchestrator.core.events import Event, ProblemReported, Progressed, Sink
from orchestrator.store.protocol import Store


class Shared(Protocol):
    """What the recorders of one orchestrator share."""

    @property
    def store(self) -> Store:
        """The store of the ledgers."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of the events' timestamps."""
        ...

    @property
    def sinks(self) -> Sequence[Sink]:
        """The sinks that observe every run."""
        ...


class Recorder:
    """Writes the events of one run to its ledger and passes them to the sinks, in order.

    A sink that fails is reported; the run continues. `token` is the fencing token: the store refuses the records of a
    worker that has lost the run.
    """

    def __init__(self, run_id: str, shared: Shared, token: int | None = None) -> None:
        self.run_id = run_id
        self.token = token
        self._store = shared.store
        self._clock = shared.clock
        self._sinks = shared.sinks
        self._own: tuple[Sink, ...] = ()
        self._fenced = False

    def follow(self, sink: Sink) -> Callable[[], None]:
        """Add a sink for this run alone; the returned function removes it."""
        self._own = (*self._own, sink)

        def leave() -> None:
            self._own = tuple(each for each in self._own if each is not sink)

        return leave

    def fence(self) -> None:
        """Stop writing and passing on events: another owner has the run."""
        self._fenced = True

    @property
    def followed(self) -> bool:
        """Whether a sink follows this run alone."""
        return bool(self._own)

    def publish(self, event: Event) -> None:
        """Write an event to the ledger and pass it to the sinks. `Progressed` is never stored."""
        if self._fenced:
            return
        if not isinstance(event, Progressed):
            self._store.append(event.run_id, type(event).__name__, to_body(event), event.at, self.token)
        for sink in (*self._sinks, *self._own):
            try:
                sink.on_event(event)
            except BaseException as error:
                if must_propagate(error):
                    raise
                self._report(sink, event, error)

    def _report(self, sink: Sink, event: Event, error: BaseException) -> None:
        if not isinstance(event, ProblemReported):
            message = f"{type(error).__name__}: {error}"
            self.publish(
                ProblemReported(run_id=self.run_id, at=self._clock.time(), source=type(sink).__name__, message=message)
            )


__all__ = ["Recorder"]
