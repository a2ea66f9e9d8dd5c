"""Every exception of the framework, for users to import: `core/errors.py` draws the tree."""

from orchestrator.core.errors import (
    CallerError,
    DefinitionError,
    InputError,
    InvalidOutput,
    OrchestratorError,
    RateLimited,
    Refused,
    StoreError,
    ToolError,
    Unavailable,
    WorkerCrashed,
    nearest,
)
from orchestrator.core.outcome import Escalated, NoRoute, UnknownGoal

__all__ = [
    "CallerError",
    "DefinitionError",
    "Escalated",
    "InputError",
    "InvalidOutput",
    "NoRoute",
    "OrchestratorError",
    "RateLimited",
    "Refused",
    "StoreError",
    "ToolError",
    "Unavailable",
    "UnknownGoal",
    "WorkerCrashed",
    "nearest",
]
