"""Asks people through interrupts of a graph, and assigns each answer to its call of a turn."""

import asyncio
import contextlib
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import interrupt

from .session import SessionQuestion

MAX_TASKS: Final = 1000
"""Maximum number of graph tasks whose answers are tracked; beyond it the oldest is dropped."""
_SEND: Final = "orchestrator_send"
"""The field of `configurable` that holds the function of the task which a call's own replaces."""
UNASKED: Final = object()
"""The answer if the graph has no checkpointer and cannot wait."""


def configurable_of(request: ToolCallRequest) -> Mapping[str, Any]:
    """The `configurable` of the graph around a call."""
    return request.runtime.config.get("configurable", {})  # pyright: ignore[reportUnknownMemberType]


class Asking:
    """Asks for the calls of all graph tasks of this process: a program may make a node anew for each request."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, _Task] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, request: ToolCallRequest, question: SessionQuestion, key: str, problem: str) -> Any:
        """The answer of a person to a question of the call with this key; `UNASKED` if there is no person to ask.

        `problem` is why the previous answer was invalid. Raises `GraphInterrupt` until there is an answer.
        """
        configurable = configurable_of(request)
        if configurable.get("__pregel_checkpointer") is None:
            return UNASKED
        shown = {"question": question.text, "choices": list(question.choices), "run_id": question.run_id}
        if problem:
            shown["problem"] = problem
        return self._task(configurable).ask(key, shown, _execution(configurable), alone=_is_alone(request))

    def needs_record(self, request: ToolCallRequest) -> bool:
        """Whether the graph has answers for a task that this process does not know."""
        execution = _execution(configurable_of(request))
        has_answers = execution is not None and (execution.resume or execution.get_null_resume(False) is not None)
        return bool(has_answers) and not self.knows(request)

    def isolate(self, request: ToolCallRequest, key: str) -> None:
        """Give interrupts of the tool the answers of this call alone, if other calls of the task may interrupt too."""
        configurable = configurable_of(request)
        real, send = _execution(configurable), configurable.get("__pregel_send")
        if real is None or send is None or configurable.get("__pregel_checkpointer") is None or _is_alone(request):
            return
        isolated = CallScratchpad(real, self._task(configurable), f"{key} interrupt")
        config: Any = request.runtime.config  # pyright: ignore[reportUnknownMemberType]
        config["configurable"] = {
            **configurable,
            "__pregel_scratchpad": isolated,
            "__pregel_send": partial(_send, configurable.get(_SEND) or send),
            _SEND: configurable.get(_SEND) or send,
        }

    def interruption(self, request: ToolCallRequest, error: Exception) -> Exception:
        """The exception to raise for one by which a tool interrupts the graph."""
        configurable = configurable_of(request)
        isolated = configurable.get("__pregel_scratchpad")
        if not isinstance(isolated, CallScratchpad):
            return error
        task = self._task(configurable)
        if isinstance(error, GraphInterrupt):
            return task.interruption(isolated.owner, error, direct=isolated.is_asking)
        if not isinstance(error, GraphBubbleUp):
            task.reject(isolated.owner)
        return error

    def knows(self, request: ToolCallRequest) -> bool:
        """Whether this process has asked for the task of a call before."""
        with self._lock:
            return _task_name(configurable_of(request)) in self._tasks

    def take_on(self, request: ToolCallRequest, shown: Mapping[str, Any]) -> None:
        """Continue where another process stopped: `shown` is the value of its `shown`."""
        self._task(configurable_of(request)).take_on(shown)

    def shown(self, request: ToolCallRequest) -> dict[str, Any]:
        """The call of the task for which a person is asked, and the number of earlier answers, as plain data."""
        return self._task(configurable_of(request)).shown

    async def delivered(self, request: ToolCallRequest, seconds: float) -> None:
        """Wait until the other calls of the turn have taken their answers."""
        task = self._task(configurable_of(request))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while task.has_answers:  # noqa: ASYNC110 - calls may be in other threads
                    await asyncio.sleep(0.002)

    def _task(self, configurable: Mapping[str, Any]) -> "_Task":
        with self._lock:
            name = _task_name(configurable)
            task = self._tasks.setdefault(name, _Task())
            if len(self._tasks) > MAX_TASKS:
                self._tasks.popitem(last=False)
        return task


def _execution(configurable: Mapping[str, Any]) -> Any:
    """What identifies an execution of a task; `None` outside of graphs."""
    found = configurable.get("__pregel_scratchpad")
    return found.real if isinstance(found, CallScratchpad) else found


def _send(send: Callable[[Any], None], writes: Sequence[tuple[str, Any]]) -> None:
    """Send the writes of a tool, but for the answers of its call alone: the task has recorded those of all calls."""
    send([write for write in writes if write[0] != "__resume__"])


def _task_name(configurable: Mapping[str, Any]) -> str:
    return f"{configurable.get('thread_id')}/{configurable.get('__pregel_task_id')}"


class _Task:
    """The questions of one graph task, over all its executions.

    LangGraph numbers the answers of a task and returns them by number to the first that asks. The order of the calls
    differs between executions, and a call that has ended is not made again. So one question is shown at a time, and an
    answer belongs to the call whose question was shown.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: list[str] = []
        """For each answer, whose question it answers; empty if that is unknown."""
        self._values: list[Any] = []
        """The answers of the current execution, in LangGraph's order."""
        self._fresh: defaultdict[str, deque[Any]] = defaultdict(deque)
        """Owner -> answers that it has not taken."""
        self._asks = ""
        """Whose question is shown."""
        self._execution: Any = None
        self._raised: GraphInterrupt | None = None
        """The interrupt that this execution raises."""

    @property
    def has_answers(self) -> bool:
        """Whether an answer waits for its call."""
        return any([*self._fresh.values()])

    @property
    def shown(self) -> dict[str, Any]:
        return {"asks": self._asks, "taken": len(self._owners), "owners": [*self._owners]}

    def take_on(self, shown: Mapping[str, Any]) -> None:
        with self._lock:
            if not self._asks and not self._owners:
                self._asks = str(shown.get("asks", ""))
                self._owners = [*shown.get("owners", [""] * int(shown.get("taken", 0)))]

    def ask(self, key: str, question: Any, execution: Any, *, alone: bool) -> Any:
        with self._lock:
            self._begin(execution, key if alone else "")
            if self._fresh[key]:
                return self._fresh[key].popleft()
            raise self._interrupt(key, question)

    # -- interrupts by tools -----------------------------------------------------------------------------------------

    def taken(self, owner: str, execution: Any) -> list[Any]:
        """The answers that an owner took in earlier executions, or earlier in this one."""
        with self._lock:
            self._begin(execution, "")
            own = [value for name, value in zip(self._owners, self._values, strict=False) if name == owner]
            return own[: len(own) - len(self._fresh[owner])]

    def next(self, owner: str, *, consume: bool) -> Any:
        """The next answer of an owner; `None` if there is none."""
        with self._lock:
            waiting = self._fresh[owner]
            if not waiting:
                return None
            return waiting.popleft() if consume else waiting[0]

    def interruption(self, owner: str, error: GraphInterrupt, *, direct: bool) -> GraphInterrupt:
        """The interrupt to raise for a tool that raised one; `direct` unless it came from a subgraph."""
        with self._lock:
            first: Any = error.args[0][0] if direct and error.args and error.args[0] else None
            if first is not None:
                return self._interrupt(owner, first.value, getattr(first, "response_schema", None))
            if self._raised is None:
                self._raised, self._asks = error, owner
            return GraphInterrupt(*self._raised.args)

    def reject(self, owner: str) -> None:
        """The last answer was invalid; its question is still shown."""
        with self._lock:
            if self._owners and self._owners[-1] == owner:
                self._owners[-1] = ""
                self._asks = owner

    def _begin(self, execution: Any, alone: str) -> None:
        """Record the answers of an execution, once."""
        if execution is not None and self._execution is execution:
            return
        self._execution, self._raised, self._values = execution, None, []
        with contextlib.suppress(GraphInterrupt):  # no further answer
            while True:
                self._values.append(interrupt(None))
        del self._owners[len(self._values) :]  # answers that the graph did not record
        for value in self._values[len(self._owners) :]:
            owner, self._asks = self._asks or alone, ""
            self._owners.append(owner)
            if owner:  # else its call is unknown: the question is asked again
                self._fresh[owner].append(value)

    def _interrupt(self, owner: str, question: Any, schema: Any = None) -> GraphInterrupt:
        """The interrupt to raise: the question that this execution shows, which is its first one."""
        if self._raised is None:
            options: Any = {} if schema is None else {"response_schema": schema}
            try:
                interrupt(question, **options)
            except GraphInterrupt as raised:
                self._raised, self._asks = raised, owner
        assert self._raised is not None
        return GraphInterrupt(*self._raised.args)


