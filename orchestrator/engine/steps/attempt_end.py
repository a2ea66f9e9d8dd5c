"""`AttemptEnd`: records the end of an attempt: its event, its cost, and its result for the budget and for health.

A `cost` function that fails is a failure of its tool. A read with an unknown cost has failed. A write has taken place:
it keeps its output, its cost is what it charged, and the failure is recorded with a decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.calls.user_code import UserFunctionError, call_plain, is_async
from orchestrator.core.checks import check_number
from orchestrator.core.enums import DecisionKind, Effect
from orchestrator.core.events import CallEnded, ProblemReported
from orchestrator.core.failure import Failure
from orchestrator.core.route import Step
from orchestrator.engine.background.learning import note_outcome
from orchestrator.engine.failures import note_user_failure
from orchestrator.engine.interruption import call_function
from orchestrator.engine.run import Run
from orchestrator.graph.tool import Tool
from orchestrator.graph.tool_options import MAX_COST

from .context import CallContext

_NO_USAGE: Final[Mapping[str, float]] = {}


@dataclass(slots=True)
class AttemptEnd:
    """The end of one attempt of a step, which began at `started` (monotonic seconds)."""

    run: Run
    step: Step
    tool: Tool
    context: CallContext
    started: float

    def record(self, **what: Any) -> CallEnded:
        """Record the end; `what` are the fields of `CallEnded` that say how the attempt ended."""
        run, context = self.run, self.context
        children_cost, llm_calls = context.of_children
        event = CallEnded(
            **run.stamp(),
            call_id=context.call_id,
            tool=self.tool.name,
            attempt=context.attempt,
            seconds=max(0.0, run.runtime.clock.monotonic() - self.started),
            usage={name: float(amount) for name, amount in context.usage.items()} if context.has_usage else _NO_USAGE,
            llm_calls=llm_calls,
            children_cost=children_cost,
            **what,
        )
        run.emit(event)
        run.account.settle(context.call_id)
        if event.ok or event.cost:
            run.runtime.charges.note(self.tool.name, event.cost - event.children_cost)
        return event

    def succeeded(self, outputs: Mapping[str, Any], cost: float, *, later: bool = False) -> float:
        """Record the outputs; `later` when `reconcile` found them. Returns US dollars without child runs."""
        run, tool = self.run, self.tool
        kept = run.values.put(tool.name, outputs, run.view)
        event = self.record(ok=True, gives=tuple(tool.gives), kept=kept, cost=cost, reconciled=later)
        if not later:
            run.runtime.health.record(
                tool.name,
                True,
                None,
                self._own_seconds(event),
                self._reported(cost),
                via=self.step.via,
                owner=run.state.run_id,
            )
        if tool.is_agent:
            note_outcome(run, tool, True, event)
        return cost - event.children_cost

    def failed(self, failure: Failure, error: Exception, *, charged_only: bool) -> float:
        """Record a failure; `charged_only` when it proves that the declared cost is not due.

        Returns US dollars without child runs.
        """
        run, tool = self.run, self.tool
        event = self.record(ok=False, failure=failure, cost=self._cost_of_failure(error, charged_only))
        run.runtime.health.record(
            tool.name,
            False,
            failure.kind,
            self._own_seconds(event),
            self._reported(event.cost),
            retry_after=failure.retry_after,
            rate_limited=failure.rate_limited,
            via=self.step.via,
            message=failure.message,
            owner=run.state.run_id,
        )
        if tool.is_agent:
            note_outcome(run, tool, False, event)
        return event.cost - event.children_cost

    def _own_seconds(self, event: CallEnded) -> float:
        """The latency of an attempt in seconds, without those in which a person was asked."""
        return max(0.0, event.seconds - self.context.waited)

    def _reported(self, cost: float) -> float | None:
        """The reported cost of an attempt, for learning; `None` when it reported none."""
        context = self.context
        return cost if context.spent or (callable(self.tool.cost) and context.has_usage) else None

    def _cost_of_failure(self, error: Exception, charged_only: bool) -> float:
        if charged_only or (isinstance(error, UserFunctionError) and error.option == "cost"):
            return self.context.spent
        try:
            return cost_of(self.tool, self.context)
        except UserFunctionError as raised:
            run = self.run
            run.emit(ProblemReported(**run.stamp(), source=self.tool.name, message=str(raised)))
            return self.context.spent


async def await_cost(run: Run, tool: Tool, context: CallContext) -> None:
    """Await the `cost` of a call where that is async, for `cost_of`."""
    if callable(tool.cost) and is_async(tool.cost) and context.awaited_cost is None:
        limit = tool.timeout or run.runtime.policy.timeout
        try:
            amount = await call_function(run, tool.cost, (context.usage,), seconds=limit, stops=False)
            context.awaited_cost = check_number("its cost", amount, MAX_COST)
        except Exception as error:
            context.awaited_cost = error


def cost_of(tool: Tool, context: CallContext) -> float:
    """US dollars of a call and its children. Raises `UserFunctionError` when `cost` raises or returns no amount."""
    if not callable(tool.cost):
        return tool.cost + context.spent
    try:
        awaited = context.awaited_cost
        if isinstance(awaited, Exception):
            raise awaited
        amount = check_number(
            "its cost", call_plain(tool.cost, context.usage) if awaited is None else awaited, MAX_COST
        )
    except Exception as error:
        raise UserFunctionError("cost", error) from error
    return amount + context.spent


def cost_or_charged(tool: Tool, context: CallContext) -> tuple[float, UserFunctionError | None]:
    """As `cost_of`; for a write whose `cost` fails, the charged amount and the error. A read raises the error."""
    try:
        return cost_of(tool, context), None
    except UserFunctionError as error:
        if tool.effect is Effect.READ:
            raise
        return context.spent, error


def note_unknown_cost(run: Run, tool: Tool, error: UserFunctionError) -> None:
    """Record that the `cost` of a write failed, after its result."""
    failure = note_user_failure(run, tool, "cost", error)
    run.decide(
        DecisionKind.RECONCILE,
        "it took place",
        reason="its output is there; what it cost is not known",
        answers=(failure.id,),
        subject=tool.name,
        facts={"done": True},
    )


__all__ = ["AttemptEnd", "cost_of", "cost_or_charged", "note_unknown_cost"]
