"""Notices an async tool that blocks the event loop: how long the longest of its steps between two awaits took."""

from collections.abc import Awaitable
from time import perf_counter
from typing import Any, Final

from typing_extensions import override

from orchestrator.core.calls.user_code import Stepped

BLOCKING_SECONDS: Final = 0.5
"""From here on a step counts as blocking: no other run of the loop continues meanwhile, and no time-out fires."""


class TimedCall(Stepped):
    """Awaits a call and measures each of its steps, in real time."""

    def __init__(self, work: Awaitable[Any]) -> None:
        super().__init__(work)
        self.longest = 0.0
        """Seconds that the longest step so far took."""
        self._began = 0.0

    @override
    def before(self) -> None:
        self._began = perf_counter()

    @override
    def after(self) -> None:
        self.longest = max(self.longest, perf_counter() - self._began)


def blocking_note(tool: str, seconds: float) -> str:
    """What is reported of a tool that blocked the event loop."""
    return (
        f"{tool} blocked the event loop for {seconds:.1f} s: an async tool must await what takes time. "
        "Make it a plain `def`, which runs in a thread, or use `asyncio.to_thread`"
    )


__all__ = ["BLOCKING_SECONDS", "TimedCall", "blocking_note"]
