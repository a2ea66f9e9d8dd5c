"""One tool call of an agent while it is healed, and how its tools are run where the agent runs."""

import asyncio
import contextvars
import queue
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt.tool_node import ToolCallRequest

from orchestrator.core.errors import CallerError, Refused
from orchestrator.integrations.reported import failure_of

INVOCATION: Final = "Error invoking tool"
"""What LangGraph's message begins with when the arguments of a call do not fit the tool."""
Runner = Callable[[ToolCallRequest], "Future[Any]"]
"""Runs a request where the agent runs; the future gives what the original handler gave."""


@dataclass(eq=False)
class ToolCall:
    """A call that an agent makes: what was asked, and what came of it so far."""

    request: ToolCallRequest
    run: Runner
    reply: Any = None
    """What the tool that answered gave: a message, a `Command`, or a list of these."""
    said: dict[str, ToolMessage] = field(default_factory=dict[str, ToolMessage])
    """Tool -> the error message that it gave itself."""
    errors: list[BaseException] = field(default_factory=list[BaseException])
    interrupted: GraphBubbleUp | None = None
    """What a tool raised to interrupt the graph."""
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the child run is to be cancelled, because the graph was interrupted."""

    @property
    def name(self) -> str:
        """The tool that the model asked for."""
        return str(self.request.tool_call["name"])

    @property
    def id(self) -> str:
        """The id of the tool call."""
        return str(self.request.tool_call["id"] or "")

    async def invoke(self, tool: Any, arguments: Mapping[str, Any]) -> Any:
        """Run a tool with these arguments under the id of this call; the value that is recorded for its answer.

        Raises what the tool raised, or the failure that its error message tells of. An interrupt of the graph is no
        failure: it is kept for the caller, and the call ends.
        """
        if self.interrupted is not None:
            return None
        named: Any = {**self.request.tool_call, "name": tool.name, "args": dict(arguments)}
        request = self.request if tool is self.request.tool else self.request.override(tool_call=named, tool=tool)
        try:
            output = await asyncio.wrap_future(self.run(request))
        except GraphBubbleUp as bubble:
            self.interrupted = bubble
            return None
        except ToolException as error:
            self.errors.append(error)
            raise failure_of(str(error) or "it failed") from error
        except Exception as error:
            self.errors.append(error)
            raise
        return self._taken(tool.name, output)

    async def abandon(self) -> None:
        """Have the child run cancelled; does not return."""
        self.abandoned.set()
        await asyncio.Event().wait()

    def _taken(self, tool: str, output: Any) -> Any:
        if isinstance(output, ToolMessage) and output.status == "error":
            self.said[tool] = output
            text = str(output.text)
            raise CallerError(text) if text.startswith(INVOCATION) else failure_of(text or "it failed")
        if isinstance(output, ToolMessage) and tool != self.name:
            output = output.model_copy(update={"name": self.name, "additional_kwargs": {"answered_by": tool}})
        self.reply = output
        return output.content if isinstance(output, ToolMessage) else None

    def message(self, content: Any, *, error: bool = False) -> ToolMessage:
        """An answer under the id of this call."""
        return ToolMessage(content, name=self.name, tool_call_id=self.id, status="error" if error else "success")


def in_loop(handler: Callable[[ToolCallRequest], Awaitable[Any]]) -> Runner:
    """Runs requests in the running loop, in the caller's context."""
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()

    def run(request: ToolCallRequest) -> "Future[Any]":
        result: Future[Any] = Future()

        async def work() -> None:
            try:
                found = await handler(request)
            except BaseException as error:
                if not result.done():  # once it began, a cancelled call may have had its effect
                    cancelled = ConnectionAbortedError("the call was cancelled while it ran")
                    result.set_exception(error if isinstance(error, Exception) else cancelled)
                if not isinstance(error, Exception):
                    raise
            else:
                if not result.done():
                    result.set_result(found)

        def start() -> None:
            task = loop.create_task(work(), context=context)
            task.add_done_callback(lambda _: _never_began(result))
            result.add_done_callback(lambda done: loop.call_soon_threadsafe(task.cancel) if done.cancelled() else None)

        loop.call_soon_threadsafe(start)
        return result

    return run


def _never_began(result: "Future[Any]") -> None:
    if not result.done():
        result.set_exception(Refused("the call was cancelled before it began"))


class InThread:
    """Runs requests in the caller's own thread, which waits for the outcome meanwhile."""

    def __init__(self, handler: Callable[[ToolCallRequest], Any]) -> None:
        self._handler = handler
        self._work: queue.SimpleQueue[tuple[ToolCallRequest, Future[Any]] | None] = queue.SimpleQueue()

    def run(self, request: ToolCallRequest) -> "Future[Any]":
        """Hand a request over."""
        result: Future[Any] = Future()
        self._work.put((request, result))
        return result

    def until(self, outcome: "Future[Any]") -> Any:
        """Run what is handed over until the outcome is there."""
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


__all__ = ["InThread", "Runner", "ToolCall", "in_loop"]
