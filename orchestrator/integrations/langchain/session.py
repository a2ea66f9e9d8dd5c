"""A root run of an agent: it is open while the agent runs, and its tool calls are the children."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from orchestrator.core.context import RunContext
from orchestrator.core.events import RunResumed, RunWaiting
from orchestrator.core.outcome import Outcome

NAME: Final = "agent run"
"""The tool that runs as long as the agent does."""


@dataclass(frozen=True)
class SessionQuestion:
    """A question to a person that blocks a call."""

    text: str
    choices: tuple[str, ...]
    run_id: str
    """The run that is resumed by the answer."""
    id: str


class Session:
    """One root run, in the event loop that opened it."""

    def __init__(self, run_id: str, thread: str, replies: dict[str, Any]) -> None:
        self.run_id = run_id
        self.thread = thread
        self.owner: object = None
        """The middleware that opened it."""
        self.loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[RunContext[Any]] = self.loop.create_future()
        self.begun = asyncio.Event()
        """Set when `opened` is done, or the root run has ended without."""
        self.closing = asyncio.Event()
        self.ended = "ended"
        """The result of the root run: for an agent whether it ended or was interrupted, for a node its replies."""
        self.root: asyncio.Task[Outcome[Any]] | None = None
        self.active = 0
        """Calls in progress."""
        self.working = 0
        """Calls in progress that are not interrupted."""
        self.settled = asyncio.Event()
        """Set while no call is working."""
        self.replies = replies
        """Key of a call -> its reply, for a graph that runs a node again. It outlives the root run: a call of the same
        turn may end before another one, which is interrupted, has started.
        """
        self.pending: dict[str, asyncio.Task[Outcome[Any]]] = {}
        """Key of a call -> its child run, while it waits for a person."""
        self.questions: dict[str, SessionQuestion] = {}
        """Key of a call -> the question that it waits on."""
        self.interrupted = False
        """Whether the graph was interrupted since its last call."""
        self.keeps_replies = False
        """Whether its root run ends before the graph has recorded its replies, which another process then reads from
        the run.
        """
        self.kept = False
        """Whether it stays open after its last call, because an interrupted node runs again."""
        self._asked: dict[str, SessionQuestion] = {}
        """Run -> its question, before its call has received it."""
        self._listening: dict[str, asyncio.Future[SessionQuestion | None]] = {}
        """Key of a call -> where its next question goes."""
        self._resumed: dict[str, asyncio.Future[None]] = {}
        """Run -> where it is noted that it continues."""

    @property
    def is_reachable(self) -> bool:
        """Whether its event loop still runs."""
        return self.loop.is_running()

    @property
    def is_awaited(self) -> bool:
        """Whether a call will continue: it was interrupted, waits for a person, or was answered."""
        return bool(self.kept or self.questions or self.pending)

    def begin(self) -> None:
        """Count a call that starts."""
        self.active += 1
        self.kept = self.kept and self.active > 1  # the node runs again
        self.work()

    def work(self) -> None:
        """Mark a call as working."""
        self.working += 1
        self.settled.clear()

    async def stopped(self, seconds: float) -> None:
        """Mark a call as interrupted, and wait until the other calls of the turn have ended or are interrupted too.

        An interrupted graph drops running calls, so a write in flight would be cut off.
        """
        self.rest()
        await self.settle(seconds)

    async def settle(self, seconds: float) -> None:
        """Wait until no call is working."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.working > 0:
                    await self.settled.wait()

    def rest(self) -> None:
        """Mark a call as not working."""
        self.working -= 1
        if self.working <= 0:
            self.settled.set()

    # -- questions ---------------------------------------------------------------------------------------------------

    def listen(self, key: str) -> "asyncio.Future[SessionQuestion | None]":
        """The next question of a call: its child run's, or one of the runs below that."""
        notice = self._listening[key] = self.loop.create_future()
        for run_id in [run_id for run_id in self._asked if is_child(run_id, key)]:
            notice.set_result(self._asked.pop(run_id))
            break
        return notice

    def stop_listening(self, key: str) -> None:
        """Stop waiting for questions of the call."""
        self._listening.pop(key, None)

    def resuming(self, run_id: str) -> "asyncio.Future[None]":
        """A future that is done when that run continues."""
        return self._resumed.setdefault(run_id, self.loop.create_future())

    def note(self, event: RunWaiting | RunResumed) -> None:
        """Record that a child run waits, or continues.

        It also reports the questions of runs that were already waiting when this process took over.
        """
        if isinstance(event, RunResumed):
            self._asked.pop(event.run_id, None)
            for key in [key for key, question in self.questions.items() if question.run_id == event.run_id]:
                del self.questions[key]
            resumed = self._resumed.pop(event.run_id, None)
            if resumed is not None and not resumed.done():
                resumed.set_result(None)
            return
        asked = event.question
        text, choices = str(asked.get("text", "")), tuple(asked.get("choices", ()))
        asks = str(asked.get("run") or event.run_id)
        made = SessionQuestion(text, choices, asks, str(asked.get("id", "")))
        if made in (*self._asked.values(), *self.questions.values()):
            return
        for key, notice in self._listening.items():
            if is_child(asks, key) and not notice.done():
                notice.set_result(made)
                return
        for key in self.questions:
            if is_child(asks, key):
                self.questions[key] = made  # asked again
                return
        self._asked[asks] = made


def is_child(run_id: str, key: str) -> bool:
    """Whether a run was started for the call with this key, or below one that was."""
    part = quote(key, safe="").replace("~", "%7E")
    _, found, rest = run_id.partition(f"/{NAME}/@{part}")
    return bool(found) and rest[:1] in ("", "/", "~", "%")


__all__ = ["NAME", "Session", "SessionQuestion", "is_child"]
