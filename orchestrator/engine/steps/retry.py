"""Whether a failed attempt is tried again: pure, so that replay can decide it anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.enums import FailureKind


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