class CallScratchpad:
    """What LangGraph keeps of the interrupts of a task, with the answers of one call of it alone."""

    def __init__(self, real: Any, task: _Task, owner: str) -> None:
        self.real = real
        self.owner = owner
        self.step, self.stop = real.step, real.stop
        self.call_counter, self.subgraph_counter = real.call_counter, real.subgraph_counter
        self.resume: list[Any] = task.taken(owner, real)
        self._task = task
        self._asked = 0

    @property
    def is_asking(self) -> bool:
        """Whether the tool itself interrupts, and not a subgraph that it runs."""
        return self._asked > len(self.resume)

    def interrupt_counter(self) -> int:
        """The number of the next interrupt of the call."""
        self._asked += 1
        return self._asked - 1

    def get_null_resume(self, consume: bool = False) -> Any:
        """The answer of this execution, if it is for this call."""
        return self._task.next(self.owner, consume=consume)


def _is_alone(request: ToolCallRequest) -> bool:
    """Whether no other call of the turn can have asked in this task."""
    state: Any = request.state
    messages: Any = cast("Mapping[str, Any]", state).get("messages", ()) if isinstance(state, Mapping) else state
    try:
        last: Any = messages[-1]
    except (LookupError, TypeError):  # none, or no list
        return True
    return len(getattr(last, "tool_calls", ())) <= 1


ASKING: Final = Asking()
"""That of this process."""

__all__ = ["ASKING", "UNASKED", "Asking", "configurable_of"]
