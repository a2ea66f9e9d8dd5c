"""`ErrorRate`: a tool that fails often, detected before its circuit opens."""

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from orchestrator.core.calls.options import checked
from orchestrator.core.enums import SignalAction
from orchestrator.core.events import CallEnded, Event
from orchestrator.health.failures.classify import counts_for_health

from .facts import MonitorFacts
from .signal import Signal


class ErrorRate:
    """Makes a tool more expensive, by up to `factor`, as its share of failures grows from `rate` to 1.

    Looks at the last `window` attempts, from `evidence` of them on; refusals and caller errors do not count.
    """

    interval = 10.0

    woken_by: ClassVar[tuple[type[Event], ...]] = (CallEnded,)

    @checked()
    def __init__(
        self,
        rate: float = 0.3,
        *,
        evidence: int = 5,
        window: int = 20,
        factor: float = 10.0,
        ttl: float = 60.0,
        name: str = "error_rate",
    ) -> None:
        self.name = name
        self._rate = rate
        self._evidence = evidence
        self._window = window
        self._factor = factor
        self._ttl = ttl
        self._seen: dict[str, deque[bool]] = {}

    def wakes(self, event: Event) -> bool:
        """Is called at once after a failure."""
        return isinstance(event, CallEnded) and event.failure is not None

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Signals of kind `error_rate`."""
        touched: set[str] = set()
        for call in facts.ended():
            if call.failure is not None and not counts_for_health(call.failure.kind):
                continue
            self._seen.setdefault(call.tool, deque(maxlen=self._window)).append(call.ok)
            touched.add(call.tool)
        return [signal for tool in sorted(touched) if (signal := self._signal(tool)) is not None]

    def _signal(self, tool: str) -> Signal | None:
        seen = self._seen[tool]
        share = seen.count(False) / len(seen)
        if len(seen) < self._evidence or share < self._rate:
            return None
        factor = 1 + (self._factor - 1) * (share - self._rate) / max(1e-9, 1 - self._rate)
        reason = f"{seen.count(False)} of the last {len(seen)} calls failed"
        priority = min(1.0, 0.3 + share / 2)
        return Signal(tool, "error_rate", priority, SignalAction.REWEIGHT, factor, reason, ttl=self._ttl)
