"""The pool of this program, and calls of tools' functions in it."""

import atexit
import threading
from collections.abc import Callable
from typing import Any

from orchestrator.core.calls.user_code import InThread
from orchestrator.graph.tool import Tool

from .pool import Processes

_shared: Processes | None = None
_shared_lock = threading.Lock()


def processes() -> Processes:
    """The pool of this program, created on first use."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Processes()
            atexit.register(_shared.close)
        return _shared


def in_process(tool: Tool, in_thread: InThread) -> Callable[..., Any]:
    """The tool's function, or with `isolation="process"` an async function that calls it in a worker process."""
    if tool.isolation != "process":
        return tool.call

    async def call(*args: Any, **kwargs: Any) -> Any:
        return await processes().run(tool.call, list(args), kwargs, tool.memory, in_thread)

    return call
