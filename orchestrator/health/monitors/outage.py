"""`Outage`: a tool that cannot be reached, detected before its circuit opens."""

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from orchestrator.core.calls.options import checked
from orchestrator.core.enums import CircuitState, FailureKind, SignalAction
from orchestrator.core.events import CallEnded, Event

from .facts import MonitorFacts
from .signal import Signal


class Outage:
    """Makes a tool more expensive after a few outages in a row, and reports every open circuit to people.

    A failure that only a change of configuration can end (a refused account, 403) is reported too. The factor is small:
    it changes the choice between tools of nearly equal price, while a much cheaper tool is used until its circuit
    opens.
    """

    interval = 5.0

    woken_by: ClassVar[tuple[type[Event], ...]] = (CallEnded,)

    @checked()
    def __init__(self, in_a_row: int = 2, factor: float = 2.0, ttl: float = 30.0, name: str = "outage") -> None:
        self.name = name
        self._in_a_row = in_a_row
        self._factor = factor
        self._ttl = ttl
        self._row: Counter[str] = Counter()

    def wakes(self, event: Event) -> bool:
        """Is called at once after a failure."""
        return isinstance(event, CallEnded) and event.failure is not None

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Signals of kind `outage` and `configuration`."""
        signals: list[Signal] = []
        for call in facts.ended():
            failure = call.failure
            if failure is not None and (failure.kind is FailureKind.ACCOUNT or failure.status == 403):
                reason = f"its account or its configuration is refused: {failure.message}"
                signals.append(Signal(call.tool, "configuration", 0.6, reason=reason, ttl=self._ttl))
            if call.ok:
                self._row.pop(call.tool, None)
            elif failure is not None and failure.kind is FailureKind.OUTAGE:
                self._row[call.tool] += 1
        for tool, times in sorted(self._row.items()):
            if times >= self._in_a_row and any(call.tool == tool for call in facts.ended()):
                reason = f"{times} outages in a row"
                signals.append(Signal(tool, "outage", 0.9, SignalAction.REWEIGHT, self._factor, reason, ttl=self._ttl))
        for tool in facts.health.touched():
            status = facts.health.status(tool) if tool in facts.tools else None
            if status is not None and status.circuit is CircuitState.OPEN:
                signals.append(Signal(tool, "circuit", 0.99, reason=status.reason, ttl=self._ttl))
        return signals
