"""Health of tools: evidence, latency, circuits, pressure, and what healing may cost."""

from .quota_headers import QuotaLeft, quota_of
from .registry import HealthRegistry, Lease
from .retry_budget import HealingBudget, backoff
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
