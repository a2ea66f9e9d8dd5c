"""When an invocation of a graph ends: returned, raised, cancelled or interrupted."""

import contextlib
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime


def at_end(runtime: Runtime[Any], ended: Callable[[bool], object]) -> None:
    """Call `ended(interrupted)` when the invocation of the graph that runs the current node ends, in any thread.

    LangGraph has no hook for that: a graph that raises, or is cancelled, runs no further node, and callback handlers
    are chosen before it begins. Its loop keeps an exit stack, which is reached through the config of the node. Where a
    version keeps it elsewhere, the stream writer that each invocation has of its own is watched: it is dropped at the
    end, at the latest by the garbage collector.
    """
    with contextlib.suppress(AttributeError, TypeError):
        _exit_stack().push(_calling(ended))
        return
    with contextlib.suppress(TypeError):  # a stream writer that cannot be watched
        weakref.finalize(runtime.stream_writer, ended, False).atexit = False


def _exit_stack() -> Any:
    """The exit stack of the loop of the graph. Raises `AttributeError` where there is none."""
    configurable: Mapping[str, Any] = get_config().get("configurable", {})
    call: Any = configurable.get("__pregel_call")
    return call.keywords.get("schedule_task").__self__.stack


def _calling(ended: Callable[[bool], object]) -> Callable[..., None]:
    def leave(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        del kind, trace
        ended(isinstance(error, GraphBubbleUp))

    return leave


__all__ = ["at_end"]
