"""`HealingToolNode`: LangGraph's `ToolNode` whose tool calls are healed."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode

from orchestrator.api import Orchestrator
from orchestrator.core.calls.options import check_names
from orchestrator.core.policy import Policy
from orchestrator.graph.tool import Tool
from orchestrator.store import Store

from .healer import Healer
from .hooks import Hooks, run_of_node


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
    """A `ToolNode` in which an alternative answers, under the same tool-call id, for a tool that fails.

    `alternatives` says which tools stand in for which: `{"search": ["brave", ("cache", {"key": "query"})]}`, where a
    mapping gives the alternative's argument by the name of the original's. In `orc`, tools that give the same key stand
    in for each other. A tool counts as a write, which is neither repeated nor replaced once it may have happened, until
    `effects={"search": "read"}` says otherwise. `policy` and `store` are those of `Orchestrator`; `options` those of
    `ToolNode`.

    Each execution of the node is a run, its tool calls are the children, and the thread id is a label. When nothing
    answers, the model gets one message that says what was tried. Raises `DefinitionError` for unknown names.
    """
    own = signature(HealingToolNode).parameters
    check_names("HealingToolNode", options, {*own, *signature(ToolNode.__init__).parameters} - {"self", "options"})
    healer = Healer(orc, alternatives=alternatives, effects=effects, policy=policy, store=store)
    hooks = Hooks(healer, run_of_node, close=True)
    plain = [tool.as_langchain() if isinstance(tool, Tool) else tool for tool in tools]
    node = ToolNode(plain, wrap_tool_call=hooks.call, awrap_tool_call=hooks.acall, **options)
    healer.adopt(node.tools_by_name.values())
    node.orc = healer.orc  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    return node


__all__ = ["HealingToolNode"]
