"""Uncertain effects: whether a write that may have happened did, as far as its tool can tell."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.core.enums import NOT_DONE, DecisionKind
from orchestrator.core.failure import Failure

from .context import CallContext, context_argument
from .result import AttemptFailed, Settled
from .retry import decide_retry

if TYPE_CHECKING:
    from orchestrator.engine.run import Run

    from .executor import StepExecutor


async def settle(caller: "StepExecutor", failure: Failure, context: CallContext) -> AttemptFailed:
    """Find out whether an uncertain effect took place, as far as the tool can tell.

    Raises `Settled` (an ending, no error) when it did; the returned error says whether a repetition is safe.
    """
    repeatable = caller.tool.idempotency_key is not None
    if caller.tool.reconcile is None:
        return AttemptFailed(failure, repeatable=repeatable)
    try:
        found = await reconciled(caller)
        outputs = {} if found is NOT_DONE else await caller.checked(found)
    except Exception as error:
        caller.feedback = f"reconcile cannot tell: {type(error).__name__}"
        return AttemptFailed(failure, repeatable=repeatable)
    if found is NOT_DONE:
        return _did_not_happen(caller, failure)
    caller.succeed(outputs, context, caller.runtime.clock.monotonic(), later=True)
    note_found(caller.run, failure)  # after the result: a process that stops in between must not call again
    raise Settled


def note_found(run: "Run", failure: Failure) -> None:
    """Put on record that an uncertain effect took place: its result is there."""
    _decide(run, failure, "it took place", "reconcile found its result")


async def reconciled(caller: "StepExecutor") -> Any:
    """What `reconcile` finds: the output, or `NOT_DONE`. Raises when it cannot tell."""
    reconcile = caller.tool.reconcile
    assert reconcile is not None
    given = caller.run.accepted(reconcile, caller.inputs)
    given |= context_argument(caller.run, caller.tool.name, reconcile)
    is_async = inspect.iscoroutinefunction(reconcile)
    # The run's deadline may have cut the call off; what it did is found out all the same, within the tool's time-out.
    return await caller.runtime.clock.wait_for(
        caller.call(reconcile, [], given, is_async=is_async),
        caller.tool.timeout or caller.runtime.policy.timeout,
    )


def _did_not_happen(caller: "StepExecutor", failure: Failure) -> AttemptFailed:
    facts = caller.retry_facts(failure, repeatable=True)
    again, reason = decide_retry(facts)
    _decide(caller.run, failure, "retry" if again else "reroute", f"it did not take place; {reason}", facts.to_json())
    return AttemptFailed(failure, repeatable=again, answered=True)


def _decide(run: "Run", failure: Failure, chosen: str, reason: str, retry: Mapping[str, Any] | None = None) -> None:
    """`retry` are the facts that a repetition is decided on, where the effect did not take place."""
    run.decide(
        DecisionKind.RECONCILE,
        chosen,
        reason=reason,
        answers=(failure.id,),
        subject=failure.tool,
        facts={"done": retry is None, **({"retry": retry} if retry else {})},
    )
