"""Agent orchestration as routing: a cost-weighted tool graph that heals itself and explains every decision."""

from .agent import Agent
from .api import Orchestrator
from .clock import Clock, SystemClock
from .context import RunContext
from .decision import Decision
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
from .events import (
    BudgetRaised,
    CallEnded,
    CallStarted,
    ConditionChecked,
    Decided,
    EffectUndone,
    Event,
    GoalLowered,
    GraphChanged,
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
)
from .failures import Failure
from .goal import Budget, Goal
from .graph import ToolGraph
from .health import HealthRegistry, ToolHealth
from .ledger import Verification
from .monitors import Monitor, Signal
from .outcome import Call, Outcome
from .policy import Policy
from .pricing import PriceFacts
from .replay import Replay
from .route import Alternative, Blame, Candidate, Impasse, Route, Step
from .selection import Demand, Handbook, Selection, Selector
from .tooling import Tool, tool
from .types import (
    NOT_DONE,
    START,
    CircuitState,
    DecisionKind,
    Effect,
    FailureKind,
    SignalAction,
    Status,
)

__version__ = "0.1.0"

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
    "__version__",
    "tool",
]
