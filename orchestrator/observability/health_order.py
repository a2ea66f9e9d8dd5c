"""The order in which people look at the health of tools: what is wrong first."""

from orchestrator.core.enums import CircuitState
from orchestrator.health import ToolHealth

_ORDER = {CircuitState.OPEN: 0, CircuitState.HALF_OPEN: 1, CircuitState.CLOSED: 2}


def worst_first(status: ToolHealth) -> tuple[int, int, float, str]:
    """Open circuits first, then half-open ones, then by how badly calls go; what was never called last."""
    return (_ORDER[status.circuit], int(not status.calls), status.success, status.name)


__all__ = ["worst_first"]
