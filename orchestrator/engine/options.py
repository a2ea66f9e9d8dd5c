"""The options of one run, apart from its goal and inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from orchestrator.core.goal import Budget
from orchestrator.selection.choice.constraints import Constraints


class Preferences(TypedDict, total=False):
    """A caller's preferences about agents; both are optional."""

    dial: float | None
    """From 0 (the cheapest agents) over 0.5 (the policy as it is) to 1 (the best, whatever they cost)."""
    constraints: Constraints | None
    """Which agents may be used: trust domains, whether data may leave, the maximum cost of a call."""


class RunOptions(Preferences, total=False):
    """The options of a run; all are optional."""

    run_id: str | None
    """An id that was used before refers to that run: its outcome if ended, joined if running, its question if
    waiting.
    """
    budget: Budget | float | None
    """The limit of what the run may spend: a `Budget`, or US dollars."""
    labels: Mapping[str, str] | None
    """Small strings by name, such as `customer` or `session`: indexed, searchable, on spans and children."""


class SubmitOptions(RunOptions, total=False):
    """The options of a submitted run; all are optional."""

    priority: int
    """Runs of higher priority are claimed first."""
    delay: float
    """Seconds from now until a worker may claim it."""
    at: float | None
    """When a worker may claim it, in seconds since the epoch; overrides `delay`."""
    work_here: bool
    """Whether this process drives queued runs too; by default where the store is in memory or a file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The request of a run that starts."""

    budget: Budget | None = None
    dial: float | None = None
    constraints: Constraints | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    tainted: bool = False
    """Whether the inputs derive from what a model provided."""


__all__ = ["Preferences", "RunOptions", "SubmitOptions", "Wanted"]
