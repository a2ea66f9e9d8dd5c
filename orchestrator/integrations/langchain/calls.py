"""One healed tool call of an agent, and the execution of its tools in the agent's thread or event loop."""

import asyncio
import contextvars
import queue
import types
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import ToolMessage
from langchain_core.tools import StructuredTool, ToolException
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.prebuilt.tool_node import ToolCallRequest

from orchestrator.core.calls.user_code import abnormal_exit, must_propagate
from orchestrator.core.errors import CallerError, Unavailable
from orchestrator.integrations.tool_results import reported_error

try:
    from langgraph.errors import is_invalid_resume
except ImportError:  # before langgraph 1.2.20, which marks no errors

    def is_invalid_resume(error: BaseException) -> bool:
        """Whether a graph was resumed with a value that its interrupt does not accept."""
        del error
        return False


if TYPE_CHECKING:
    from .session import SessionQuestion

INVOCATION: Final = "Error invoking tool"
"""Prefix of LangGraph's message when the arguments of a call do not fit the tool."""
Runner = Callable[[ToolCallRequest], Awaitable[Any]]
"""Runs a request in the agent's thread or loop, and returns the result of the original handler."""


@dataclass(eq=False)
class ToolCall:
    """A call of an agent: the request, and its results so far."""

    request: ToolCallRequest
    run: Runner
    number: int = 0
    """How often outer middleware has made this call before: each repetition is another call."""
    reply: Any = None
    """The output of the tool that answered: a message, a `Command`, or a list of these."""
    results: dict[str, ToolMessage] = field(default_factory=dict[str, ToolMessage])
    """Tool -> its own error message."""
    errors: list[BaseException] = field(default_factory=list[BaseException])
    interrupted: Exception | None = None
    """The exception of a tool that interrupts the graph, or of a resume with an invalid value."""
    on_interrupt: Callable[[], Awaitable[None]] | None = None
    """Records an interrupt before the interrupted child run ends."""
    notice: "asyncio.Future[SessionQuestion | None] | None" = None
    """Done when the call waits for a person, or, with `None`, when its child run has ended or is to be cancelled."""

    @property
    def name(self) -> str:
        """The tool that the model asked for."""
        return str(self.request.tool_call["name"])

    @property
    def tool(self) -> str:
        """The tool that runs for that name, perhaps replaced by a wrapper."""
        return str(getattr(self.request.tool, "name", self.name))

    @property
    def id(self) -> str:
        """The id of the tool call."""
        return str(self.request.tool_call["id"] or "")

    @property
    def is_interrupted(self) -> bool:
        """Whether it is made again when the graph is resumed; a command for a parent graph ends it."""
        return self.interrupted is not None and not isinstance(self.interrupted, ParentCommand)

    def own(self, tool: Any) -> Any:
        """The tool of that name of this call's agent; another agent's if it has none."""
        if tool.name == self.tool:
            return self.request.tool
        every: Any = self.request.runtime.tools  # pyright: ignore[reportUnknownMemberType]
        return next((each for each in every or () if each.name == tool.name), tool)

    async def invoke(self, tool: Any, arguments: Mapping[str, Any]) -> Any:
        """Run a tool with these arguments under the id of this call; the value that is recorded for its answer.

        Raises what the tool raised, or the failure that its error message describes. An interrupt of the graph is no
        failure: it is kept for the caller, and the call ends.
        """
        if self.interrupted is not None:
            return None
        named: Any = {**self.request.tool_call, "name": tool.name, "args": dict(arguments)}
        request = self.request if tool is self.request.tool else self.request.override(tool_call=named, tool=tool)
        try:
            output = await self.run(request)
        except GraphBubbleUp as bubble:
            return await self._interrupt(bubble)
        except ToolException as error:
            self.errors.append(error)
            raise reported_error(str(error) or "it failed") from error
        except Exception as error:
            if is_invalid_resume(error):
                return await self._interrupt(error)
            self.errors.append(error)
            raise
        return self._taken(tool.name, output)

    async def _interrupt(self, error: Exception) -> None:
        self.interrupted = error
        if self.on_interrupt is not None:
            await self.on_interrupt()

    async def abandon(self) -> None:
        """Cancel the child run, because the graph was interrupted; does not return."""
        if self.notice is not None and not self.notice.done():
            self.notice.set_result(None)
        await asyncio.Event().wait()

    def _taken(self, tool: str, output: Any) -> Any:
        if isinstance(output, ToolMessage) and output.status == "error":
            self.results[tool] = output
            text = str(output.text)
            raise CallerError(text) if text.startswith(INVOCATION) else reported_error(text or "it failed")
        if isinstance(output, ToolMessage) and tool != self.tool:
            output = output.model_copy(update={"name": self.name, "additional_kwargs": {"answered_by": tool}})
        self.reply = output
        return output.content if isinstance(output, ToolMessage) else None

    def message(self, content: Any, *, error: bool = False) -> ToolMessage:
        """An answer under the id of this call."""
        return ToolMessage(content, name=self.name, tool_call_id=self.id, status="error" if error else "success")


