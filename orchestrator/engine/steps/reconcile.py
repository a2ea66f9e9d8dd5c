"""Uncertain effects: asks a tool's `reconcile` whether a write took place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.calls.user_code import UserCall, describe_error
from orchestrator.core.enums import NOT_DONE, DecisionKind
from orchestrator.core.events import ProblemReported
from orchestrator.core.failure import Failure
from orchestrator.engine.run import Run
from orchestrator.graph.tool import Tool

from .context import context_argument
from .outputs import validated_outputs
from .result import AttemptFailed
from .retry import decide_retry, retry_facts


@dataclass(frozen=True, slots=True)
class Found:
    """The effect took place: the outputs it gave."""

    outputs: dict[str, Any]


async def settle(run: Run, tool: Tool, failure: Failure, *, running: bool = False) -> Found | AttemptFailed:
    """Ask `reconcile` whether an uncertain effect took place; if not, the result says whether a retry is safe.

    While the call is still `running`, `NOT_DONE` proves nothing, and nothing is repeated.
    """
    repeatable = tool.idempotency_key is not None and not running
    if tool.reconcile is None:
        return AttemptFailed(failure, repeatable=repeatable)
    try:
        found = await reconciled(run, tool, run.inputs_of(tool))
        outputs = {} if found is NOT_DONE else await validated_outputs(run, tool, found)
    except Exception as error:
        problem = f"it cannot tell: {describe_error(error, text=False)}"
        run.emit(ProblemReported(**run.stamp(), source=f"reconcile of {tool.name}", message=problem))
        return AttemptFailed(failure, repeatable=repeatable)
    if found is not NOT_DONE:
        return Found(outputs)
    if running or (tool.idempotency_key is None and failure.call_id in run.state.doubtful_calls):
        return AttemptFailed(failure, repeatable=False)  # the owner that started the call may still send it
    return _did_not_happen(run, tool, failure)


def note_found(run: Run, failure: Failure) -> None:
    """Record that an uncertain effect took place and its result was found."""
    _decide(run, failure, "it took place", "reconcile found its result")


async def reconciled(run: Run, tool: Tool, inputs: Mapping[str, Any]) -> Any:
    """The answer of `reconcile`: the output, or `NOT_DONE`. Raises when it cannot tell."""
    reconcile = tool.reconcile
    assert reconcile is not None
    given = {**run.accepted(reconcile, inputs), **context_argument(run, tool.name, reconcile)}
    # Not limited by the run's deadline, which may have ended the call: only by the tool's time-out.
    return await run.runtime.clock.wait_for(
        UserCall(reconcile, kwargs=given, in_thread=run.runtime.threads.run).result(),
        tool.timeout or run.runtime.policy.timeout,
    )


def _did_not_happen(run: Run, tool: Tool, failure: Failure) -> AttemptFailed:
    facts = retry_facts(run, tool, failure, repeatable=True)
    again, reason = decide_retry(facts)
    _decide(run, failure, "retry" if again else "reroute", f"it did not take place; {reason}", facts.to_json())
    return AttemptFailed(failure, repeatable=again, answered=True)


def _decide(run: Run, failure: Failure, chosen: str, reason: str, retry: Mapping[str, Any] | None = None) -> None:
    """Record the decision; `retry`: the facts of the decision to retry, if the effect did not take place."""
    run.decide(
        DecisionKind.RECONCILE,
        chosen,
        reason=reason,
        answers=(failure.id,),
        subject=failure.tool,
        facts={"done": retry is None, **({"retry": retry} if retry else {})},
    )
