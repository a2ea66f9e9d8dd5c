"""The two tool-call hooks of LangChain and LangGraph, over a healer, and the event loops that they run on."""

import asyncio
import hashlib
import os
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar, cast

from langgraph.errors import GraphInterrupt
from langgraph.prebuilt.tool_node import ToolCallRequest

from .asking import ASKING, UNASKED, configurable_of
from .calls import CallerThread, ToolCall, in_loop, is_async_only
from .execution import Execution, Where, execution_of
from .healer import Healer, key_of
from .session import SessionQuestion

T = TypeVar("T")
_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


async def in_home(work: Coroutine[Any, Any, T], home: asyncio.AbstractEventLoop | None) -> T:
    """Run a coroutine in the loop of its session, which usually is the running one."""
    if home is None or home is asyncio.get_running_loop():
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home))


def shared_loop() -> asyncio.AbstractEventLoop:
    """The loop of this process; a fork gets its own."""
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="orchestrator-healing", daemon=True).start()
        return loop


DELIVERY_SECONDS: Final = 1.0
"""Seconds in which a call must take an available answer."""


BLOCKED_SECONDS: Final = 2.0
"""Seconds after which an event loop counts as blocked."""


class Hooks:
    """`wrap_tool_call` and `awrap_tool_call`. A tool that is not registered is left to the original handler."""

    def __init__(self, healer: Healer, where: Where, *, close: bool) -> None:
        self._healer = healer
        self._where = where
        self._close = close
        """Whether a root run ends with its last call."""
        self._asking = ASKING
        self._repeats = _Repeats()

    def call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Heal a call of a sync agent. Tools run in the calling thread.

        An async-only tool is left to the original handler, which raises: no call was made that could be healed.
        """
        if request.tool is None or is_async_only(request.tool):
            return handler(request)
        thread = CallerThread(handler)
        call = ToolCall(request, thread.run, self._repeats.number(request))
        execution = execution_of(self)
        root, labels = self._place(request, execution)
        home = _free(self._healer.sessions.loop_of(root)) or shared_loop()

        def work(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return thread.until(asyncio.run_coroutine_threadsafe(coroutine, home))

        if self._asking.needs_record(request):
            self._asking.take_on(request, work(self._healer.shown(root, task_of(request))))
        if self._close:  # an agent runs each call in a task of its own
            self._asking.isolate(request, key_of(call))
        while True:
            reply = work(self._healer.heal(call, root, labels, is_last=self._is_last(execution)))
            if call.interrupted is not None:
                error = self._asking.interruption(request, call.interrupted)
                if isinstance(error, GraphInterrupt):
                    work(self._healer.show(root, task_of(request), self._asking.shown(request)))
                raise error
            if not isinstance(reply, SessionQuestion):
                return reply
            problem = ""
            if not self._asking.knows(request):
                self._asking.take_on(request, work(self._healer.shown(root, task_of(request))))
            while (answer := self._ask(request, reply, call, problem, work)) is not UNASKED:
                problem = work(self._healer.answer(call, root, reply, answer))
                if not problem:
                    break
            else:
                return call.message(_waiting(reply), error=True)

    async def acall(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
        """Heal a call of an async agent. Tools run in the calling loop."""
        if request.tool is None:
            return await handler(request)
        call = ToolCall(request, in_loop(handler), self._repeats.number(request))
        execution = execution_of(self)
        root, labels = self._place(request, execution)
        home = self._healer.sessions.loop_of(root)
        if self._asking.needs_record(request):
            self._asking.take_on(request, await in_home(self._healer.shown(root, task_of(request)), home))
        if self._close:  # an agent runs each call in a task of its own
            self._asking.isolate(request, key_of(call))
        while True:
            reply = await in_home(self._healer.heal(call, root, labels, is_last=self._is_last(execution)), home)
            if call.interrupted is not None:
                error = self._asking.interruption(request, call.interrupted)
                if isinstance(error, GraphInterrupt):
                    await in_home(self._healer.show(root, task_of(request), self._asking.shown(request)), home)
                raise error
            if not isinstance(reply, SessionQuestion):
                return reply
            problem = ""
            if not self._asking.knows(request):
                self._asking.take_on(request, await in_home(self._healer.shown(root, task_of(request)), home))
            while (answer := await self._aask(request, reply, call, problem, home)) is not UNASKED:
                problem = await in_home(self._healer.answer(call, root, reply, answer), home)
                if not problem:
                    break
            else:
                return call.message(_waiting(reply), error=True)

    def ended(self, root: str) -> None:
        """An execution of a node has ended, in a thread without an event loop."""
        home = _free(self._healer.sessions.loop_of(root))
        if home is not None:
            asyncio.run_coroutine_threadsafe(self._healer.end_idle(root), home).result()

    async def aended(self, root: str) -> None:
        """An execution of a node has ended."""
        home = self._healer.sessions.loop_of(root)
        if home is not None:
            await in_home(self._healer.end_idle(root), home)

    def _place(self, request: ToolCallRequest, execution: Execution | None) -> tuple[str, Mapping[str, str]]:
        """The root run of a call, and its labels."""
        return self._where(request) if execution is None else execution.where(request, self._where)

    def _is_last(self, execution: Execution | None) -> Callable[[], bool] | None:
        if not self._close:
            return None
        return lambda: execution is None or execution.is_over

    def _ask(
        self,
        request: ToolCallRequest,
        question: SessionQuestion,
        call: ToolCall,
        problem: str,
        work: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> Any:
        try:
            return self._asking.ask(request, question, key_of(call), problem)
        except GraphInterrupt:
            work(
                self._healer.show(
                    self._place(request, execution_of(self))[0], task_of(request), self._asking.shown(request)
                )
            )
            raise

    async def _aask(
        self,
        request: ToolCallRequest,
        question: SessionQuestion,
        call: ToolCall,
        problem: str,
        home: asyncio.AbstractEventLoop | None,
    ) -> Any:
        try:
            return self._asking.ask(request, question, key_of(call), problem)
        except GraphInterrupt:
            await self._asking.delivered(request, DELIVERY_SECONDS)
            root = self._place(request, execution_of(self))[0]
            await in_home(self._healer.show(root, task_of(request), self._asking.shown(request)), home)
            await in_home(self._healer.settle(root), home)
            raise


def _free(loop: asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop | None:
    """A loop that runs callbacks; `None` for one that is blocked, for example by the sync call of a graph itself.

    The session of a blocked loop is opened again in the shared loop.
    """
    if loop is None or loop is shared_loop():
        return loop
    called = threading.Event()
    loop.call_soon_threadsafe(called.set)
    blocked = asyncio._get_running_loop() is loop or not called.wait(BLOCKED_SECONDS)  # pyright: ignore[reportPrivateUsage]
    return None if blocked else loop


class _Repeats:
    """Counts how often each tool call of an execution is made: outer middleware may repeat one."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[weakref.ref[Any], Counter[str]]] = {}

    def number(self, request: ToolCallRequest) -> int:
        """How often this call was made before. An execution has a runtime of its own for each call."""
        runtime = cast("Any", request.runtime)  # pyright: ignore[reportUnknownMemberType]
        place = id(runtime)
        known = self._made.get(place)
        if known is None or known[0]() is not runtime:
            known = self._made[place] = weakref.ref(runtime, lambda _: self._made.pop(place, None)), Counter()
        name = repr(request.tool_call)
        known[1][name] += 1
        return known[1][name] - 1


