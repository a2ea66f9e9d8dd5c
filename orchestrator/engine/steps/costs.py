"""The cost of a call by its tool's `cost`; a `cost` function that fails is a failure of its tool.

A read with an unknown cost has failed. A write has taken place: it keeps its output, its cost is what it charged, and
the failure is recorded with a decision.
"""

from orchestrator.core.calls.user_code import UserFunctionError, call_plain
from orchestrator.core.checks import check_number
from orchestrator.core.enums import DecisionKind, Effect
from orchestrator.engine.failures import note_user_failure
from orchestrator.engine.run import Run
from orchestrator.graph.tool import Tool
from orchestrator.graph.tool_options import MAX_COST

from .context import CallContext


def cost_of(tool: Tool, context: CallContext) -> float:
    """US dollars of a call and its children. Raises `UserFunctionError` when `cost` raises or returns no amount."""
    try:
        amount = (
            check_number("its cost", call_plain(tool.cost, context.usage), MAX_COST)
            if callable(tool.cost)
            else tool.cost
        )
    except Exception as error:
        raise UserFunctionError("cost", error) from error
    return amount + context.spent


def cost_or_charged(tool: Tool, context: CallContext) -> tuple[float, UserFunctionError | None]:
    """As `cost_of`; for a write whose `cost` fails, the charged amount and the error. For a read the error is
    raised.
    """
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


__all__ = ["cost_of", "cost_or_charged", "note_unknown_cost"]
