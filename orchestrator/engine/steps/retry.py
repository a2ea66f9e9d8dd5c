"""Decides whether a failed attempt is retried (pure, so that replay can repeat the decision), and the back-off."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.core.enums import DecisionKind, FailureKind
from orchestrator.core.failure import Failure
from orchestrator.core.price import PICO
from orchestrator.engine.planning.compare import Comparison, compare
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.graph.tool import Tool
from orchestrator.health.retry_budget import backoff
from orchestrator.health.status import seconds

from .result import AttemptFailed

_RETRIED: Final = (FailureKind.TRANSIENT, FailureKind.AMBIGUOUS, FailureKind.INVALID_OUTPUT)


@dataclass(frozen=True, slots=True)
class RetryFacts:
    """The facts of the decision to retry."""

    kind: FailureKind
    attempt: int
    """The attempt that failed, from 1."""
    retries: int
    """Retries allowed after the first attempt."""
    in_budget: bool
    """Whether the retry budget allowed a retry."""
    retry_after: float | None = None
    """Seconds of the server's `Retry-After`."""
    max_retry_after: float = 30.0
    seconds_left: float | None = None
    """Seconds until the run's deadline."""
    is_agent: bool = False
    repeatable: bool = True
    """Whether a second call cannot repeat the effect: a read, a proof that nothing happened, an idempotency key."""
    usable: bool = True
    """Whether the tool's circuit is still closed."""
    own: bool = False
    """Whether the number of retries is declared by the tool, not by the policy."""
    wait: float = 0.0
    """Seconds before the retry: its back-off, or the server's `Retry-After` if longer."""
    again: int | None = None
    """Picodollars of the cheapest route with the retry, its wait included; `None` when nothing was compared."""
    other: int | None = None
    """Picodollars of the cheapest route without the tool; `None` when there is none."""
    route: str = ""
    """The route without the tool."""

    @property
    def left(self) -> int:
        """Retries left."""
        return max(0, self.retries - self.attempt + 1)

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
    """Whether to retry, with the reason. This is the only layer that retries."""
    if not facts.repeatable:
        return False, "it may have happened, and nothing makes a second call safe"
    again = facts.kind in (FailureKind.TRANSIENT, FailureKind.AMBIGUOUS)
    again = again or (facts.kind is FailureKind.INVALID_OUTPUT and facts.is_agent)
    if not again:
        kind = "refused account" if facts.kind is FailureKind.ACCOUNT else facts.kind.replace("_", " ")
        return False, f"{'an' if kind[0] in 'aeio' else 'a'} {kind} is not retried"
    if facts.attempt > facts.retries:
        return False, f"its {facts.retries} retries are used up" if facts.retries else "it has no retries"
    if not facts.usable:
        return False, "its circuit is open"
    if facts.retry_after is not None and facts.retry_after > facts.max_retry_after:
        return False, f"it asks to wait {facts.retry_after:g} s, longer than the {facts.max_retry_after:g} s allowed"
    wait = max(facts.wait, facts.retry_after or 0.0)
    if facts.seconds_left is not None and wait >= facts.seconds_left:
        return False, "the deadline comes first"
    if facts.other is not None and (facts.again is None or facts.other < facts.again):
        price = "" if facts.again is None else f" at ${facts.again / PICO:.6g}"
        return False, f"a retry in {wait:.3g} s{price} is dearer than {facts.route} at ${facts.other / PICO:.6g}"
    if not facts.in_budget:
        return False, "the budget for healing is used up"
    return True, f"attempt {facts.attempt + 1} of {facts.retries + 1}"


def retry_facts(run: Run, tool: Tool, failure: Failure, *, repeatable: bool, last_resort: bool = False) -> RetryFacts:
    """Collect the facts of the decision to retry; takes a token of the retry budget when a retry is possible."""
    runtime, retries = run.runtime, run.runtime.policy.retries
    spent = run.state.tries.get(tool.name, 0)
    facts = RetryFacts(
        kind=failure.kind,
        attempt=spent,
        retries=tool.retries if tool.retries is not None else retries.attempts,
        in_budget=True,
        retry_after=failure.retry_after,
        max_retry_after=retries.max_retry_after,
        seconds_left=run.account.seconds_left(),
        is_agent=tool.is_agent,
        repeatable=repeatable,
        usable=runtime.health.usable(tool.name),
        own=tool.retries is not None,
        wait=pause(runtime, spent, failure.retry_after),
    )
    if facts.repeatable and facts.left and failure.kind in _RETRIED:
        facts = _compared(run, tool, failure, facts, last_resort=last_resort)
        if decide_retry(facts)[0]:
            facts = replace(facts, in_budget=runtime.healing.allow(tool.name))
    return facts


def _compared(run: Run, tool: Tool, failure: Failure, facts: RetryFacts, *, last_resort: bool) -> RetryFacts:
    """The facts with the prices of the alternatives. An ambiguous effect, and an agent that is asked again with its
    error, cannot be rerouted. Without another route, a circuit that opened during the attempt does not forbid retries;
    one that was open before does, so that retries do not prolong an outage.
    """
    bound = failure.kind in (FailureKind.AMBIGUOUS, FailureKind.INVALID_OUTPUT) or tool.name in run.state.doubt
    found = Comparison() if bound else compare(run, tool.name, facts.wait)
    last = not last_resort and found.other is None
    usable = facts.usable or (last and run.runtime.health.usable(tool.name, last_resort=True))
    return replace(facts, usable=usable, again=found.again, other=found.other, route=found.route)


def may_repeat(run: Run, tool: Tool, failed: AttemptFailed) -> bool:
    """Whether the attempt is retried, after a wait that the run keeps; if so, the decision is recorded."""
    if failed.answered:
        if failed.repeatable:
            run.hold_back(tool.name, pause(run.runtime, run.state.tries.get(tool.name, 0), failed.failure.retry_after))
        return failed.repeatable
    facts = retry_facts(run, tool, failed.failure, repeatable=failed.repeatable, last_resort=failed.last_resort)
    again, reason = decide_retry(facts)
    if again:
        run.hold_back(tool.name, facts.wait)
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


def why_not_retried(run: Run, failure: Failure) -> tuple[str, bool]:
    """Why a failed attempt is not retried, and whether a later plan of the run may still use the tool.

    It may if retries are left: the retry was only more expensive, or its wait too long.
    """
    recorded = run.not_retried.get(failure.id)
    if recorded is None:
        return "", False
    facts = RetryFacts.from_json(recorded)
    kept = facts.repeatable and facts.left > 0 and facts.in_budget
    waits = facts.retry_after is not None and facts.retry_after > facts.max_retry_after
    kept = kept and (facts.other is not None or waits or facts.kind is FailureKind.ACCOUNT)
    if kept:
        run.hold_back(failure.tool, facts.wait)
    reason = decide_retry(facts)[1]
    if facts.retry_after and not (kept or waits):
        reason += f"; it asks to wait {seconds(facts.retry_after)}"
    return reason, kept


def pause(runtime: Runtime, attempt: int, retry_after: float | None = None) -> float:
    """Seconds before the next attempt of a call or a compensation, after its `attempt`th failed."""
    return max(backoff(attempt, runtime.policy.retries, runtime.draws), retry_after or 0.0)