def _waiting(question: SessionQuestion) -> str:
    return (
        f"A person is asked before this can continue: {question.text} "
        f"(run {question.run_id}; the graph has no checkpointer, so it cannot wait for the answer)"
    )


def thread_of(request: ToolCallRequest) -> str:
    """The thread id of the graph around a call; empty when it has none."""
    configurable = configurable_of(request)
    return str(configurable.get("thread_id") or "")


def task_of(request: ToolCallRequest) -> str:
    """The task of the graph that a call is made in."""
    return str(configurable_of(request).get("__pregel_task_id") or "")


def thread_labels(thread: str) -> dict[str, str]:
    """The labels of a root run."""
    return {"thread_id": thread} if thread else {}


def run_of_node(request: ToolCallRequest) -> tuple[str, Mapping[str, str]]:
    """The root run of one execution of a node: the same when the graph runs the node again after an interrupt."""
    configurable = configurable_of(request)
    thread, task = thread_of(request), configurable.get("__pregel_task_id")
    if not task:
        return f"node-{uuid.uuid4().hex[:16]}", thread_labels(thread)
    named = f"{thread}/{configurable.get('checkpoint_ns', '')}/{task}"
    return f"node-{hashlib.sha256(named.encode()).hexdigest()[:16]}", thread_labels(thread)
