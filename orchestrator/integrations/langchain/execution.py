"""One execution of a tool node: its calls share a root run, which ends with the execution."""

import contextvars
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from langgraph.prebuilt.tool_node import ToolCallRequest

Where = Callable[[ToolCallRequest], tuple[str, Mapping[str, str]]]
"""The id of the root run of a call, and its labels."""


class Execution:
    """An execution of the node of `owner`. Its calls may be made in threads, one after another or at once."""

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.root = ""
        """The root run; empty before the first call."""
        self.is_over = False
        """Whether the node has returned or raised. A call may still be in progress then, if another one raised."""
        self._labels: Mapping[str, str] = {}
        self._lock = threading.Lock()

    def where(self, request: ToolCallRequest, where: Where) -> tuple[str, Mapping[str, str]]:
        """The root run of every call of this execution: that of the first one."""
        with self._lock:
            if not self.root:
                self.root, self._labels = where(request)
        return self.root, self._labels


_CURRENT: Final[contextvars.ContextVar[Execution | None]] = contextvars.ContextVar("execution", default=None)


def execution_of(owner: object) -> Execution | None:
    """The execution of the node of `owner` that the running call belongs to."""
    found = _CURRENT.get()
    return found if found is not None and found.owner is owner else None


class Executions:
    """The functions of a node, each call of which is an execution.

    They are methods because LangGraph looks for subgraphs in what a function closes over: the node itself would be
    looked at without end.
    """

    def __init__(self, node: Any, owner: "Owner") -> None:
        self._work: Callable[..., Any] = node.func
        self._awork: Callable[..., Awaitable[Any]] = node.afunc
        self._owner = owner

    def func(self, *args: Any, **kwargs: Any) -> Any:
        """Execute the node."""
        execution = Execution(self._owner)
        token = _CURRENT.set(execution)
        try:
            return self._work(*args, **kwargs)
        finally:
            _CURRENT.reset(token)
            execution.is_over = True
            if execution.root:
                self._owner.ended(execution.root)

    async def afunc(self, *args: Any, **kwargs: Any) -> Any:
        """Execute the node."""
        execution = Execution(self._owner)
        token = _CURRENT.set(execution)
        try:
            return await self._awork(*args, **kwargs)
        finally:
            _CURRENT.reset(token)
            execution.is_over = True
            if execution.root:
                await self._owner.aended(execution.root)


class Owner(Protocol):
    """What makes the calls of a node."""

    def ended(self, root: str) -> None:
        """An execution has ended in which calls were made."""
        ...

    async def aended(self, root: str) -> None:
        """An execution has ended in which calls were made."""
        ...


__all__ = ["Execution", "Executions", "Where", "execution_of"]
