"""Root runs of agents: one is open while an agent runs, and its tool calls are the children."""

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.api import Orchestrator
from orchestrator.core.context import RunContext
from orchestrator.core.errors import Unavailable
from orchestrator.core.events import Event, RunWaiting
from orchestrator.core.outcome import Outcome
from orchestrator.engine.options import RunOptions
from orchestrator.graph.tool import Tool

GOAL: Final = "agent.run"
INPUT: Final = "agent.session"
NAME: Final = "agent run"
MAX_OPEN: Final = 1000
"""Sessions of agents that were interrupted and have not gone on; the oldest beyond it is closed."""


@dataclass(frozen=True)
class Question:
    """A person is asked before a call can go on."""

    text: str
    choices: tuple[str, ...]
    run_id: str
    """The run that an answer resumes."""


class Session:
    """One root run."""

    def __init__(self, run_id: str, replies: dict[str, Any]) -> None:
        self.run_id = run_id
        self.opened: asyncio.Future[RunContext[Any]] = asyncio.get_running_loop().create_future()
        self.closing = asyncio.Event()
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
        self.questions: dict[str, Question] = {}
        """Key of a call -> the question that it waits on."""
        self.resuming: set[asyncio.Task[Any]] = set()
        self.asked: dict[str, Mapping[str, Any]] = {}
        """Run -> the question that it waits on."""
        self.question = asyncio.Event()
        self.interrupts: Counter[str] = Counter()
        """Key of a call -> how often it was interrupted; each time it is called again it is another child."""
        self.kept = False
        """Whether it stays open after its last call: an interrupted node runs again."""

    def begin(self) -> None:
        """Count a call in."""
        self.active += 1
        self.working += 1
        self.settled.clear()

    async def stopped(self, seconds: float) -> None:
        """A call is interrupted: wait until the other calls of the turn have ended, or are interrupted too.

        The graph drops what still runs when it is interrupted, so a write in flight would be cut off.
        """
        self.rest()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.settled.wait(), seconds)

    def rest(self) -> None:
        """A call works no more."""
        self.working -= 1
        if self.working <= 0:
            self.settled.set()


class Sessions:
    """The root runs of one orchestrator."""

    def __init__(self, orc: Orchestrator) -> None:
        self._orc = orc
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._replies: OrderedDict[str, dict[str, Any]] = OrderedDict()
        """Root -> the replies to its calls, of the newest roots."""
        if NAME not in orc.graph.view().tools:
            orc.add(Tool(self._hold, name=NAME, needs={"session": INPUT}, gives=GOAL, timeout=1e7, share=True))
        orc.add_sink(self)

    async def _hold(self, run_context: RunContext[Any], session: str) -> str:
        held = self._open.get(session)
        if held is None:
            raise Unavailable("the agent of this run is gone")
        if not held.opened.done():
            held.opened.set_result(run_context)
        await held.closing.wait()
        return "ended"

    def on_event(self, event: Event) -> None:
        """Note the questions of runs."""
        if isinstance(event, RunWaiting):
            held = self._open.get(event.run_id.partition("/")[0])
            if held is not None:
                held.asked[event.run_id] = event.question
                held.question.set()

    async def open(self, run_id: str, labels: Mapping[str, str]) -> Session:
        """The session of that id, opened when it is not; another one beside it when its run has ended already."""
        number = 1
        while True:
            name = run_id if number == 1 else f"{run_id}.{number}"
            held = self._open.get(name)
            if held is None:
                held = self._begin(name, run_id, labels)
            root = held.root
            assert root is not None
            waited: set[asyncio.Future[Any]] = {asyncio.shield(held.opened), root}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if held.opened.done() and not held.closing.is_set():
                return held
            self._open.pop(name, None)
            if root.done() and not root.cancelled() and root.exception() is not None:
                raise root.exception() or Unavailable("the run of the agent could not be opened")
            number += 1

    def _begin(self, name: str, root: str, labels: Mapping[str, str]) -> Session:
        replies = self._replies.pop(root, None)
        self._replies[root] = {} if replies is None else replies
        if len(self._replies) > MAX_OPEN:
            self._replies.popitem(last=False)
        held = self._open[name] = Session(name, self._replies[root])
        options: Any = {"run_id": name}
        if labels and "labels" in RunOptions.__annotations__:
            options["labels"] = dict(labels)
        held.root = asyncio.get_running_loop().create_task(self._orc.run(GOAL, {INPUT: name}, **options))
        held.root.add_done_callback(_retrieve)
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)[1].closing.set()
        return held

    async def close(self, run_id: str) -> None:
        """End the session of that id, if it is open: its run ends, and compensates nothing."""
        for name in [name for name in self._open if name == run_id or name.startswith(f"{run_id}.")]:
            held = self._open.pop(name)
            held.closing.set()
            if held.root is not None:
                await asyncio.wait({held.root}, timeout=5)

    async def close_all(self) -> None:
        """End every session."""
        for name in [*self._open]:
            await self.close(name)


def _retrieve(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()


__all__ = ["Session", "Sessions"]
