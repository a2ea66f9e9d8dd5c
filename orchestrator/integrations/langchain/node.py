"""`HealingToolNode`: LangGraph's `ToolNode` whose tool calls are healed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest

from orchestrator.api import Orchestrator
from orchestrator.core.calls.options import check_names, checked
from orchestrator.core.calls.signatures import signature_of
from orchestrator.core.policy import Policy
from orchestrator.graph.tool import Tool
from orchestrator.store import Store

from .execution import Executions
from .healer import Healer
from .hooks import Hooks, run_of_node


@checked(what="HealingToolNode")
def HealingToolNode(  # noqa: N802 - it stands in the place of a class
    tools: Sequence[BaseTool | Callable[..., Any] | Tool],
    *,
    orc: Orchestrator | None = None,
    alternatives: Any = None,
    effects: Mapping[str, str] | None = None,
    policy: Policy | str | None = None,
    store: Store | str | Path | None = None,
    **options: Any,
) -> ToolNode:
    """A `ToolNode` in which an alternative answers, under the same tool-call id, when a tool fails.

    `alternatives` says which tools stand in for which: `{"search": ["brave", ("cache", {"key": "query"})]}`, where a
    mapping gives the alternative's argument by the name of the original's. In `orc`, tools that give the same key stand
    in for each other. A tool counts as a write, which is neither repeated nor replaced once it may have happened, until
    `effects={"search": "read"}` says otherwise. `policy` and `store` are those of `Orchestrator`; `options` those of
    `ToolNode`. A `wrap_tool_call` among them is around the healing, as the outer one of two.

    Each execution of the node is a run, its tool calls are the children, and the thread id is a label. When nothing
    answers, the model gets one message that says what was tried; with `handle_tool_errors` stated, an error of a tool
    that has no alternative is handled, or raised, as that says. Raises `DefinitionError` for unknown names.
    """
    originals = cast("Callable[..., Any]", ToolNode.__init__)  # pyright: ignore[reportUnknownMemberType]
    own = signature_of(HealingToolNode).parameters
    check_names("HealingToolNode", options, {*own, *signature_of(originals).parameters} - {"self", "options"})
    stated = "handle_tool_errors" in options
    healer = Healer(orc, alternatives=alternatives, effects=effects, policy=policy, store=store, as_original=stated)
    hooks = Hooks(healer, run_of_node, close=True)
    plain = [tool.as_langchain() if isinstance(tool, Tool) else tool for tool in tools]
    node = ToolNode(plain, **{**options, **_wrappers(hooks, options)})
    healer.adopt(node.tools_by_name.values())
    executions = Executions(node, hooks)
    functions = cast("Any", node)
    functions.func, functions.afunc = executions.func, executions.afunc
    node.orc = healer.orc  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    return node


def _wrappers(hooks: Hooks, options: Mapping[str, Any]) -> dict[str, Any]:
    """The healing hooks, wrapped by the caller's own.

    With only a sync wrapper, `ToolNode` uses it for async calls too, and so does this node.
    """
    outer, aouter = options.get("wrap_tool_call"), options.get("awrap_tool_call")

    def call(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Any]) -> Any:
        def healed(inner: ToolCallRequest) -> Any:
            return hooks.call(inner, execute)

        return healed(request) if outer is None else outer(request, healed)

    async def acall(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
        async def healed(inner: ToolCallRequest) -> Any:
            return await hooks.acall(inner, execute)

        return await (healed(request) if aouter is None else aouter(request, healed))

    sync_alone = outer is not None and aouter is None
    return {"wrap_tool_call": call, "awrap_tool_call": None if sync_alone else acall}


__all__ = ["HealingToolNode"]
