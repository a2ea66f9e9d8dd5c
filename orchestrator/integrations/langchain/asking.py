"""Asks people through interrupts of a graph, and assigns each answer to its call of a turn."""

import asyncio
import contextlib
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping
from typing import Any, Final, cast

from langgraph.errors import GraphInterrupt
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import interrupt

from .session import SessionQuestion

MAX_TASKS: Final = 1000
"""Maximum number of graph tasks whose answers are tracked; beyond it the oldest is dropped."""
UNASKED: Final = object()
"""The answer if the graph has no checkpointer and cannot wait."""


def configurable_of(request: ToolCallRequest) -> Mapping[str, Any]:
    """The `configurable` of the graph around a call."""
    return request.runtime.config.get("configurable", {})  # pyright: ignore[reportUnknownMemberType]


class Asking:
    """Asks for the calls of all graph tasks of one node or middleware."""

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
        execution = configurable.get("__pregel_scratchpad")
        return self._task(configurable).ask(key, shown, execution, alone=_is_alone(request))

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


def _task_name(configurable: Mapping[str, Any]) -> str:
    return f"{configurable.get('thread_id')}/{configurable.get('__pregel_task_id')}"


class _Task:
    """The questions of one task of a graph, over all its executions.

    LangGraph numbers the interrupts of an execution and returns the answers by number, and the order of calls differs
    between executions. So one question is shown at a time, and an answer belongs to the call whose question was shown.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: defaultdict[str, deque[Any]] = defaultdict(deque)
        self._taken = 0
        """Number of answers so far, over all executions."""
        self._asks = ""
        """Key of the call whose question is shown."""
        self._execution: Any = None
        self._drawn = 0
        """Answers that this execution was given."""
        self._shown: Any = None
        """The question that this execution shows."""

    @property
    def has_answers(self) -> bool:
        """Whether an answer waits for its call."""
        return any([*self._answers.values()])

    @property
    def shown(self) -> dict[str, Any]:
        return {"asks": self._asks, "taken": self._taken}

    def take_on(self, shown: Mapping[str, Any]) -> None:
        with self._lock:
            if not self._asks and not self._taken:
                self._asks, self._taken = str(shown.get("asks", "")), int(shown.get("taken", 0))

    def ask(self, key: str, question: Any, execution: Any, *, alone: bool) -> Any:
        with self._lock:
            if execution is None or self._execution is not execution:
                self._execution, self._drawn, self._shown = execution, 0, None
            while not self._answers[key]:
                self._draw(key, question, alone=alone)
            return self._answers[key].popleft()

    def _draw(self, key: str, question: Any, *, alone: bool) -> None:
        """Take one answer. Raises `GraphInterrupt` when there is none."""
        try:
            answer = interrupt(self._shown or question)
        except GraphInterrupt:
            if self._shown is None:
                self._shown, self._asks = question, key
            raise
        self._drawn += 1
        if self._drawn <= self._taken:
            return
        self._taken += 1
        meant, self._asks = self._asks or (key if alone else ""), ""
        if meant:  # else its call is unknown, and the question is asked again
            self._answers[meant].append(answer)


def _is_alone(request: ToolCallRequest) -> bool:
    """Whether no other call of the turn can have asked in this task."""
    state: Any = request.state
    messages: Any = cast("Mapping[str, Any]", state).get("messages", ()) if isinstance(state, Mapping) else state
    try:
        last: Any = messages[-1]
    except (LookupError, TypeError):  # none, or no list
        return True
    return len(getattr(last, "tool_calls", ())) <= 1


__all__ = ["UNASKED", "Asking", "configurable_of"]
