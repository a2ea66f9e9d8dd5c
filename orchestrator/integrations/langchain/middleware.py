"""`HealingMiddleware`: heals the tool calls of a LangChain agent."""

import asyncio
import contextlib
import inspect
import uuid
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypeVar, cast

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import AgentState, PrivateStateAttr
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime

from orchestrator.api import Orchestrator
from orchestrator.core.calls.options import checked
from orchestrator.core.policy import Policy
from orchestrator.store import Store

from .healer import Healer
from .hooks import Hooks, run_of_node, shared_loop, thread_labels, thread_of

if TYPE_CHECKING:
    Base = AgentMiddleware["HealingState", Any, Any]
else:
    Base = object


def at_end(runtime: Runtime[Any], ended: Callable[[bool], object]) -> None:
    """Call `ended(interrupted)` when the invocation of the graph that runs the current node ends, in any thread.

    LangGraph has no hook for that: a graph that raises, or is cancelled, runs no further node, and callback handlers
    are chosen before it starts. Its loop has an exit stack, which is accessible through the config of the node. If a
    version keeps it elsewhere, a weak reference to the stream writer of the invocation is used: it is released at the
    end, at the latest by the garbage collector.
    """
    with contextlib.suppress(AttributeError, TypeError):
        _exit_stack().push(_calling(ended))
        return
    with contextlib.suppress(TypeError):  # a stream writer without weak references
        weakref.finalize(runtime.stream_writer, ended, False).atexit = False


def _exit_stack() -> Any:
    """The exit stack of the loop of the graph. Raises `AttributeError` if there is none."""
    configurable: Mapping[str, Any] = get_config().get("configurable", {})
    call: Any = configurable.get("__pregel_call")
    return call.keywords.get("schedule_task").__self__.stack


def _calling(ended: Callable[[bool], object]) -> Callable[..., None]:
    def leave(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        del kind, trace
        ended(isinstance(error, GraphBubbleUp) and not isinstance(error, ParentCommand))

    return leave


C = TypeVar("C")


class HealingState(AgentState[Any]):
    """What the middleware keeps in the agent's state."""

    healing_run: NotRequired[Annotated[str, PrivateStateAttr]]


def _complete(middleware: type[C]) -> type[C]:
    """Add the no-op hooks to a class that `create_agent` looks up on it.

    It compares `type(m).before_model` and the others with the attributes of `AgentMiddleware` by identity, and reads
    `name`, `tools`, `transformers` and `trace_policy`; it never asks whether `m` is an instance.
    """
    for name in dir(AgentMiddleware):
        if not name.startswith("_") and not hasattr(middleware, name):
            setattr(middleware, name, inspect.getattr_static(AgentMiddleware, name))
    return middleware


@_complete
class HealingMiddleware(Base):
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
        self.tools = []
        self._healer = Healer(orc, alternatives=alternatives, effects=effects, policy=policy, store=store)
        self._hooks = Hooks(self._healer, _where, close=False)

    @property
    def orc(self) -> Orchestrator:
        """The orchestrator whose health, policy and store apply."""
        return self._healer.orc

    def before_agent(self, state: HealingState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Open the root run of this run of the agent."""
        del state
        run = self._named(runtime)
        asyncio.run_coroutine_threadsafe(self._begin(run, _thread()), shared_loop()).result()
        return {"healing_run": run}

    async def abefore_agent(self, state: HealingState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Open the root run of this run of the agent."""
        del state
        run = self._named(runtime)
        await self._begin(run, _thread())
        return {"healing_run": run}

    def after_agent(self, state: HealingState, runtime: Runtime[Any]) -> None:
        """End the root run."""
        del runtime
        run = state.get("healing_run", "")
        home = self._healer.sessions.loop_of(run) or shared_loop()
        asyncio.run_coroutine_threadsafe(self._healer.sessions.end(run), home).result()

    async def aafter_agent(self, state: HealingState, runtime: Runtime[Any]) -> None:
        """End the root run."""
        del runtime
        await self._healer.sessions.end(state.get("healing_run", ""))

    def _named(self, runtime: Runtime[Any]) -> str:
        """The id of a new root run, which ends at the latest with this invocation of the graph."""
        run = f"agent-{uuid.uuid4().hex[:16]}"
        at_end(runtime, partial(self._healer.sessions.left, run))
        return run

    async def _begin(self, run: str, thread: str) -> None:
        sessions = self._healer.sessions
        sessions.restarted(thread)
        await sessions.open(run, thread_labels(thread))

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Heal a call."""
        self._rejoin(request)
        return self._hooks.call(request, handler)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """Heal a call."""
        self._rejoin(request)
        return await self._hooks.acall(request, handler)

    def _rejoin(self, request: ToolCallRequest) -> None:
        """After an interrupt the agent continues in another invocation, without the hook that opened its root run."""
        run = _where(request)[0]
        if self._healer.sessions.rejoined(run):
            at_end(request.runtime, partial(self._healer.sessions.left, run))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportUnknownMemberType]


def _thread() -> str:
    return str(get_config().get("configurable", {}).get("thread_id") or "")


def _where(request: ToolCallRequest) -> tuple[str, Mapping[str, str]]:
    state: Any = request.state
    if isinstance(state, Mapping):
        run = cast("Mapping[str, Any]", state).get("healing_run")
    else:
        run = getattr(state, "healing_run", None)
    return (str(run), thread_labels(thread_of(request))) if run else run_of_node(request)
