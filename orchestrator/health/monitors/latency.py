"""`Latency`: a tool that has become slow compared with its own history."""

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from orchestrator.core.calls.options import checked
from orchestrator.core.enums import SignalAction
from orchestrator.core.events import CallEnded, Event

from .facts import MonitorFacts
from .signal import Signal


class Latency:
    """Makes a tool more expensive while its recent calls take `times` as long as its own median did.

    The median is taken over the `history` calls before the last `recent` ones; differences under `floor` seconds do
    not matter.
    """

    interval = 10.0

    woken_by: ClassVar[tuple[type[Event], ...]] = (CallEnded,)

    @checked()
    def __init__(
        self,
        times: float = 3.0,
        *,
        recent: int = 3,
        history: int = 50,
        floor: float = 0.5,
        ttl: float = 60.0,
        name: str = "latency",
    ) -> None:
        self.name = name
        self._times = times
        self._recent = recent
        self._history = history
        self._floor = floor
        self._ttl = ttl
        self._seen: dict[str, deque[float]] = {}

    def wakes(self, event: Event) -> bool:
        """Is called at once after a slow call."""
        return isinstance(event, CallEnded) and event.seconds >= self._floor

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Signals of kind `latency`."""
        touched: set[str] = set()
        for call in facts.ended():
            if call.ok and not call.reconciled:
                seen = self._seen.setdefault(call.tool, deque(maxlen=self._history + self._recent))
                seen.append(call.seconds)
                touched.add(call.tool)
        return [signal for tool in sorted(touched) if (signal := self._signal(tool)) is not None]

    def _signal(self, tool: str) -> Signal | None:
        seen = list(self._seen[tool])
        before, recent = sorted(seen[: -self._recent]), sorted(seen[-self._recent :])
        if len(before) < 2 * self._recent:
            return None
        usual, now = before[len(before) // 2], recent[len(recent) // 2]
        if now - usual < self._floor or now < self._times * usual:
            return None
        factor = min(10.0, now / max(usual, 0.1 * self._floor))
        reason = f"it takes {now:.2g} s, usually {usual:.2g} s"
        return Signal(tool, "latency", 0.5, SignalAction.REWEIGHT, max(1.0, factor), reason, ttl=self._ttl)
