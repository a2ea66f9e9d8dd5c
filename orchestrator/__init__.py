"""Agent orchestration as routing: a cost-weighted tool graph that heals itself and explains every decision.

Public names are imported when they are first used (PEP 562): `from orchestrator import tool` imports no engine.
"""

from orchestrator.core.process import interrupt as _interrupt  # noqa: F401 -- first: it guards the imports  # isort: skip  # pyright: ignore[reportUnusedImport]

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from orchestrator.core.conventions import __version__

if _TYPE_CHECKING:
    from orchestrator.agents.agent import Agent
    from orchestrator.api import Orchestrator
    from orchestrator.core.clock import Clock, SystemClock
    from orchestrator.core.context import RunContext
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
    from orchestrator.errors import (
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
    from orchestrator.escalation import AskHuman, AskModel, Demote, Question, Resolution, ResolutionKind
    from orchestrator.graph.graph import ToolGraph
    from orchestrator.graph.price_table import PriceFacts
    from orchestrator.graph.tool import Tool, tool
    from orchestrator.health import HealthRegistry, ToolHealth
    from orchestrator.health.monitors import Monitor, Signal
    from orchestrator.observability.replay.replay import Replay
    from orchestrator.selection import Demand, Handbook, Selection, Selector
    from orchestrator.store.ledger.verify import Verification

_HOMES = {
    "Agent": "agents.agent",
    "Alternative": "core.route",
    "AskHuman": "escalation",
    "AskModel": "escalation",
    "Blame": "core.route",
    "Budget": "core.goal",
    "BudgetRaised": "core.events",
    "Call": "core.outcome",
    "CallEnded": "core.events",
    "CallStarted": "core.events",
    "CallerError": "errors",
    "Candidate": "core.route",
    "CircuitState": "core.enums",
    "Clock": "core.clock",
    "ConditionChecked": "core.events",
    "Decided": "core.events",
    "Decision": "core.decision",
    "DecisionKind": "core.enums",
    "DefinitionError": "errors",
    "Demand": "selection",
    "DemandTold": "core.events",
    "Demote": "escalation",
    "Effect": "core.enums",
    "EffectUndone": "core.events",
    "Escalated": "errors",
    "Event": "core.events",
    "Failure": "core.failure",
    "FailureKind": "core.enums",
    "Goal": "core.goal",
    "GoalLowered": "core.events",
    "GraphChanged": "core.events",
    "Handbook": "selection",
    "HealingChatModel": "integrations.langchain",
    "HealingMiddleware": "integrations.langchain",
    "HealingToolNode": "integrations.langchain",
    "HealthRegistry": "health",
    "Impasse": "core.route",
    "InputError": "errors",
    "InvalidOutput": "errors",
    "Monitor": "health.monitors",
    "NOT_DONE": "core.enums",
    "NoRoute": "errors",
    "Orchestrator": "api",
    "OrchestratorError": "errors",
    "Outcome": "core.outcome",
    "PartEnded": "core.events",
    "PartKind": "core.enums",
    "Policy": "core.policy",
    "PriceFacts": "graph.price_table",
    "ProblemReported": "core.events",
    "Progressed": "core.events",
    "Question": "escalation",
    "RateLimited": "errors",
    "Refused": "errors",
    "Replay": "observability.replay.replay",
    "Resolution": "escalation",
    "ResolutionKind": "escalation",
    "Route": "core.route",
    "RunContext": "core.context",
    "RunEnded": "core.events",
    "RunResumed": "core.events",
    "RunStarted": "core.events",
    "RunWaiting": "core.events",
    "RungAsked": "core.events",
    "START": "core.enums",
    "Selection": "selection",
    "Selector": "selection",
    "Signal": "health.monitors",
    "SignalAction": "core.enums",
    "SignalRaised": "core.events",
    "Sink": "core.events",
    "Status": "core.enums",
    "Step": "core.route",
    "StoreError": "errors",
    "SystemClock": "core.clock",
    "Tool": "graph.tool",
    "ToolAllowed": "core.events",
    "ToolError": "errors",
    "ToolExcluded": "core.events",
    "ToolGraph": "graph.graph",
    "ToolHealth": "health",
    "Unavailable": "errors",
    "UnknownGoal": "errors",
    "ValueProvided": "core.events",
    "ValuesExpired": "core.events",
    "Verification": "store.ledger.verify",
    "WorkJudged": "core.events",
    "tool": "graph.tool",
    "tools_from_openapi": "integrations.openapi",
}
"""Public name -> the module that has it. The integrations need packages that a plain program does not; they are no part
of `__all__`."""
_MODULES = ("api", "errors", "project", "testing")
"""Modules that are reached as attributes of the package."""

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


def __getattr__(name: str) -> _Any:
    if name in _MODULES:
        return _import_module(f"orchestrator.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestrator.core.process.installation import import_part

    found = getattr(import_part(f"orchestrator.{_HOMES[name]}", name), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
