"""`Drift`: agents whose outcomes or costs have changed."""

from collections.abc import Iterable
from typing import ClassVar, Protocol

from orchestrator.core.calls.options import checked
from orchestrator.core.enums import SignalAction
from orchestrator.core.events import Event

from .facts import MonitorFacts
from .signal import Signal


class Drifted(Protocol):
    """A detected drift; `orchestrator.selection.DriftSignal` is one."""

    @property
    def agent(self) -> str:
        """The name of the agent."""
        ...

    @property
    def metric(self) -> str:
        """`outcome`, `seconds`, `usd`, `tokens` or `tool_calls`."""
        ...

    @property
    def worse(self) -> bool:
        """Whether it changed for the worse."""
        ...

    @property
    def message(self) -> str:
        """The drift in one line."""
        ...


class Learns(Protocol):
    """What detects drift while learning, such as a `Selector`."""

    def signals(self) -> Iterable[Drifted]:
        """The drift detected since the last call."""
        ...


class Drift:
    """Reports agents whose outcomes, costs or use of tools drift from their own history.

    An agent whose outcomes got worse is more expensive by `factor` for `ttl` seconds, until its reduced record has new
    outcomes. Higher costs and latencies already change its price and are only reported.
    """

    interval = 5.0

    woken_by: ClassVar[tuple[type[Event], ...]] = ()

    @checked()
    def __init__(self, source: Learns, *, factor: float = 1.5, ttl: float = 600.0, name: str = "drift") -> None:
        self.name = name
        self._source = source
        self._factor = factor
        self._ttl = ttl

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Signals of kind `drift`."""
        known = facts.tools
        return [self._signal(found) for found in self._source.signals() if found.agent in known]

    def _signal(self, found: Drifted) -> Signal:
        kind = f"drift: {found.metric}"
        if found.metric == "outcome" and found.worse:
            return Signal(
                found.agent, kind, 0.5, SignalAction.REWEIGHT, self._factor, reason=found.message, ttl=self._ttl
            )
        return Signal(found.agent, kind, 0.3 if found.worse else 0.1, reason=found.message, ttl=self._ttl)
