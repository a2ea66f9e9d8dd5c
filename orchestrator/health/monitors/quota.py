"""`Quota`: declared limits of calls, enforced before the server does."""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import ClassVar

from orchestrator.core.calls.options import checked
from orchestrator.core.enums import SignalAction
from orchestrator.core.errors import DefinitionError
from orchestrator.core.events import CallStarted, Event

from .facts import MonitorFacts
from .signal import Signal


class Quota:
    """Makes a tool more expensive as its quota is used up, and forbids it when the quota is exhausted, until a call
    leaves the time window.

    Quota({"geocode": (100, 60)}): a hundred calls in any sixty seconds. Counts this process's attempts.
    """

    interval = 5.0

    woken_by: ClassVar[tuple[type[Event], ...]] = (CallStarted,)

    @checked()
    def __init__(self, limits: Mapping[str, tuple[int, float]] | None = None, name: str = "quota") -> None:
        self.name = name
        self._limits = dict(limits or {})
        for tool, (calls, seconds) in sorted(self._limits.items()):
            if calls < 1 or not 0 < seconds < math.inf:
                raise DefinitionError(f"A quota is (calls, seconds), both above 0; {tool!r} has {(calls, seconds)!r}.")
        self._begun: dict[str, deque[float]] = {tool: deque() for tool in self._limits}

    def wakes(self, event: Event) -> bool:
        """Is called at once when a tool with a quota is called."""
        return isinstance(event, CallStarted) and event.tool in self._limits

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Signals of kind `quota`."""
        for event in facts.events:
            if isinstance(event, CallStarted) and event.tool in self._limits:
                self._begun[event.tool].append(facts.now - max(0.0, facts.time - event.at))
        signals: list[Signal] = []
        for tool, (limit, seconds) in sorted(self._limits.items()):
            begun = self._begun[tool]
            while begun and begun[0] <= facts.now - seconds:
                begun.popleft()
            used = len(begun) / limit
            reason = f"{len(begun)} of {limit} calls in {seconds:g} s are used"
            if used >= 1:
                until = max(0.001, begun[0] + seconds - facts.now)
                signals.append(Signal(tool, "quota", 1.0, SignalAction.FORBID, reason=reason, ttl=until))
            elif used > 0.5:
                factor = 1 + 10 * (used - 0.5)
                signals.append(Signal(tool, "quota", 0.8, SignalAction.REWEIGHT, factor, reason, ttl=seconds))
        return signals
