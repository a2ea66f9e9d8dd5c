"""`Signal`: the report of a monitor; and the rule by which one of several wins."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from orchestrator.core.calls.options import checked_init
from orchestrator.core.enums import SignalAction
from orchestrator.core.errors import DefinitionError

WHOLE_RUN: Final = "*"
"""The target of a signal about a run, or with an empty `run_id` about all runs, not about a tool."""

SEVERITY: Final = {
    SignalAction.HALT: 4,
    SignalAction.FORBID: 3,
    SignalAction.APPROVE: 2,
    SignalAction.REWEIGHT: 1,
    SignalAction.NONE: 0,
}


@checked_init()
@dataclass(frozen=True, slots=True)
class Signal:
    """A monitor's report about a tool, a transition (two tools) or a run. Raises `DefinitionError` for invalid
    fields.
    """

    target: str | tuple[str, str]
    kind: str
    """The kind of observation: `outage`, `latency`, `quota` ..."""
    priority: float
    """In [0, 1]; the highest wins."""
    action: SignalAction = SignalAction.NONE
    factor: float = 1.0
    """For `reweight`: multiplies the price; at least 1."""
    reason: str = ""
    monitor: str = ""
    """The name of the monitor; set by the hub."""
    ttl: float = 60.0
    """Seconds for which it is active, unless it is raised again."""
    run_id: str = ""
    """The run that it is about; empty: all of them."""

    def __post_init__(self) -> None:
        if not 0 <= self.priority <= 1:
            raise DefinitionError(f"A signal's priority is in [0, 1]; {self._name} has {self.priority!r}.")
        if not self.factor >= 1:
            raise DefinitionError(f"A signal's factor is at least 1, dearer; {self._name} has {self.factor!r}.")
        if not self.ttl > 0:
            raise DefinitionError(f"A signal holds for more than 0 seconds; {self._name} has ttl={self.ttl!r}.")
        if not self.target or not self.kind:
            raise DefinitionError("A signal has a target and a kind.")
        if self.target == WHOLE_RUN and self.action in (SignalAction.REWEIGHT, SignalAction.FORBID):
            raise DefinitionError(f"{self._name} names no tool; only halt and approve can be about a whole run.")
        object.__setattr__(self, "action", SignalAction(self.action))

    @property
    def _name(self) -> str:
        return f"{self.monitor or 'a monitor'}'s signal {self.kind!r}"

    @property
    def label(self) -> str:
        """The name of its target for people."""
        return self.target if isinstance(self.target, str) else " -> ".join(self.target)


@dataclass(frozen=True, slots=True)
class WinningSignal:
    """The signal about a target that acts, and the ones it beat."""

    winner: Signal
    beaten: tuple[Signal, ...] = ()


def rank(signal: Signal) -> tuple[float, int, float, str, str]:
    """Sorts signals about one target, the winner first."""
    return (-signal.priority, -SEVERITY[signal.action], -signal.factor, signal.monitor, signal.kind)


def arbitrate(signals: Iterable[Signal]) -> tuple[WinningSignal, ...]:
    """For each target (and run) the one signal that acts; sorted by run and target.

    The highest priority wins; of equals the more severe: halt, forbid, approve, reweight, none; then the larger factor;
    then the monitor's name. A signal with the action `none` is for people and beats no other.
    """
    groups: dict[tuple[str, str], list[Signal]] = {}
    for signal in signals:
        groups.setdefault((signal.run_id, signal.label), []).append(signal)
    verdicts: list[WinningSignal] = []
    for place in sorted(groups):
        ordered = sorted(groups[place], key=rank)
        acting = [signal for signal in ordered if signal.action is not SignalAction.NONE]
        winner = (acting or ordered)[0]
        verdicts.append(WinningSignal(winner, tuple(signal for signal in ordered if signal is not winner)))
    return tuple(verdicts)
