"""Which steps a person must approve before they start, and why."""

from collections.abc import Mapping
from typing import Any

from orchestrator.core.calls.user_code import UserFunctionError, truth_of
from orchestrator.core.enums import Effect
from orchestrator.engine.interruption import Stopped, call_function
from orchestrator.engine.run import Run
from orchestrator.graph.tool import Tool
from orchestrator.health.monitors.signal import WHOLE_RUN


async def why_approval(run: Run, tool: Tool, inputs: Mapping[str, Any]) -> str:
    """Why a person must approve a step before it starts; empty when no approval is needed or it was given.

    Raises `UserFunctionError` when the tool's own rule raises, and `Stopped` when the run ends meanwhile.
    """
    if tool.name in run.state.approved:
        return ""
    if callable(tool.approval):
        return await _by_rule(run, tool, inputs) or _in_general(run, tool, inputs)
    return "it always needs approval" if tool.approval is True else _in_general(run, tool, inputs)


async def _by_rule(run: Run, tool: Tool, inputs: Mapping[str, Any]) -> str:
    rule = tool.approval
    assert callable(rule)
    limit = tool.timeout or run.runtime.policy.timeout
    try:
        asks = truth_of(await call_function(run, rule, kwargs=run.accepted(rule, inputs), seconds=limit))
    except Stopped:
        raise
    except Exception as error:
        raise UserFunctionError("approval", error) from error
    return "its approval rule says so" if asks else ""


def _in_general(run: Run, tool: Tool, inputs: Mapping[str, Any]) -> str:
    """The rules for every write: no tainted value, no cost above the policy's limit, no signal of a monitor."""
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


def _monitors_want(run: Run, tool: Tool, inputs: Mapping[str, Any]) -> str:
    """Why a monitor requires approval of a write; empty when none does."""
    for name in (tool.name, WHOLE_RUN):
        if name in run.approval_wanted:
            return run.approval_wanted[name]
    signals = run.runtime.observers.gate(tool, run.state.run_id, inputs)
    return "; ".join(f"{signal.monitor}: {signal.reason or signal.kind}" for signal in signals)
