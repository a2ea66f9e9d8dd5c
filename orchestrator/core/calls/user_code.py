"""Calls a user's function, sync or async: the only place that calls user code.

The result is a value or an `Exception`. `SystemExit`, a `CancelledError` without a cancellation, and every other
`BaseException` become an `AbnormalExit`, so that neither the event loop nor other runs are affected.
"""

import asyncio
import inspect
import signal
import threading
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from time import perf_counter
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import Any, Final

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.privacy.redaction import raised_at

_NO_OPTIONS: Final[Mapping[str, Any]] = {}
_NO_VALUES: Final = (CoroutineType, GeneratorType, AsyncGeneratorType)
"""Types whose return is an error, because a value is expected."""
_COROUTINE: Final[Any] = CoroutineType
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a sync function in a thread."""


class AbnormalExit(OrchestratorError):
    """A user's function ended with a `BaseException` that is no `Exception`, or returned a generator."""


class UserFunctionError(OrchestratorError):
    """A function given as an option of a tool raised; the message names the option, the type, the file and the line."""

    def __init__(self, option: str, error: BaseException) -> None:
        super().__init__(f"`{option}` raised {describe_error(error)}")
        self.option = option


def is_async(call: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: an async function, a partial of one, or an object whose call is async."""
    target: Any = call
    while isinstance(target, partial):
        target = target.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if inspect.isclass(target):
        return False
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(type(target).__call__)


def call_user(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
    """The result of a user's function, which is called in the event loop: see `UserCall.result`."""
    return UserCall(call, args, kwargs).result()


class UserCall:
    """One call of a user's function, sync or async; a sync one runs in a thread where `in_thread` is given."""

    def __init__(
        self,
        call: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = _NO_OPTIONS,
        in_thread: InThread | None = None,
    ) -> None:
        self._call = call
        self._args = args
        self._kwargs = kwargs
        self._in_thread = in_thread
        self._cancelled_itself = 0
        """How often an async function cancelled its own task."""
        self.longest = 0.0
        """Longest time in seconds that an async function has run from one await to the next."""

    async def result(self) -> Any:
        """Call the function and return its result.

        Raises what it raises, `AbnormalExit` for a `BaseException` of its own, and `asyncio.CancelledError` only where
        the calling task was cancelled.
        """
        try:
            if self._in_thread is not None and not is_async(self._call):
                result = await self._in_thread(partial(call_plain, self._call, *self._args, **self._kwargs))
            else:
                result = call_plain(self._call, *self._args, **self._kwargs)
            if isinstance(result, _COROUTINE) or inspect.isawaitable(result):
                result = await self._step_by_step(result)
                if self._cancelled_itself and await self._taken_back():
                    raise AbnormalExit("it cancelled its own task")
        except Exception:
            raise
        except BaseException as error:
            if self._cancelled_itself and isinstance(error, asyncio.CancelledError) and await self._taken_back():
                raise AbnormalExit("it cancelled its own task") from None
            if must_propagate(error):
                raise
            raise abnormal_exit(error) from None
        if isinstance(result, _NO_VALUES):
            raise _no_value(result)
        return result

    @types.coroutine
    def _step_by_step(self, work: Awaitable[Any]) -> Generator[Any, Any, Any]:
        """Awaits as `await` does; measures each step, and counts how often one cancelled the task."""
        steps, task = work.__await__(), asyncio.current_task()
        send, value = steps.send, None
        error: BaseException | None = None
        while True:
            began, before = perf_counter(), task.cancelling() if task else 0
            try:
                yielded = send(value) if error is None else steps.throw(error)
            except StopIteration as stop:
                return stop.value
            finally:
                self.longest = max(self.longest, perf_counter() - began)
                if task:
                    self._cancelled_itself = max(0, self._cancelled_itself + task.cancelling() - before)
            error = None
            try:
                value = yield yielded
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as thrown:
                error = thrown

    async def _taken_back(self) -> bool:
        """Undo the task's own cancellations. Returns whether there were any and no other cancellation."""
        own, self._cancelled_itself = self._cancelled_itself, 0
        task = asyncio.current_task()
        if task is None or not own:
            return False
        for _ in range(own):
            task.uncancel()
        if not task.cancelling():
            try:
                await asyncio.sleep(0)  # a pending cancellation is raised here
            except asyncio.CancelledError:
                if task.cancelling():
                    raise
        return not task.cancelling()


def _no_value(result: Any) -> AbnormalExit:
    """The error of a function that returned a generator or a coroutine where a value was expected."""
    if not isinstance(result, CoroutineType):
        return AbnormalExit("it returned a generator where a value was expected: return a list")
    result.close()
    return AbnormalExit("it returned a coroutine where a value was expected: an `await` is missing")


def call_plain(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The result of a user's sync function. What it raises is an `Exception`, or a real Ctrl-C.

    In an event loop it is called outside the current task, which it could otherwise cancel.
    """
    task, loop = None, asyncio._get_running_loop()  # pyright: ignore[reportPrivateUsage]
    if loop is not None and (task := asyncio.current_task(loop)) is not None:
        asyncio.tasks._leave_task(loop, task)  # pyright: ignore[reportPrivateUsage]
    try:
        return call(*args, **kwargs)
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _from_a_signal(error):
            raise
        raise abnormal_exit(error) from None
    finally:
        if loop is not None and task is not None:
            asyncio.tasks._enter_task(loop, task)  # pyright: ignore[reportPrivateUsage]


def truth_of(answer: Any) -> bool:
    """The truth of what a user's predicate returned. Raises an `Exception` where it has none."""
    return answer if isinstance(answer, bool) else bool(call_plain(bool, answer))


def must_propagate(error: BaseException) -> bool:
    """Whether a `BaseException` is addressed to the event loop: a cancellation of this task, or a real Ctrl-C."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt) and _from_a_signal(error)


def _from_a_signal(error: KeyboardInterrupt) -> bool:
    """asyncio's handler raises it itself; with Python's own handler it looks the same as one that code raised.

    Signals are handled in the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return True
    frames = _frames(error.__traceback__)
    return bool(frames) and frames[-1].tb_frame.f_code.co_name == "_on_sigint"


def abnormal_exit(error: BaseException) -> AbnormalExit:
    """The `Exception` that represents a `BaseException` of a user's function."""
    why = {
        "SystemExit": "it tried to end the process",
        "CancelledError": "something it awaited was cancelled, and the run was not",
        "GeneratorExit": "it raised what only a generator's close raises",
    }.get(class_name_of(error), "it is no Exception")
    return AbnormalExit(f"it raised {describe_error(error)}: {why}")


def describe_error(error: BaseException, *, text: bool = True) -> str:
    """Type, message and place of an exception, also if its own methods raise: `KeyError: 'x' (tools/a.py:12)`."""
    message = error_text(error) if text else ""
    place = raised_at(error)
    return class_name_of(error) + (f": {message}" if message else "") + (f" ({place})" if place else "")


def class_name_of(error: BaseException) -> str:
    """The name of its class, also where a metaclass hides it."""
    return str(type.__dict__["__name__"].__get__(type(error)))


def error_text(error: BaseException, most: int = 500) -> str:
    """Its message, shortened; empty where it cannot be obtained."""
    try:
        text = str(error)
    except BaseException:
        return "(its text cannot be read)"
    return (text[: most - 1] + "…" if len(text) > most else text).encode("utf-8", "replace").decode()


def _frames(traceback: TracebackType | None, most: int = 200) -> list[TracebackType]:
    found: list[TracebackType] = []
    while traceback is not None and len(found) < most:
        found.append(traceback)
        traceback = traceback.tb_next
    return found
