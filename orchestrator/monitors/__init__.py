"""Monitors: watchers beside the work, whose signals change prices, demand approval, or halt a run."""

from orchestrator.types import SignalAction

from .budget import BudgetMonitor, Limits
from .checks import HealthChecks
from .error_rate import ErrorRate
from .facts import Monitor, MonitorFacts, RunFacts, Today
from .hub import MonitorHub
from .latency import Latency
from .outage import Outage
from .progress import Progress
from .quota import Quota
from .risk import Risk
from .signal import WHOLE_RUN, Signal, Verdict, arbitrate


def default_monitors() -> tuple[Monitor, ...]:
    """One of each that needs no settings."""
    return (Outage(), ErrorRate(), Latency(), BudgetMonitor(), Risk(), Progress())


__all__ = [
    "WHOLE_RUN",
    "BudgetMonitor",
    "ErrorRate",
    "HealthChecks",
    "Latency",
    "Limits",
    "Monitor",
    "MonitorFacts",
    "MonitorHub",
    "Outage",
    "Progress",
    "Quota",
    "Risk",
    "RunFacts",
    "Signal",
    "SignalAction",
    "Today",
    "Verdict",
    "arbitrate",
    "default_monitors",
]
