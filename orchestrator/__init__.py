"""Agent orchestration as routing: a cost-weighted tool graph that heals itself and explains every decision."""

from orchestrator.core.process import interrupt as _interrupt  # noqa: F401 -- first: it guards the imports  # isort: skip

from importlib import import_module as _import_module
from typing import Any as _Any

from orchestrator.agents.agent import Agent
from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.context import RunContext
from orchestrator.core.conventions import __version__
from orchestrator.core.decision import Decision
from orchestrator.core.enums import (
    NOT_DONE,
    START,
    CircuitState,
    DecisionKind,
    Effect,
    FailureKind,
    PartKind,
    SignalAction,
    Status,
)
from orchestrator.core.events import (
    BudgetRaised,
    CallEnded,
    CallStarted,
    ConditionChecked,
    Decided,
    DemandTold,
    EffectUndone,
    Event,
    GoalLowered,
    GraphChanged,
    PartEnded,
    ProblemReported,
    Progressed,
    RunEnded,
    RungAsked,
    RunResumed,
    RunStarted,
    RunWaiting,
    SignalRaised,
    Sink,
    ToolAllowed,
    ToolExcluded,
    ValueProvided,
    ValuesExpired,
    WorkJudged,
)
from orchestrator.core.failure import Failure
from orchestrator.core.goal import Budget, Goal
from orchestrator.core.outcome import Call, Outcome
from orchestrator.core.policy import Policy
from orchestrator.core.route import Alternative, Blame, Candidate, Impasse, Route, Step
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import PriceFacts
from orchestrator.graph.tool import Tool, tool
from orchestrator.health.monitors import Monitor, Signal
from orchestrator.observability.replay.replay import Replay
from orchestrator.store.ledger.verify import Verification

from .api import Orchestrator
from .errors import (
    CallerError,
    DefinitionError,
    Escalated,
    InputError,
    InvalidOutput,
    NoRoute,
    OrchestratorError,
    RateLimited,
    Refused,
    StoreError,
    ToolError,
    Unavailable,
    UnknownGoal,
)
from .escalation import AskHuman, AskModel, Demote, Question, Resolution, ResolutionKind
from .health import HealthRegistry, ToolHealth
from .project import load_orchestrator as _load_orchestrator
from .selection import Demand, Handbook, Selection, Selector

Orchestrator._project_loader = staticmethod(_load_orchestrator)  # pyright: ignore[reportPrivateUsage]

__all__ = [
    "NOT_DONE",
    "START",
    "Agent",
    "Alternative",
    "AskHuman",
    "AskModel",
    "Blame",
    "Budget",
    "BudgetRaised",
    "Call",
    "CallEnded",
    "CallStarted",
    "CallerError",
    "Candidate",
    "CircuitState",
    "Clock",
    "ConditionChecked",
    "Decided",
    "Decision",
    "DecisionKind",
    "DefinitionError",
    "Demand",
    "DemandTold",
    "Demote",
    "Effect",
    "EffectUndone",
    "Escalated",
    "Event",
    "Failure",
    "FailureKind",
    "Goal",
    "GoalLowered",
    "GraphChanged",
    "Handbook",
    "HealthRegistry",
    "Impasse",
    "InputError",
    "InvalidOutput",
    "Monitor",
    "NoRoute",
    "Orchestrator",
    "OrchestratorError",
    "Outcome",
    "PartEnded",
    "PartKind",
    "Policy",
    "PriceFacts",
    "ProblemReported",
    "Progressed",
    "Question",
    "RateLimited",
    "Refused",
    "Replay",
    "Resolution",
    "ResolutionKind",
    "Route",
    "RunContext",
    "RunEnded",
    "RunResumed",
    "RunStarted",
    "RunWaiting",
    "RungAsked",
    "Selection",
    "Selector",
    "Signal",
    "SignalAction",
    "SignalRaised",
    "Sink",
    "Status",
    "Step",
    "StoreError",
    "SystemClock",
    "Tool",
    "ToolAllowed",
    "ToolError",
    "ToolExcluded",
    "ToolGraph",
    "ToolHealth",
    "Unavailable",
    "UnknownGoal",
    "ValueProvided",
    "ValuesExpired",
    "Verification",
    "WorkJudged",
    "__version__",
    "tool",
]


_LAZY = {
    "HealingChatModel": "orchestrator.integrations.langchain",
    "HealingMiddleware": "orchestrator.integrations.langchain",
    "HealingToolNode": "orchestrator.integrations.langchain",
    "tools_from_openapi": "orchestrator.integrations.openapi",
}
"""Names of integrations, imported on first use: they need packages that a plain program does not."""


def __getattr__(name: str) -> _Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(_LAZY[name]), name)
