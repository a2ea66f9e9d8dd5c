"""A goal as a LangChain tool: each call is a run, and a question of the run is an interrupt of the graph around it."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.core.enums import DecisionKind, Status
from orchestrator.core.errors import DefinitionError
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.process.loops import in_a_loop

from .chat_tools import as_text

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


class Runs(Protocol):
    """What runs goals: an orchestrator."""

    async def resume(self, run_id: str, answer: Any = None) -> Outcome[Any]:
        """Answer a run."""
        ...


Start = Callable[[Mapping[str, Any], str | None], Awaitable[Outcome[Any]]]
"""Starts or joins a run with inputs, under an id where there is one."""


def goal_tool(
    runs: Runs, start: Start, name: str, description: str, takes: Mapping[str, tuple[Any, bool]]
) -> "BaseTool":
    """A LangChain tool whose calls reach a goal; `takes` is key -> (type, whether it is required).

    Its message is the value as text, its artifact the record of the run as plain data. A goal that is not reached is
    an error message.
    """
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import StructuredTool, ToolException
    from pydantic import ConfigDict, create_model

    class GoalAsTool(StructuredTool):
        """Passes the id of the tool call on, if there is one."""

        def _to_args_and_kwargs(
            self, tool_input: str | dict[str, Any], tool_call_id: str | None
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            args, kwargs = super()._to_args_and_kwargs(tool_input, tool_call_id)
            return args, {**kwargs, "tool_call_id": tool_call_id or ""}

    async def reach(config: RunnableConfig, tool_call_id: str = "", **inputs: Any) -> tuple[str, dict[str, Any]]:
        thread = str(config.get("configurable", {}).get("thread_id", ""))
        resumable = bool(thread and tool_call_id)
        run_id = f"tool-{hashlib.sha256(f'{thread}/{tool_call_id}'.encode()).hexdigest()[:16]}" if resumable else None
        given = {key: value for key, value in inputs.items() if value is not None or takes[key][1]}
        outcome = await start(given, run_id)
        if outcome.status is Status.WAITING:
            outcome = await _ask(runs, outcome, resumable=resumable)
        if outcome.status is Status.WAITING:
            asked = outcome.questions[0].text if outcome.questions else "a question"
            return f"The run {outcome.run_id} waits for a person: {asked}", outcome_record(outcome)
        if not outcome.ok:
            reason = outcome.impasse.message if outcome.impasse is not None else str(outcome.status)
            raise ToolException(f"{name} was not reached: {reason} (run {outcome.run_id})")
        return as_text(outcome.value), outcome_record(outcome)

    def reach_sync(config: RunnableConfig, tool_call_id: str = "", **inputs: Any) -> tuple[str, dict[str, Any]]:
        return in_a_loop(reach(config, tool_call_id, **inputs))

    fields: dict[str, Any] = {key: (kind, ... if needed else None) for key, (kind, needed) in takes.items()}
    try:
        schema = create_model(name, __config__=ConfigDict(arbitrary_types_allowed=True), **fields)
    except Exception as error:
        raise DefinitionError(f"The goal {name!r} cannot be a LangChain tool: {error}") from error
    return GoalAsTool(
        name=name,
        description=description,
        args_schema=schema,
        coroutine=reach,
        func=reach_sync,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def tool_name(goal: Goal[Any]) -> str:
    """The keys of a goal as the name of a tool: at most 64 letters, digits, `_` and `-`, as model providers ask for."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", "_and_".join(goal.keys))[:64]


def outcome_record(outcome: Outcome[Any]) -> dict[str, Any]:
    """A run as plain data for any checkpointer: its status, its attempts, every decision with its reason."""
    return {
        "run_id": outcome.run_id,
        "status": str(outcome.status),
        "route": list(outcome.route.tools) if outcome.route else [],
        "failures": [{"tool": f.tool, "kind": str(f.kind), "message": f.message} for f in outcome.failures],
        "decisions": [{"kind": str(d.kind), "chosen": d.chosen, "reason": d.reason} for d in outcome.decisions],
        "cost": outcome.cost,
    }


async def _ask(runs: Runs, outcome: Outcome[Any], *, resumable: bool) -> Outcome[Any]:
    """Ask through an interrupt of the graph around the tool, if possible. Earlier answers come first, in order."""
    from langgraph.config import get_config
    from langgraph.types import interrupt

    try:
        saves = get_config().get("configurable", {}).get("__pregel_checkpointer") is not None
    except RuntimeError:  # no graph around it
        return outcome
    if not (saves and resumable):
        return outcome
    for _ in range(sum(d.kind is DecisionKind.RESUME for d in outcome.decisions)):
        interrupt({})  # returns an earlier answer
    while outcome.status is Status.WAITING:
        question = outcome.questions[0]
        payload = {"question": question.text, "choices": list(question.choices), "run_id": outcome.run_id}
        outcome = await runs.resume(outcome.run_id, interrupt(payload))
    return outcome


__all__ = ["goal_tool", "tool_name"]
