"""`HealingMiddleware`: heals the tool calls of a LangChain agent."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired, cast

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import AgentState, PrivateStateAttr
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime

from orchestrator.api import Orchestrator
from orchestrator.core.calls.options import checked
from orchestrator.core.policy import Policy
from orchestrator.store import Store

from .healer import Healer
from .hooks import Hooks, labels_of, run_of_node, thread_of
from .loop import submit


class HealingState(AgentState[Any]):
    """What the middleware keeps in the agent's state."""

    healing_run: NotRequired[Annotated[str, PrivateStateAttr]]


class HealingMiddleware(AgentMiddleware[HealingState, Any, Any]):
    """`create_agent(model, tools, middleware=[HealingMiddleware(alternatives={"search": ["brave"]})])`.

    When a tool fails, an alternative answers under the same tool-call id; when none does, the model gets one message
    that says what was tried. The options are those of `HealingToolNode`. A root run is open while the agent runs; its
    tool calls are the children, and the thread id is a label.
    """

    state_schema = HealingState

    @checked()
    def __init__(
        self,
        orc: Orchestrator | None = None,
        *,
        alternatives: Any = None,
        effects: Mapping[str, str] | None = None,
        policy: Policy | str | None = None,
        store: Store | str | Path | None = None,
    ) -> None:
        super().__init__()
        self.tools = []
        self._healer = Healer(orc, alternatives=alternatives, effects=effects, policy=policy, store=store)
        self._hooks = Hooks(self._healer, _where, close=False)

    @property
    def orc(self) -> Orchestrator:
        """The orchestrator whose health, policy and store apply."""
        return self._healer.orc

    def before_agent(self, state: HealingState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Name the root run of this run of the agent; it opens with the first tool call."""
        del state, runtime
        return {"healing_run": f"agent-{uuid.uuid4().hex[:16]}"}

    async def abefore_agent(self, state: HealingState, runtime: Runtime[Any]) -> dict[str, Any]:
        """The same."""
        return self.before_agent(state, runtime)

    def after_agent(self, state: HealingState, runtime: Runtime[Any]) -> None:
        """End the root run."""
        del runtime
        submit(self._healer.sessions.close(state.get("healing_run", ""))).result()

    async def aafter_agent(self, state: HealingState, runtime: Runtime[Any]) -> None:
        """The same."""
        del runtime
        await asyncio.wrap_future(submit(self._healer.sessions.close(state.get("healing_run", ""))))

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Heal a call."""
        return self._hooks.call(request, handler)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """Heal a call."""
        return await self._hooks.acall(request, handler)


def _where(request: ToolCallRequest) -> tuple[str, Mapping[str, str]]:
    state: Any = request.state
    if isinstance(state, Mapping):
        run = cast("Mapping[str, Any]", state).get("healing_run")
    else:
        run = getattr(state, "healing_run", None)
    return (str(run), labels_of(thread_of(request))) if run else run_of_node(request)


__all__ = ["HealingMiddleware"]
