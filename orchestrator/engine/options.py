"""What a caller may ask of one run, beside its goal and inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from orchestrator.core.goal import Budget
from orchestrator.selection.choice.constraints import Constraints


class Preferences(TypedDict, total=False):
    """What a caller prefers; both may be left out."""

    dial: float | None
    """From 0 (the cheapest agents) over 0.5 (the policy as it is) to 1 (the best, whatever they cost)."""
    constraints: Constraints | None
    """Which agents may be used: trust domains, whether data may leave, the most that a call may cost."""


class RunOptions(Preferences, total=False):
    """The options of a run; every one may be left out."""

    run_id: str | None
    """One that was used before means that run: ended, its outcome; running, it is joined; waiting, its question."""
    budget: Budget | float | None
    """What the run may spend: a `Budget`, or US dollars."""
    labels: Mapping[str, str] | None
    """Small strings by name, such as `customer` or `session`: indexed, searchable, on spans and children."""


class SubmitOptions(RunOptions, total=False):
    """The options of a submitted run; every one may be left out."""

    priority: int
    """Runs of higher priority are taken first."""
    delay: float
    """Seconds from now until a worker may take it."""
    at: float | None
    """When a worker may take it, in seconds since the epoch; `delay` is not looked at then."""
    work_here: bool
    """Whether this process drives queued runs too; by default where the store is in memory or a file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, of a run that begins."""

    budget: Budget | None = None
    dial: float | None = None
    constraints: Constraints | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    tainted: bool = False
    """Whether the inputs derive from what a model provided."""


__all__ = ["Preferences", "RunOptions", "SubmitOptions", "Wanted"]
