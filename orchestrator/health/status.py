"""`ToolHealth`: the public view of a tool's health."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.core.enums import CircuitState

Target = str | tuple[str, str]
"""A tool, or a transition: the two tools it connects."""


@dataclass(frozen=True, slots=True)
class ToolHealth:
    """The health of a tool, or of a transition, at one moment."""

    name: str
    circuit: CircuitState = CircuitState.CLOSED
    success: float = 0.9
    """Posterior mean probability of success, whatever the circuit's state."""
    calls: int = 0
    """Attempts that ended, ever; refusals and caller errors included."""
    failures: int = 0
    """Those that say something about the tool's health."""
    p50: float | None = None
    """Latency percentiles in seconds, over all attempts; `None` without any."""
    p90: float | None = None
    p99: float | None = None
    pressure: float = 1.0
    last_failure: str = ""
    opened_at: float | None = None
    """Seconds since the epoch."""
    next_probe_in: float | None = None
    """Seconds until an open circuit lets a probe through; `None` for one opened by hand."""
    wait: float = 0.0
    """Seconds until the other side accepts calls again."""
    reason: str = ""
    """Why it is open, forbidden or more expensive."""
    manual: bool = False
    """Whether it was opened by hand, and stays so until it is restored by hand."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "circuit": str(self.circuit)}

    def with_account(self, account: "ToolHealth") -> "ToolHealth":
        """With the wait, the reason and the circuit of the credential that the tool shares with others."""
        found = replace(self, wait=max(self.wait, account.wait), reason=self.reason or account.reason)
        if self.circuit is not CircuitState.CLOSED or account.circuit is CircuitState.CLOSED:
            return found
        return replace(found, circuit=account.circuit, opened_at=account.opened_at, next_probe_in=account.next_probe_in)


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call may start now."""

    ok: bool
    probe: bool = False
    """Whether it is the one probe of a circuit that is half open."""
    reason: str = ""
    """Why not."""
    wait: float = 0.0
    """Seconds after which it may be asked again, where that is known."""
    anyway: bool = False
    """Whether it is a last resort: admitted although a circuit is open."""
    free: bool = False
    """Whether nothing at all is wrong with the tool, so that nothing else limits its calls."""


def seconds(amount: float) -> str:
    """Seconds for people: three digits, never as a power of ten."""
    return f"{amount:.0f} s" if amount >= 100 else f"{amount:.3g} s"


_ORDER = {CircuitState.OPEN: 0, CircuitState.HALF_OPEN: 1, CircuitState.CLOSED: 2}


def worst_first(status: ToolHealth) -> tuple[int, int, float, str]:
    """Open circuits first, then half-open ones, then by how badly calls go; what was never called last."""
    return (_ORDER[status.circuit], int(not status.calls), status.success, status.name)
