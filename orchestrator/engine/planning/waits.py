"""Waits that are known when a plan is made. They are part of the latency of a tool, and so of its price.

Kinds of wait: a `Retry-After` of the server; the back-off of a retry in this run; the next probe of a refused account;
calls ahead in the queue of a tool with `max_concurrency`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.core.policy import Policy
from orchestrator.core.price import PriceFacts
from orchestrator.engine.runtime import Runtime
from orchestrator.graph.graph import GraphRevision
from orchestrator.health.status import seconds

MIN_WAIT: Final = 1e-3
"""Seconds; shorter waits change no price."""


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """The longest waits that a run accepts, in seconds."""

    retry_after: float
    """The longest wait for a `Retry-After` or a probe."""
    seconds_left: float | None = None
    """Until the run's deadline."""

    @classmethod
    def of(cls, policy: Policy, seconds_left: float | None = None) -> "WaitLimits":
        """The limits of a run under a policy."""
        return cls(policy.retries.max_retry_after, seconds_left)


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds before each tool can be called, and the tools whose wait is too long."""

    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    """Tool -> why it is excluded now: its wait is longer than allowed."""
    late: frozenset[str] = frozenset()
    """Tools whose queue is longer than the remaining time: used only when there is no other."""

    def applied(self, facts: Callable[[str], PriceFacts]) -> dict[str, PriceFacts]:
        """The price facts of the tools with a wait, which is included in their latency."""
        found: dict[str, PriceFacts] = {}
        for name, wait in self.seconds.items():
            fact = facts(name)
            out = name in self.refused or name in self.late
            found[name] = replace(fact, latency=fact.latency + wait, success=0.0 if out else fact.success)
        return found


NONE: Final = Waits()


def known_waits(
    runtime: Runtime,
    view: GraphRevision,
    goal: tuple[str, ...],
    own: Mapping[str, float],
    seconds_left: float | None = None,
    run_id: str = "",
) -> Waits:
    """The waits of the tools that could take part in a route; `own` are those of this run (tool -> seconds).

    `seconds_left`: until the run's deadline. `run_id`: the run that asks, whose own planned calls are not ahead of it.
    """
    set_by_others: dict[str, float] = {}
    if runtime.health.entries.restless:  # every tool with a wait is among them
        set_by_others = runtime.health.waits()
        if runtime.health.accounts_refused:
            set_by_others |= _probes(runtime)
    queues = runtime.queues(run_id) if runtime.limits else {}
    if not (set_by_others or queues or own):
        return NONE
    limits = WaitLimits.of(runtime.policy, seconds_left)
    found: dict[str, float] = {}
    refused: dict[str, str] = {}
    late: set[str] = set()
    for name in sorted({*set_by_others, *queues, *own} & view.cone(goal).names):
        named, queue = max(set_by_others.get(name, 0.0), own.get(name, 0.0)), queues.get(name, 0.0)
        wait = max(named, queue)
        if wait < MIN_WAIT:
            continue
        found[name] = wait
        over = "" if wait != named else _too_long(named, limits)
        if over:
            refused[name] = f"{_cause(runtime, name)}: {over}"
        elif limits.seconds_left is not None and wait >= limits.seconds_left:
            late.add(name)
    return Waits(found, refused, frozenset(late))


def _too_long(wait: float, limits: WaitLimits) -> str:
    if wait > limits.retry_after:
        return f"it can be called again in {seconds(wait)}, longer than the {limits.retry_after:g} s that a run waits"
    if limits.seconds_left is not None and wait >= limits.seconds_left:
        return f"it can be called again in {seconds(wait)}, after the deadline in {seconds(limits.seconds_left)}"
    return ""


def _cause(runtime: Runtime, name: str) -> str:
    return runtime.health.status(name).reason or "a retry backs off"


def _probes(runtime: Runtime) -> dict[str, float]:
    """Tools with a refused account -> seconds until they may be probed."""
    health = runtime.health
    refused = [name for name in health.touched() if health.account_refused(name)]
    return {name: wait for name in refused if (wait := health.probe_wait(name))}


__all__ = ["MIN_WAIT", "NONE", "WaitLimits", "Waits", "known_waits"]
