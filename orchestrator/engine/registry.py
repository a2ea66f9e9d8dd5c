"""`RunRegistry`: the live and ended runs of one process by id; serialises operations on an id."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from threading import Lock
from typing import Any

from orchestrator.core.errors import InputError
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome

KEPT_OUTCOMES = 1024
"""Maximum number of cached outcomes of ended runs."""


class RunRegistry:
    """Registry of all runs of this process. Thread-safe; a run may live in any event loop."""

    def __init__(self) -> None:
        self._live: dict[str, Any] = {}
        self._ended: dict[str, tuple[Outcome[Any], str, Goal[Any]]] = {}
        self._lock = Lock()
        self._turns: dict[str, deque[Future[None]]] = {}
        self.closed = False
        """Whether the orchestrator is closed: it starts and continues no run any more."""

    def check_open(self) -> None:
        """Raises `InputError` when the orchestrator is closed."""
        if self.closed:
            raise InputError(
                "This orchestrator is closed. Make a new one to run goals; its plans and records can still be read."
            )

    def after_fork(self) -> None:
        """In a forked child: replace the locks and drop the runs, which belong to the parent."""
        self._lock = Lock()
        self._turns.clear()
        self._live.clear()

    # -- turns -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def turn(self, run_id: str) -> AsyncGenerator[None]:
        """Serialise operations on a run id: start, join, resume, answer, cancel and recovery of one id take turns, in
        order.

        The place in the queue is reserved before the first await, over all tasks, threads and event loops of the
        process. The store's claims exclude other processes.
        """
        mine: Future[None] = Future()
        with self._lock:
            queue = self._turns.setdefault(run_id, deque())
            queue.append(mine)
            first = queue[0] is mine
        try:
            if not first:
                await asyncio.shield(asyncio.wrap_future(mine))
            yield
        finally:
            self._pass_on(run_id, mine)

    def in_turn(self, run_id: str) -> bool:
        """Whether an operation on the id is in progress or waits for its turn."""
        return run_id in self._turns

    def _pass_on(self, run_id: str, mine: "Future[None]") -> None:
        with self._lock:
            queue = self._turns[run_id]
            was_first = queue[0] is mine
            queue.remove(mine)
            following = queue[0] if queue and was_first else None
            if not queue:
                del self._turns[run_id]
        if following is not None:
            following.set_result(None)

    # -- live runs ---------------------------------------------------------------------------------------------------

    def live(self, run_id: str) -> Any:
        """The live run with this id (a `Run`); `None` when this process has none."""
        return self._live.get(run_id)

    def all_live(self) -> list[Any]:
        """Every live run (`Run`) of this process."""
        return list(self._live.values())

    @property
    def by_id(self) -> dict[str, Any]:
        """A live view of the live runs by id."""
        return self._live

    def enter(self, run: Any) -> None:
        """Add a run that starts or is taken over."""
        self._live[run.state.run_id] = run

    def leave(self, run_id: str) -> None:
        """Remove a run that this process no longer drives."""
        self._live.pop(run_id, None)

    # -- ended runs --------------------------------------------------------------------------------------------------

    def outcome(self, run_id: str) -> tuple[Outcome[Any], str, Goal[Any]] | None:
        """The outcome of a run that ended in this process, the digest of its inputs, and the goal it was started
        for.
        """
        return self._ended.get(run_id)

    def remember(self, outcome: Outcome[Any], inputs_digest: str, wanted: Goal[Any]) -> None:
        """Keep the outcome of a run in memory, so that its id returns it again; the oldest are dropped."""
        self._ended[outcome.run_id] = (outcome, inputs_digest, wanted)
        while len(self._ended) > KEPT_OUTCOMES:
            self._ended.pop(next(iter(self._ended)), None)

    def forget_values(self, run_id: str) -> None:
        """Keep the outcome of an ended run without its values."""
        ended = self._ended.get(run_id)
        if ended is not None:
            self._ended[run_id] = (ended[0].without_values(), *ended[1:])


__all__ = ["RunRegistry"]
