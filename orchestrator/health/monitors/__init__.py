"""Monitors: observers of runs whose signals change prices, demand approval, or halt a run."""

from orchestrator.core.enums import SignalAction

from .budget import BudgetLimits, BudgetMonitor
from .checks import HealthChecks
from .drift import Drift, Learns
from .error_rate import ErrorRate
from .facts import DailySpend, Monitor, MonitorFacts, RunFacts
from .hub import MonitorHub
from .latency import Latency
from .outage import Outage
from .progress import Progress
from .quota import Quota
from .risk import Risk
from .signal import WHOLE_RUN, Signal, WinningSignal, arbitrate


def default_monitors(learner: Learns | None = None) -> tuple[Monitor, ...]:
    """One of each that needs no settings; with a learner (a `Selector`), drift of agents is watched too."""
    drift = () if learner is None else (Drift(learner),)
    return (Outage(), ErrorRate(), Latency(), BudgetMonitor(), Risk(), Progress(), *drift)


__all__ = [
    "WHOLE_RUN",
    "BudgetLimits",
    "BudgetMonitor",
    "DailySpend",
    "Drift",
    "ErrorRate",
    "HealthChecks",
    "Latency",
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
    "WinningSignal",
    "arbitrate",
    "default_monitors",
]
