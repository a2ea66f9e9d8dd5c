"""One call of a tool's function: its arguments, and its execution, which may outlive its time-out.

A sync call runs in a thread that cannot be interrupted; an async one may ignore its cancellation. So an abandoned call
may still run: its late result is used, and `NOT_DONE` is not accepted while it runs.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from orchestrator.core.calls.source import at
from orchestrator.core.calls.user_code import UserCall, abnormal_exit
from orchestrator.core.enums import Effect
from orchestrator.core.errors import CallerError, InvalidOutput
from orchestrator.core.types.schema import type_name, validate
from orchestrator.core.values.copies import IMMUTABLE, Memo, own_copy
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.slots import CURRENT, MOST_GIVEN_UP, THREADS, CallSlots
from orchestrator.graph.tool import Tool

from .context import CallContext, idempotency_key

GRACE: Final = 0.25
"""Seconds in which a cancelled async call may end by itself."""
BLOCKING_SECONDS: Final = 0.5
"""Seconds from which an async call that does not await counts as blocking: no other task of its event loop runs, and no
time-out fires.
"""


def arguments(
    run: Run, tool: Tool, inputs: Mapping[str, Any], context: CallContext, feedback: str | None
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments of one attempt: values validated by its annotations, and copied for the call.

    Raises `CallerError` for a value that a parameter does not take. `feedback` is why the last answer of an agent was
    not valid.
    """
    memo: Memo = {}
    own = tool.share or tool.isolation == "process"  # a worker process has copies of its own
    made: dict[str, Any] = {}
    for name, value in inputs.items():
        key = tool.takes.get(name, name)
        if run.view.is_checked(run.state.at_hand.get(key) or "", key, tool, name):
            value = _fitting(run, tool, name, value)
        if not (own or type(value) in IMMUTABLE or _is_last_reader(run, tool, key)):
            value = own_copy(value, memo)
        made[name] = value
    args, kwargs = tool.bind(made) if tool.positional else ([], made)
    if tool.signature and tool.signature.context:
        kwargs[tool.signature.context] = context
    if tool.idempotency_key:
        kwargs[tool.idempotency_key] = idempotency_key(context.run_id, tool.name)
    takes_feedback = getattr(tool, "accepts_feedback", None)
    if takes_feedback and feedback is not None:
        kwargs[takes_feedback] = feedback
    return args, kwargs


def _is_last_reader(run: Run, tool: Tool, key: str) -> bool:
    """Whether no other reader of a value follows this attempt: no tool, retry, goal or compensation."""
    if tool.effect is not Effect.READ or run.view.consumers(key) != (tool.name,):
        return False
    if not run.state.at_hand.get(key) or key in run.state.wanted.every_key:
        return False
    giver = run.view.tools.get(run.state.at_hand[key] or "")
    retries = run.runtime.policy.retries.attempts if tool.retries is None else tool.retries
    return giver is not None and giver.effect is Effect.READ and run.state.attempts.get(tool.name, 0) > retries


def _fitting(run: Run, tool: Tool, name: str, value: Any) -> Any:
    """A value validated by the annotation of its parameter. Raises `CallerError`."""
    key = tool.takes.get(name, name)
    giver = run.state.at_hand.get(key) or ""
    given = run.view.given_type(giver, key)
    taken = tool.parameter_types.get(name, Any)
    try:
        return validate(key, taken, value)
    except InvalidOutput as error:
        source = f"{giver!r} gives {type_name(given)}" if giver else f"it was provided as {type_name(given)}"
        raise CallerError(f"{error}; {source}, {tool.name!r} takes {type_name(taken)}{at(tool.place)}") from None


@dataclass(frozen=True, slots=True)
class StillRunning:
    """The result of a call that still runs after its time-out."""


