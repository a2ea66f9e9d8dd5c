"""Health of tools: evidence, latency, circuits, pressure, and what healing may cost."""

from .budget import HealingBudget, Throttle, backoff
from .registry import HealthRegistry, Lease
from .status import Admission, Target, ToolHealth

__all__ = ["Admission", "HealingBudget", "HealthRegistry", "Lease", "Target", "Throttle", "ToolHealth", "backoff"]
