"""One execution of a tool node: its calls share a root run, which is open until the last of them has been made."""

import contextvars
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

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
        """Whether the node has returned or raised. A call may still be under way then, after another one raised."""
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


def executed(work: Callable[..., Any], owner: object, ended: Callable[[str], object]) -> Callable[..., Any]:
    """`work`, each call of which is an execution; `ended` is called with its root run, where a call was healed."""

    def run(*args: Any, **kwargs: Any) -> Any:
        execution = Execution(owner)
        token = _CURRENT.set(execution)
        try:
            return work(*args, **kwargs)
        finally:
            _CURRENT.reset(token)
            execution.is_over = True
            if execution.root:
                ended(execution.root)

    return run


def aexecuted(
    work: Callable[..., Awaitable[Any]], owner: object, ended: Callable[[str], Awaitable[object]]
) -> Callable[..., Any]:
    """As `executed`, for an async function."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        execution = Execution(owner)
        token = _CURRENT.set(execution)
        try:
            return await work(*args, **kwargs)
        finally:
            _CURRENT.reset(token)
            execution.is_over = True
            if execution.root:
                await ended(execution.root)

    return run


__all__ = ["Execution", "Where", "aexecuted", "executed", "execution_of"]
