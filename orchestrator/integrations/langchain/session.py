"""Root runs of agents: one is open while an agent runs, and its tool calls are the children."""

import asyncio
import contextlib
import contextvars
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from langchain_core.runnables.config import var_child_runnable_config

from orchestrator.api import Orchestrator, call_again
from orchestrator.core.context import RunContext
from orchestrator.core.enums import Status
from orchestrator.core.errors import Unavailable
from orchestrator.core.events import Event, RunResumed, RunWaiting
from orchestrator.core.outcome import Outcome
from orchestrator.graph.tool import Tool
from orchestrator.store import MemoryStore

from .replies import as_data, from_data

GOAL: Final = "agent.run"
INPUT: Final = "agent.session"
NAME: Final = "agent run"
MAX_OPEN: Final = 1000
"""Sessions of agents that were interrupted and have not gone on; the oldest beyond it is closed."""
CLOSE_SECONDS: Final = 5.0
"""How long the end of a root run is waited for."""


@dataclass(frozen=True)
class SessionQuestion:
    """A person is asked before a call can go on."""

    text: str
    choices: tuple[str, ...]
    run_id: str
    """The run that an answer resumes."""
    id: str


class Session:
    """One root run, in the event loop that opened it."""

    def __init__(self, run_id: str, thread: str, replies: dict[str, Any]) -> None:
        self.run_id = run_id
        self.thread = thread
        self.loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[RunContext[Any]] = self.loop.create_future()
        self.closing = asyncio.Event()
        self.ended = "ended"
        """What the root run of an agent gives: whether it ended, or broke off. That of a node gives its replies."""
        self.root: asyncio.Task[Outcome[Any]] | None = None
        self.active = 0
        """Calls in progress."""
        self.working = 0
        """Calls in progress that no interrupt has stopped."""
        self.settled = asyncio.Event()
        """Set while no call works."""
        self.replies = replies
        """Key of a call -> its reply, for a graph that runs a node again. It outlives the root run: a call of the same
        turn may end before another one, which is interrupted, has begun."""
        self.pending: dict[str, asyncio.Task[Outcome[Any]]] = {}
        """Key of a call -> its child run, while it waits for a person."""
        self.questions: dict[str, SessionQuestion] = {}
        """Key of a call -> the question that it waits on."""
        self.interrupted = False
        """Whether the graph was interrupted since its last call."""
        self.keeps_replies = False
        """Whether its root run ends before the graph has recorded its replies: another process finds them there."""
        self.kept = False
        """Whether it stays open after its last call: an interrupted node runs again."""
        self._asked: dict[str, SessionQuestion] = {}
        """Run -> the question that it waits on, before its call has seen it."""
        self._listening: dict[str, asyncio.Future[SessionQuestion | None]] = {}
        """Key of a call -> where its next question goes."""
        self._resumed: dict[str, asyncio.Future[None]] = {}
        """Run -> where it is noted that it goes on."""

    @property
    def is_reachable(self) -> bool:
        """Whether its event loop still runs."""
        return self.loop.is_running()

    @property
    def is_awaited(self) -> bool:
        """Whether a call will come back: it was interrupted, waits for a person, or was answered and goes on."""
        return bool(self.kept or self.questions or self.pending)

    def begin(self) -> None:
        """Count a call in."""
        self.active += 1
        self.kept = self.kept and self.active > 1  # the node runs again
        self.work()

    def work(self) -> None:
        """A call works."""
        self.working += 1
        self.settled.clear()

    async def stopped(self, seconds: float) -> None:
        """A call is interrupted: wait until the other calls of the turn have ended, or are interrupted too.

        The graph drops what still runs when it is interrupted, so a write in flight would be cut off.
        """
        self.rest()
        await self.settle(seconds)

    async def settle(self, seconds: float) -> None:
        """Wait until no call works."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.working > 0:
                    await self.settled.wait()

    def rest(self) -> None:
        """A call works no more."""
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
        """The call waits no more."""
        self._listening.pop(key, None)

    def resuming(self, run_id: str) -> "asyncio.Future[None]":
        """Done when that run goes on."""
        return self._resumed.setdefault(run_id, self.loop.create_future())

    def note(self, event: RunWaiting | RunResumed) -> None:
        """Take in that a run below this one waits, or goes on.

        This one reports the questions of runs that waited already when this process took it on.
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
                self.questions[key] = made  # asked anew
                return
        self._asked[asks] = made


def is_child(run_id: str, key: str) -> bool:
    """Whether a run was started for the call with this key, or below one that was."""
    part = quote(key, safe="").replace("~", "%7E")
    _, found, rest = run_id.partition(f"/{NAME}/@{part}")
    return bool(found) and rest[:1] in ("", "/", "~", "%")