class Invocation:
    """A call in a task of its own; a sync function in a thread.

    It has ended when its task and its thread have; the thread may outlive the task if the event loop ends first.
    """

    def __init__(self, runtime: Runtime, name: str, slots: CallSlots | None = None) -> None:
        """`slots`: the slots that the call holds; they are released when it has ended."""
        self._runtime = runtime
        self._name = name
        self._slots = slots
        self._task: asyncio.Task[Any] | None = None
        self._call: UserCall | None = None
        self.in_thread = False
        self._waiter: asyncio.Future[None] | None = None
        """The future of `result`, while it waits."""
        self._ended = False
        """Whether the task has noted its end."""
        self._stopped = False
        self._open = 0
        """How many of the task and the thread have not ended."""
        self._given_up = False
        self._lock = Lock()  # a forked child continues with no call of its parent

    def start(
        self, call: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, in_thread: bool
    ) -> None:
        """Start the call."""
        self.in_thread = in_thread
        self._call = UserCall(call, args, kwargs, self._run_in_thread if in_thread else None)
        token = CURRENT.set(self._slots) if CURRENT.get() is not self._slots else None
        try:
            self._task = asyncio.create_task(self._whole(self._call), name=f"call:{self._name}")
        finally:
            if token is not None:
                CURRENT.reset(token)
        self._open = 1

    async def _whole(self, call: UserCall) -> Any:
        """The call. It notes its end itself, because a callback of the task would come one iteration of the event loop
        later.
        """
        try:
            result = await call.result()
        except GeneratorExit:  # its event loop is gone
            raise
        except BaseException:
            self._task_ended()
            raise
        self._task_ended()
        return result

    async def _run_in_thread(self, call: Callable[[], Any]) -> Any:
        def in_thread() -> Any:
            try:
                return call()
            finally:
                self._part_ended()

        with self._lock:
            self._open += 1
        return await self._runtime.threads.run(in_thread)

    def _retrieved(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled():
            task.exception()  # marks the exception of an abandoned call as retrieved
        self._runtime.given_up.discard(task)
        self._task_ended()  # a task that was cancelled before it started did not note its end

    def _task_ended(self) -> None:
        if not self._ended:
            self._ended = True
            self._part_ended()
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def _part_ended(self) -> None:
        """Note the end of the task (in its event loop) or of the thread (in itself)."""
        with self._lock:
            self._open -= 1
            if self._open:
                return
            given_up = self._given_up
        if self._slots is not None:
            self._slots.release()
        if given_up:
            THREADS.ended(self._name, in_thread=self.in_thread)

    @property
    def blocked(self) -> float:
        """Longest time in seconds for which an async call blocked the event loop; 0 if it was acceptable."""
        if self._call is None or self.in_thread or self._call.longest < BLOCKING_SECONDS:
            return 0.0
        return self._call.longest

    @property
    def running(self) -> bool:
        """Whether the call has not ended."""
        return self._open > 0

    async def result(self, seconds: float | None) -> Any:
        """The result or exception of the call, or `StillRunning` after so many seconds."""
        task = self._task
        assert task is not None
        if not task.done():
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._runtime.clock.wait_for(self._waiter, seconds)
            except TimeoutError:
                if not task.done():
                    return StillRunning()
        if task.cancelled():
            here = asyncio.current_task()
            if self._stopped:
                raise TimeoutError
            if here is not None and not here.cancelling():  # the call cancelled itself; the event loop continues
                raise abnormal_exit(asyncio.CancelledError())
        return task.result()  # raises the call's exception, or CancelledError when the event loop ends

    async def late_result(self, limit: float, started: float, context: CallContext, patience: float) -> Any:
        """The late result of a call that began at `started` and has run for `limit` seconds: it is cancelled, and may
        end within `patience` seconds more. Raises `TimeoutError` for an abandoned call.
        """
        found = await self._without_waits(limit, started, context)
        if not isinstance(found, StillRunning):
            return found
        running = await self.stop()
        if not running or patience:
            try:
                found = await self.result(patience)
            except TimeoutError as error:  # it ended because it was cancelled
                raise TimeoutError(str(error) or f"no answer within {limit:g} s") from None
        if not isinstance(found, StillRunning):
            return found
        self.give_up()
        late = f", and it still runs {patience:g} s later" if patience else ""
        raise TimeoutError(f"no answer within {limit:g} s{late}")

    async def _without_waits(self, limit: float, started: float, context: CallContext) -> Any:
        """The result of the call within its time-out, without the seconds of a person; else `StillRunning`."""
        while True:
            left = limit + context.waited - (self._runtime.clock.monotonic() - started)
            if context.waits_for_people:
                left = max(left, 0.2)
            elif left <= 1e-6:
                return StillRunning()
            found = await self.result(left)
            if not isinstance(found, StillRunning):
                return found

    async def stop(self, grace: float = GRACE) -> bool:
        """Cancel an async call and wait so many seconds; returns whether it still runs. A thread cannot be
        cancelled.
        """
        task = self._task
        assert task is not None
        task.add_done_callback(self._retrieved)  # nobody may wait for its result any more
        if not self.in_thread and not task.done():
            self._stopped = True
            task.cancel()
            await asyncio.wait({task}, timeout=grace)
        return not task.done()

    def give_up(self) -> int:
        """Abandon the call; returns how many abandoned calls of the tool still run.

        From `MOST_GIVEN_UP` of these on, its circuit opens.
        """
        task = self._task
        assert task is not None
        with self._lock:
            if not self._open:
                return 0
            self._given_up = True
            stuck = THREADS.give_up(self._name, in_thread=self.in_thread)
        if not task.done():
            self._runtime.given_up.add(task)
        if stuck >= MOST_GIVEN_UP:
            self._runtime.health.shut(self._name, f"{stuck} calls of it that were given up still run")
        return stuck


def blocking_note(tool: str, seconds: float) -> str:
    """The message about a tool that blocked the event loop."""
    return (
        f"{tool} blocked the event loop for {seconds:.1f} s: an async tool must await what takes time. "
        "Make it a plain `def`, which runs in a thread, or use `asyncio.to_thread`"
    )


__all__ = ["Invocation", "StillRunning", "arguments", "blocking_note"]
