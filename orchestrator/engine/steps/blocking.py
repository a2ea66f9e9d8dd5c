"""Notices an async tool that blocks the event loop: how long the longest of its steps between two awaits took."""

from collections.abc import Awaitable, Generator
from time import perf_counter
from typing import Any, Final

BLOCKING_SECONDS: Final = 0.5
"""From here on a step counts as blocking: no other run of the loop goes on meanwhile, and no time-out fires."""


class TimedCall:
    """Awaits a call and measures each of its steps, in real time."""

    def __init__(self, work: Awaitable[Any]) -> None:
        self._work = work
        self.longest = 0.0
        """Seconds that the longest step so far took."""

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        send, value = steps.send, None
        error: BaseException | None = None
        while True:
            began = perf_counter()
            try:
                yielded = send(value) if error is None else steps.throw(error)
            except StopIteration as stop:
                return stop.value
            finally:
                self.longest = max(self.longest, perf_counter() - began)
            error = None
            try:
                value = yield yielded
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as thrown:
                error = thrown


def blocking_note(tool: str, seconds: float) -> str:
    """What is reported of a tool that blocked the event loop."""
    return (
        f"{tool} blocked the event loop for {seconds:.1f} s: an async tool must await what takes time. "
        "Make it a plain `def`, which runs in a thread, or use `asyncio.to_thread`"
    )


__all__ = ["BLOCKING_SECONDS", "TimedCall", "blocking_note"]
