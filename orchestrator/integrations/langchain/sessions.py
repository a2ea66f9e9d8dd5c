"""The root runs of an orchestrator's agents: opened, joined after an interrupt, ended."""

import asyncio
import contextlib
import contextvars
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

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
from .session import NAME, Session

GOAL: Final = "agent.run"
INPUT: Final = "agent.session"
MAX_OPEN: Final = 1000
"""Maximum number of sessions of interrupted agents; beyond it the oldest is closed."""
CLOSE_SECONDS: Final = 5.0
"""Seconds to wait for the end of a root run."""


_EVERY: Final["weakref.WeakSet[Sessions]"] = weakref.WeakSet()
"""The sessions of all orchestrators of this process."""


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
        _EVERY.add(self)

    async def _hold(self, run_context: RunContext[Any], session: str) -> Any:
        held = self._open.get(session)
        if held is None:
            raise Unavailable("the agent of this run is gone")
        if not held.opened.done():
            held.opened.set_result(run_context)
            held.begun.set()
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
        held = self.newest(run_id)
        return held.loop if held is not None and held.is_reachable else None

    def newest(self, run_id: str) -> Session | None:
        """The session of that id, or the last one beside it."""
        found = [name for name in [*self._open] if _is_of(name, run_id)]
        return self._open.get(found[-1]) if found else None

    async def open(self, run_id: str, labels: Mapping[str, str]) -> Session:
        """The session of that id, opened if necessary; a new one with another id when its run has already ended."""
        number = 1
        while True:
            name = run_id if number == 1 else f"{run_id}.{number}"
            held = self._open.get(name)
            if held is None:
                self._take_over(run_id)
                held = self._begin(name, run_id, labels)
            if not held.opened.done():
                await self._opening(held)
            if held.opened.done() and not held.closing.is_set() and held.loop is asyncio.get_running_loop():
                return held
            self._open.pop(name, None)
            if held.loop is not asyncio.get_running_loop():
                _let_end(held, "broke off")
            if held.root is not None and held.root.done() and not held.root.cancelled():
                if held.root.exception() is not None:
                    raise held.root.exception() or Unavailable("the run of the agent could not be opened")
                _take_replies(held, held.root.result())
            number += 1

    def _take_over(self, run_id: str) -> None:
        """Continue the session of another agent object of this process: a program may create one for each request."""
        for other in [*_EVERY]:
            held = None if other is self else other.newest(run_id)
            if held is None or held.active:
                continue
            self._replies.setdefault(run_id, held.replies)
            other._open.pop(held.run_id, None)
            _let_end(held, "broke off")

    async def _opening(self, held: Session) -> None:
        if held.loop is asyncio.get_running_loop() and held.root is not None:
            await held.begun.wait()

    def _begin(self, name: str, root: str, labels: Mapping[str, str]) -> Session:
        replies = self._replies.pop(root, None)
        self._replies[root] = {} if replies is None else replies
        if len(self._replies) > MAX_OPEN:
            self._replies.popitem(last=False)
        held = self._open[name] = Session(name, labels.get("thread_id", ""), self._replies[root])
        work = self._drive(held, labels)
        context = _outside_of_graphs()
        held.root = held.loop.create_task(work, context=context)
        held.root.add_done_callback(partial(_over, held), context=context)
        if len(self._open) > MAX_OPEN:
            _let_end(self._open.popitem(last=False)[1])
        return held

    async def _drive(self, held: Session, labels: Mapping[str, str]) -> Outcome[Any]:
        outcome = await self._orc.run(GOAL, {INPUT: held.run_id}, run_id=held.run_id, labels=dict(labels))
        if outcome.status is Status.WAITING and not held.opened.done():  # it was started by a process that is gone
            outcome = await call_again(self._orc, held.run_id)
        return outcome

    async def end(self, run_id: str) -> None:
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
        """End the session after the invocation of an agent, unless the graph waits to continue."""
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
        held = self.newest(run_id)
        if held is None or not held.interrupted:
            return False
        held.interrupted = False
        return True

    def restarted(self, thread: str) -> None:
        """End idle sessions of a thread when an agent starts on it."""
        for name, held in [*self._open.items()] if thread else ():
            if held.thread == thread and not held.active:
                self._open.pop(name, None)
                _let_end(held, "broke off")


def _take_replies(held: Session, outcome: Outcome[Any]) -> None:
    """Read the replies that an ended root run has recorded, in this process or another one."""
    if outcome.ok:
        for key, reply in from_data(outcome.value).items():
            held.replies.setdefault(key, reply)


def _outside_of_graphs() -> contextvars.Context:
    """The current context without LangGraph's variables: a root run is not part of the graph and must not keep it
    alive.
    """
    context = contextvars.copy_context()
    context.run(var_child_runnable_config.set, None)
    return context


def _is_of(name: str, run_id: str) -> bool:
    return name == run_id or name.startswith(f"{run_id}.")


def _let_end(held: Session, how: str = "ended") -> None:
    """End the root run in its own loop; callable from any thread."""
    held.ended = how
    with contextlib.suppress(RuntimeError):  # its loop is gone, and its run with it
        held.loop.call_soon_threadsafe(held.closing.set)


def _over(held: Session, task: "asyncio.Task[Any]") -> None:
    held.begun.set()
    if not task.cancelled():
        task.exception()


__all__ = ["Sessions"]
