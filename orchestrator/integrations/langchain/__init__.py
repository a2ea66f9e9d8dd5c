"""LangChain and LangGraph: healed tool calls for existing agents."""

from typing import TYPE_CHECKING, Any

from orchestrator.core.process.installation import import_part

if TYPE_CHECKING:
    from .chat_model import HealingChatModel
    from .middleware import HealingMiddleware
    from .node import HealingToolNode

_MODULES = {"HealingChatModel": "chat_model", "HealingMiddleware": "middleware", "HealingToolNode": "node"}


def __getattr__(name: str) -> Any:
    """Import on first use: the middleware needs the package langchain, the node langgraph alone."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_part(f"{__name__}.{_MODULES[name]}", name), name)


__all__ = ["HealingChatModel", "HealingMiddleware", "HealingToolNode"]
