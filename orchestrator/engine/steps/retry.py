"""Whether a failed attempt is tried again (pure, so that replay can decide it anew), and the back-off before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.enums import DecisionKind, FailureKind
from orchestrator.core.failure import Failure
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.graph.tool import Tool
from orchestrator.health.retry_budget import backoff

from .result import AttemptFailed

_RETRIED: Final = (FailureKind.TRANSIENT, FailureKind.AMBIGUOUS, FailureKind.INVALID_OUTPUT)


@dataclass(frozen=True, slots=True)
class RetryFacts:
    """What the decision to retry is made from."""

    kind: FailureKind
    attempt: int
    """The attempt that failed, from 1."""
    retries: int
    """Retries allowed after the first attempt."""
    in_budget: bool
    """Whether the healing budget had a retry left."""
    retry_after: float | None = None
    """Seconds that the server asked for."""
    max_retry_after: float = 30.0
    seconds_left: float | None = None
    """Until the run's deadline."""
    is_agent: bool = False
    repeatable: bool = True
    """Whether calling again cannot do the effect twice: a read, a proof that nothing happened, an idempotency key."""
    usable: bool = True
    """Whether the tool's circuit is still closed."""
    own: bool = False
    """Whether the tool itself says how many retries it gets, and not the policy."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RetryFacts":
        """The facts that `to_json` wrote."""
        plain: dict[str, Any] = {name: data[name] for name in cls.__slots__ if name in data}
        plain["kind"] = FailureKind(plain["kind"])
        return cls(**plain)


def decide_retry(facts: RetryFacts) -> tuple[bool, str]:
    """Whether to try again, and why (not). One layer retries, and this is it."""
    if not facts.repeatable:
        return False, "it may have happened, and nothing makes a second call safe"
    again = facts.kind in (FailureKind.TRANSIENT, FailureKind.AMBIGUOUS)
    again = again or (facts.kind is FailureKind.INVALID_OUTPUT and facts.is_agent)
    if not again:
        return False, f"a {facts.kind.replace('_', ' ')} is not retried"
    if facts.attempt > facts.retries:
        return False, f"its {facts.retries} retries are used up" if facts.retries else "it has no retries"
    if not facts.usable:
        return False, "its circuit is open"
    if facts.retry_after is not None and facts.retry_after > facts.max_retry_after:
        return False, f"it asks to wait {facts.retry_after:g} s, longer than the {facts.max_retry_after:g} s allowed"
    if facts.seconds_left is not None and (facts.retry_after or 0.0) >= facts.seconds_left:
        return False, "the deadline comes first"
    if not facts.in_budget:
        return False, "the budget for healing is used up"
    return True, f"attempt {facts.attempt + 1} of {facts.retries + 1}"


def retry_facts(run: Run, tool: Tool, failure: Failure, *, repeatable: bool) -> RetryFacts:
    """What the decision to try again is made from now; takes a token of the retry budget where a retry is wanted."""
    runtime, retries = run.runtime, run.runtime.policy.retries
    allowed = tool.retries if tool.retries is not None else retries.attempts
    spent = run.state.tries[tool.name]
    wanted = repeatable and spent <= allowed and failure.kind in _RETRIED
    return RetryFacts(
        kind=failure.kind,
        attempt=spent,
        retries=allowed,
        in_budget=not wanted or runtime.healing.allow(tool.name),
        retry_after=failure.retry_after,
        max_retry_after=retries.max_retry_after,
        seconds_left=run.seconds_left(),
        is_agent=tool.is_agent,
        repeatable=repeatable,
        usable=runtime.health.usable(tool.name),
        own=tool.retries is not None,
    )


def may_repeat(run: Run, tool: Tool, failed: AttemptFailed) -> bool:
    """Whether the attempt is made again; if so, the decision is on record."""
    if failed.answered:
        return failed.repeatable
    facts = retry_facts(run, tool, failed.failure, repeatable=failed.repeatable)
    again, reason = decide_retry(facts)
    if again:
        run.decide(
            DecisionKind.RETRY,
            "retry",
            reason=reason,
            answers=(failed.failure.id,),
            subject=tool.name,
            facts=facts.to_json(),
        )
    else:
        run.not_retried[failed.failure.id] = facts.to_json()
    return again


def pause(runtime: Runtime, attempt: int, retry_after: float | None = None) -> float:
    """Seconds before the next attempt of a call or a compensation, after its `attempt`th failed."""
    return max(backoff(attempt, runtime.policy.retries, runtime.draws), retry_after or 0.0)