class Sessions:
    """The root runs of one orchestrator."""

    def __init__(self, orc: Orchestrator) -> None:
        self._orc = orc
        self._is_durable = not isinstance(orc.store, MemoryStore)
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._replies: OrderedDict[str, dict[str, Any]] = OrderedDict()
        """Root -> the replies to its calls, of the newest roots."""
        if NAME not in orc.graph.view().tools:
            orc.add(Tool(self._hold, name=NAME, needs={"session": INPUT}, gives=GOAL, timeout=1e7, share=True))
        orc.add_sink(self)

    async def _hold(self, run_context: RunContext[Any], session: str) -> Any:
        held = self._open.get(session)
        if held is None:
            raise Unavailable("the agent of this run is gone")
        if not held.opened.done():
            held.opened.set_result(run_context)
        await held.closing.wait()
        return as_data(held.replies) if held.keeps_replies and self._is_durable else held.ended

    def on_event(self, event: Event) -> None:
        """Note the questions of runs."""
        if isinstance(event, RunWaiting | RunResumed):
            held = self._open.get(event.run_id.partition("/")[0])
            if held is not None:
                held.note(event)

    def loop_of(self, run_id: str) -> asyncio.AbstractEventLoop | None:
        """The running loop that has the session of that id."""
        held = self._newest(run_id)
        return held.loop if held is not None and held.is_reachable else None

    def _newest(self, run_id: str) -> Session | None:
        found = [name for name in [*self._open] if _is_of(name, run_id)]
        return self._open.get(found[-1]) if found else None

    async def open(self, run_id: str, labels: Mapping[str, str]) -> Session:
        """The session of that id, opened when it is not; another one beside it when its run has ended already."""
        number = 1
        while True:
            name = run_id if number == 1 else f"{run_id}.{number}"
            held = self._open.get(name)
            if held is None:
                held = self._begin(name, run_id, labels)
            if not held.opened.done():
                await self._opening(held)
            if held.opened.done() and not held.closing.is_set() and held.loop is asyncio.get_running_loop():
                return held
            self._open.pop(name, None)
            if held.root is not None and held.root.done() and not held.root.cancelled():
                if held.root.exception() is not None:
                    raise held.root.exception() or Unavailable("the run of the agent could not be opened")
                _take_replies(held, held.root.result())
            number += 1

    async def _opening(self, held: Session) -> None:
        if held.loop is asyncio.get_running_loop() and held.root is not None:
            waited: set[asyncio.Future[Any]] = {asyncio.shield(held.opened), held.root}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)

    def _begin(self, name: str, root: str, labels: Mapping[str, str]) -> Session:
        replies = self._replies.pop(root, None)
        self._replies[root] = {} if replies is None else replies
        if len(self._replies) > MAX_OPEN:
            self._replies.popitem(last=False)
        held = self._open[name] = Session(name, labels.get("thread_id", ""), self._replies[root])
        work = self._drive(held, labels)
        context = _outside_of_graphs()
        held.root = held.loop.create_task(work, context=context)
        held.root.add_done_callback(_retrieve, context=context)
        if len(self._open) > MAX_OPEN:
            _let_end(self._open.popitem(last=False)[1])
        return held

    async def _drive(self, held: Session, labels: Mapping[str, str]) -> Outcome[Any]:
        outcome = await self._orc.run(GOAL, {INPUT: held.run_id}, run_id=held.run_id, labels=dict(labels))
        if outcome.status is Status.WAITING and not held.opened.done():  # a process that is gone began it
            outcome = await call_again(self._orc, held.run_id)
        return outcome

    async def close(self, run_id: str) -> None:
        """End the session of that id, if it is open: its run ends, and compensates nothing."""
        for name in [name for name in [*self._open] if _is_of(name, run_id)]:
            held = self._open.pop(name, None)
            if held is None:
                continue
            if held.loop is not asyncio.get_running_loop():
                _let_end(held)
                continue
            held.closing.set()
            if held.root is not None:
                await asyncio.wait({held.root}, timeout=CLOSE_SECONDS)

    def left(self, run_id: str, interrupted: bool) -> None:
        """The invocation of an agent has ended: its session ends too, unless the graph waits to go on."""
        for name in [name for name in [*self._open] if _is_of(name, run_id)]:
            held = self._open.get(name)
            if held is None:
                continue
            held.interrupted = interrupted
            if not interrupted and not held.is_awaited:
                self._open.pop(name, None)
                _let_end(held, "broke off")

    def rejoined(self, run_id: str) -> bool:
        """Whether a call is the first one after the agent was interrupted."""
        held = self._newest(run_id)
        if held is None or not held.interrupted:
            return False
        held.interrupted = False
        return True

    def restarted(self, thread: str) -> None:
        """An agent begins on a thread: sessions of that thread that nothing works in any more end."""
        for name, held in [*self._open.items()] if thread else ():
            if held.thread == thread and not held.active:
                self._open.pop(name, None)
                _let_end(held, "broke off")


def _take_replies(held: Session, outcome: Outcome[Any]) -> None:
    """Take in the replies that an ended root run has on record, in this process or another one."""
    if outcome.ok:
        for key, reply in from_data(outcome.value).items():
            held.replies.setdefault(key, reply)


def _outside_of_graphs() -> contextvars.Context:
    """The current context without LangGraph's: a root run is no part of the graph, and keeps nothing of it alive."""
    context = contextvars.copy_context()
    context.run(var_child_runnable_config.set, None)
    return context


def _is_of(name: str, run_id: str) -> bool:
    return name == run_id or name.startswith(f"{run_id}.")


def _let_end(held: Session, how: str = "ended") -> None:
    """Have the root run end in its own loop, from any thread."""
    held.ended = how
    with contextlib.suppress(RuntimeError):  # its loop is gone, and its run with it
        held.loop.call_soon_threadsafe(held.closing.set)


def _retrieve(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()


__all__ = ["Session", "SessionQuestion", "Sessions", "is_child"]
