"""`ChildRuns`: the child goals that one call reaches for. Each reach is a call of its own."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Mapping
from typing import Any

from orchestrator.core.enums import Status
from orchestrator.core.errors import Refused
from orchestrator.core.events import ChildEnded
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.engine.run import Run


class ChildRuns:
    """Starts and ends the child runs of one call, and keeps what they cost, did and leave behind."""

    def __init__(self, run: Run, tool: str, call_id: str, usage: "Counter[str]") -> None:
        self._run = run
        self._tool = tool
        self._call_id = call_id
        self._usage = usage
        self.cost = 0.0
        """US dollars of children that were counted for the first time."""
        self.llm_calls = 0

    async def reach(self, goal: Goal[Any], inputs: Mapping[str, Any], key: str | None) -> Outcome[Any]:
        """The outcome of a child goal. Raises `Refused` where the same goal with equal inputs is open above."""
        run, digest = self._run, self._run.digest(inputs)
        if run.is_open(goal.keys, digest):
            raise Refused(f"the goal {goal.name} with equal inputs is already being worked on above")
        part = key if key is not None else f"{goal.name}-{digest[:12]}"
        child_id = f"{run.state.run_id}/{self._tool}/{part}"
        context = contextvars.copy_context()
        _leave_langgraph(context)
        work = run.runtime.reach(run, child_id, goal, inputs, self._call_id, tainted=False)
        outcome, child = await asyncio.create_task(_awaited(work), context=context)
        if outcome.status is not Status.WAITING:
            self._ended(outcome, child)
        return outcome

    def _ended(self, outcome: Outcome[Any], child: Run | None) -> None:
        run = self._run
        first = outcome.run_id not in run.state.children
        if child is not None:
            run.ended_children[outcome.run_id] = child
        if first:
            self.cost += outcome.cost
            self.llm_calls += outcome.llm_calls
            self._usage.update(outcome.usage)  # pyright: ignore[reportArgumentType, reportCallIssue]
        run.emit(
            ChildEnded(
                **run.stamp(),
                call_id=self._call_id,
                tool=self._tool,
                child=outcome.run_id,
                status=outcome.status,
                cost=outcome.cost,
                calls=len(outcome.calls),
            )
        )
        run.account.close_child(self._call_id, outcome.run_id, outcome.cost, counted=first)


async def _awaited(work: Any) -> Any:
    return await work


def _leave_langgraph(context: contextvars.Context) -> None:
    """A child is a run of its own, no subgraph of the LangGraph that called the tool."""
    from langchain_core.runnables.config import var_child_runnable_config

    context.run(var_child_runnable_config.set, None)


__all__ = ["ChildRuns"]
