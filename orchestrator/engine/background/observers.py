"""`BackgroundObservers`: informs the background work when a run starts, waits and ends."""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.engine.run import Run
from orchestrator.escalation import NotificationSink
from orchestrator.graph.tool import Tool
from orchestrator.health.monitors.signal import Signal

from .background import Background
from .evaluation import WorkEvaluator


class BackgroundObservers:
    """The `Observers` of a runtime. The background work is looked up at each call, since it is built on the runtime."""

    def __init__(
        self,
        background: Callable[[], Background],
        evaluator: Callable[[], WorkEvaluator],
        notifications: NotificationSink,
    ) -> None:
        self._background = background
        self._evaluator = evaluator
        self._notifications = notifications

    def start(self) -> None:
        self._background().start()

    def begun(self, run: Run) -> None:
        background = self._background()
        if background.learning.unreported or background.hub.board.held:
            background.run_began(run)

    def ended(self, run: Run) -> None:
        self._evaluator().observe(run)

    def waits(self, run_id: str) -> None:
        self._notifications.on_record(run_id)

    def gate(self, tool: Tool, run_id: str, values: Mapping[str, Any]) -> tuple[Signal, ...]:
        return self._background().hub.gate(tool, run_id, values)

    async def learn(self) -> None:
        await self._background().learning.learn()


__all__ = ["BackgroundObservers"]
