"""Which steps a person must approve before they start, and why."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.core.enums import Effect
from orchestrator.graph.tool import Tool
from orchestrator.health.monitors.signal import WHOLE_RUN

if TYPE_CHECKING:
    from orchestrator.engine.run import Run


def is_approved(run: "Run", tool: Tool, inputs: Mapping[str, Any]) -> bool:
    """Whether a step may start without asking a person (first)."""
    return tool.name in run.state.approved or not why_approval(run, tool, inputs)


def why_approval(run: "Run", tool: Tool, inputs: Mapping[str, Any]) -> str:
    """Why a person must approve a step before it starts; empty when nobody must."""
    approval = tool.approval
    if callable(approval):
        try:
            asks = approval(**run.accepted(approval, inputs))
        except Exception as error:
            return f"its approval rule raised {type(error).__name__}"
        if asks:
            return "its approval rule says so"
    if approval is True:
        return "it always needs approval"
    if tool.effect is Effect.READ:
        return ""
    tainted = sorted(key for key in (*tool.needs.values(), *tool.optional.values()) if key in run.state.tainted)
    if tainted:
        return f"it would use {', '.join(tainted)}, which a model provided"
    limit = run.runtime.policy.approve_above
    cost = run.runtime.health.money(tool.name, tool.planned_cost())
    if limit is not None and cost > limit:
        return f"it costs ${cost:g}, above the ${limit:g} that the policy allows"
    return _monitors_want(run, tool, inputs)


def _monitors_want(run: "Run", tool: Tool, inputs: Mapping[str, Any]) -> str:
    """Why a monitor wants a person to approve a write; empty when none does."""
    for name in (tool.name, WHOLE_RUN):
        if name in run.approval_wanted:
            return run.approval_wanted[name]
    said = run.runtime.gate(tool, run.state.run_id, inputs)
    return "; ".join(f"{signal.monitor}: {signal.reason or signal.kind}" for signal in said)
