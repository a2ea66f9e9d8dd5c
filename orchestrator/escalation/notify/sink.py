"""`NotificationSink`: notifies people when a run begins to wait."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from orchestrator.core.clock import Clock
from orchestrator.core.events import Event, RunEnded, RunResumed, RunWaiting
from orchestrator.core.route import Impasse
from orchestrator.escalation.question import Question

from .channels import announce

LOG: Final = logging.getLogger("orchestrator.escalation")


class NotificationSink:
    """Notifies people through the channels of the rung that asks, once the question is on record.

    It never delays a run. `report` is called with the run's id and one line for each error (default: a warning
    in the log); `drain` waits for what is under way.
    """

    def __init__(
        self, rungs: Iterable[object], report: Callable[[str, str], object] | None = None, clock: Clock | None = None
    ) -> None:
        self._rungs = tuple(rungs)
        self._report = report or _warn
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, RunWaiting] = {}

    @property
    def notifies(self) -> bool:
        """Whether any rung has a channel to notify people through."""
        return any(getattr(rung, "notify", ()) for rung in self._rungs)

    def on_event(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RunWaiting) and self.notifies:
            self._waiting[event.run_id] = event
        elif isinstance(event, RunResumed | RunEnded):
            self._waiting.pop(event.run_id, None)

    def on_record(self, run_id: str) -> None:
        """Notify people of that run, if it waits: its question is on record. Called on the event loop of the run."""
        event = self._waiting.pop(run_id, None)
        if event is not None:
            task = asyncio.get_running_loop().create_task(self._notify(event))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def drain(self) -> None:
        """Wait until all notifications have been sent."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _notify(self, event: RunWaiting) -> None:
        question, impasse = Question.from_json(event.question), Impasse.from_json(event.impasse)
        for problem in await announce(self._rungs, question, impasse, self._clock):
            self._report(event.run_id, problem)


def _warn(run_id: str, problem: str) -> None:
    LOG.warning("run %s waits, and a notification failed: %s", run_id, problem)
