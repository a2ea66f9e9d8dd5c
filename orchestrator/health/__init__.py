"""Health of tools: evidence, latency, circuits, pressure, monitors, and the budget of retries."""

from .admission import Lease
from .declaration import Declaration
from .quota_headers import QuotaLeft, quota_of
from .registry import HealthRegistry
from .retry_budget import RetryBudget, backoff
from .status import Admission, Target, ToolHealth

__all__ = [
    "Admission",
    "Declaration",
    "HealthRegistry",
    "Lease",
    "QuotaLeft",
    "RetryBudget",
    "Target",
    "ToolHealth",
    "backoff",
    "quota_of",
]
