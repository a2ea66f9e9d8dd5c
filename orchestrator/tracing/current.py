"""Making a span the current one in the task that an event comes from, and taking it back there, and only there."""

import asyncio
from contextvars import Token
from dataclasses import dataclass
from typing import Any

from opentelemetry import context as contexts
from opentelemetry.context import Context


@dataclass(slots=True)
class Attached:
    """A context that was made current in a task."""

    token: Token[Context]
    task: Any

    @classmethod
    def attach(cls, context: Context) -> "Attached":
        """Make a context current in the running task: what is started there from now on are children of its span."""
        return cls(contexts.attach(context), running_task())

    def detach(self) -> None:
        """Take it back. In another task there is nothing to take back: a task's context ends with the task."""
        if running_task() is self.task:
            contexts.detach(self.token)


def running_task() -> Any:
    """The running task, or `None`."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