def in_loop(handler: Callable[[ToolCallRequest], Awaitable[Any]]) -> Runner:
    """Runs requests from any loop in the current loop and in the caller's context."""
    home, context = asyncio.get_running_loop(), contextvars.copy_context()

    async def here(request: ToolCallRequest) -> Any:
        try:
            return await _in_context(handler(request), context)
        except Exception:
            raise
        except BaseException as error:  # a tool that exits or cancels itself must not end the event loop
            if must_propagate(error):
                raise
            if isinstance(error, asyncio.CancelledError):  # it may have had its effect
                raise ConnectionAbortedError("the call was cancelled while it ran") from None
            raise abnormal_exit(error) from None

    async def run(request: ToolCallRequest) -> Any:
        if asyncio.get_running_loop() is home:
            return await here(request)
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(here(request), home))
        except asyncio.CancelledError:
            if must_propagate(asyncio.CancelledError()):
                raise
            raise ConnectionAbortedError("the call was cancelled while it ran") from None

    return run


@types.coroutine
def _in_context(work: Awaitable[Any], context: contextvars.Context) -> Generator[Any, Any, Any]:
    """Awaits as `await` does, in another context than that of the task, which may be used meanwhile."""
    steps = context.run(work.__await__)
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            yielded = context.run(steps.send, value) if error is None else context.run(steps.throw, error)
        except StopIteration as stop:
            return stop.value
        error = None
        try:
            value = yield yielded
        except GeneratorExit:
            context.run(steps.close)
            raise
        except BaseException as thrown:
            error = thrown


def is_async_only(tool: Any) -> bool:
    """Whether a tool cannot be called by an agent that is not async."""
    return isinstance(tool, StructuredTool) and tool.func is None


class CallerThread:
    """Runs requests in the caller's own thread while it waits for the outcome."""

    def __init__(self, handler: Callable[[ToolCallRequest], Any]) -> None:
        self._handler = handler
        self._work: queue.SimpleQueue[tuple[ToolCallRequest, Future[Any]] | None] = queue.SimpleQueue()

    async def run(self, request: ToolCallRequest) -> Any:
        """Pass a request to the thread, and wait for its result."""
        if is_async_only(request.tool):
            raise Unavailable(f"{request.tool.name} is async-only, and the agent is not async")  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
        result: Future[Any] = Future()
        self._work.put((request, result))
        return await asyncio.wrap_future(result)

    def until(self, outcome: "Future[Any]") -> Any:
        """Run requests until the outcome is available."""
        outcome.add_done_callback(lambda _: self._work.put(None))
        try:
            while (item := self._work.get()) is not None:
                self._one(*item)
        except BaseException:
            outcome.cancel()
            raise
        return outcome.result()

    def _one(self, request: ToolCallRequest, result: "Future[Any]") -> None:
        if not result.set_running_or_notify_cancel():
            return
        try:
            result.set_result(self._handler(request))
        except Exception as error:
            result.set_exception(error)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            result.set_exception(abnormal_exit(error))


__all__ = ["CallerThread", "Runner", "ToolCall", "in_loop", "is_async_only"]
