"""Health of tools: evidence, latency, circuits, pressure, and what healing may cost."""

from .budget import HealingBudget, backoff
from .headers import QuotaLeft, quota_of
from .registry import HealthRegistry, Lease
from .status import Admission, Target, ToolHealth

__all__ = [
    "Admission",
    "HealingBudget",
    "HealthRegistry",
    "Lease",
    "QuotaLeft",
    "Target",
    "ToolHealth",
    "backoff",
    "quota_of",
]
