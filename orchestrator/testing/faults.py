"""Faults on purpose: copies of a tool that fail, hang, slow down, lie or refuse.

Each fault takes a tool and gives a copy of the same name for `orc.override(...)`; without the tool it is a decorator:

    with orc.override(fail(carrier_api, times=2)): ...

    @fail(times=2)
    @tool(gives="quote")
    def carrier_api(parcel: Parcel) -> Quote: ...

A faulty call never reaches the tool, so no effect takes place, except where the fault says so.
"""

import asyncio
import copy
import itertools
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Any, Concatenate, Generic, ParamSpec, overload

from orchestrator.core.calls.options import signature_options
from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.enums import FailureKind
from orchestrator.core.errors import CallerError, DefinitionError, InvalidOutput, RateLimited, Refused, Unavailable
from orchestrator.engine.processes import in_process
from orchestrator.graph.tool import Tool

P = ParamSpec("P")
Error = BaseException | type[BaseException] | FailureKind | str
_FOREVER = 1e9
"""Seconds."""
_BY_KIND: dict[FailureKind, Callable[[], BaseException]] = {
    FailureKind.TRANSIENT: partial(ConnectionResetError, "injected: connection reset"),
    FailureKind.OUTAGE: partial(Unavailable, "injected: unavailable"),
    FailureKind.INVALID_OUTPUT: partial(InvalidOutput, "injected: invalid output"),
    FailureKind.REFUSAL: partial(Refused, "injected: refused"),
    FailureKind.CALLER_ERROR: partial(CallerError, "injected: caller error"),
    FailureKind.AMBIGUOUS: partial(TimeoutError, "injected: timed out"),
    FailureKind.BUG: partial(RuntimeError, "injected: bug"),
}


class Fault(Generic[P]):
    """A way to break a tool: `fault(tool, ...)` gives the broken copy, `fault(...)` a decorator."""

    def __init__(self, make: Callable[Concatenate[Tool, P], Tool]) -> None:
        self._make = make
        self._options = signature_options(make)
        self.__doc__ = make.__doc__
        self.__name__ = make.__name__

    @overload
    def __call__(self, tool: Tool, /, *args: P.args, **kwargs: P.kwargs) -> Tool: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Callable[[Tool], Tool]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]  # P stands for any parameters
        """The broken copy, or a decorator that makes it. Raises `DefinitionError` for an unknown option, or a value of
        the wrong kind."""
        its_tool = bool(args) and isinstance(args[0], Tool)
        placed = args[1:] if its_tool else args
        names = list(self._options.kinds)[1 : len(placed) + 1]
        self._options.check(f"{self.__name__}()", {**dict(zip(names, placed, strict=False)), **kwargs})
        if its_tool:
            return self._make(*args, **kwargs)

        def broken(tool: Tool) -> Tool:
            return self._make(tool, *args, **kwargs)

        return broken


@Fault
def fail(tool: Tool, times: int | None = None, error: Error | None = None) -> Tool:
    """Raise `error` (an exception, its type, or a `FailureKind`; default `Unavailable`) on the first `times` calls.

    `None`: always.
    """
    return _gated(tool, _first(times), lambda: _raise(error))


@Fault
def refuse(tool: Tool, message: str = "injected: refused", times: int | None = None) -> Tool:
    """Say no: `Refused`, on the first `times` calls or always."""
    return _gated(tool, _first(times), lambda: _raise(Refused(message)))


@Fault
def rate_limit(tool: Tool, times: int | None = 1, retry_after: float | None = None) -> Tool:
    """Say that there were too many calls, on the first `times` calls; `retry_after` in seconds."""
    message = "injected: too many calls"
    return _gated(tool, _first(times), lambda: _raise(RateLimited(message, retry_after=retry_after)))


@Fault
def flap(tool: Tool, pattern: Iterable[bool] | str = "10", error: Error | None = None) -> Tool:
    """Fail and work by turns: `pattern` (True or `1` fails) is repeated forever. Default: every other call fails."""
    turns = [turn in (True, "1") for turn in pattern]
    if not turns:
        raise DefinitionError("flap needs a pattern of at least one turn, such as '110'.")
    cycle = itertools.cycle(turns)
    return _gated(tool, lambda: next(cycle), lambda: _raise(error))


@Fault
def corrupt(tool: Tool, value: Any = None, times: int | None = None) -> Tool:
    """Return `value`, or what it makes of the real output when it is a function. The call itself takes place."""
    broken = _first(times)

    def changed(output: Any) -> Any:
        if not broken():
            return output
        return value(output) if callable(value) else value

    return _around(tool, changed)


@Fault
def slow(tool: Tool, seconds: float = 1.0, clock: Clock | None = None) -> Tool:
    """Wait `seconds` before each call, by `clock` (default: the real one)."""
    return _delayed(tool, seconds, clock or SystemClock(), lambda: True)


@Fault
def hang(tool: Tool, times: int | None = None, clock: Clock | None = None) -> Tool:
    """Never answer, on the first `times` calls or always. With a `FakeClock` as `clock` its time runs meanwhile."""
    return _delayed(tool, _FOREVER, clock or SystemClock(), _first(times))


@Fault
def lose_answer(tool: Tool, times: int | None = None, error: Error = TimeoutError) -> Tool:
    """Let the call take place, then raise `error` instead of answering: an effect that looks like a failure."""
    broken = _first(times)

    def lost(output: Any) -> Any:
        if broken():
            _raise(error)
        return output

    return _around(tool, lost)


def _first(times: int | None) -> Callable[[], bool]:
    """True for the first `times` calls; always for `None`."""
    if times is None:
        return lambda: True
    counter = itertools.count(1)
    return lambda: next(counter) <= times


def _raise(error: Error | None) -> Any:
    if error is None:
        error = FailureKind.OUTAGE
    if isinstance(error, str):
        raise _BY_KIND[FailureKind(error)]()
    raise error


def _gated(tool: Tool, broken: Callable[[], bool], act: Callable[[], Any]) -> Tool:
    """A copy whose call does `act` instead while `broken`."""
    call, is_async = _real_call(tool)
    if is_async:

        @wraps(call)
        async def faulty(*args: Any, **kwargs: Any) -> Any:
            return act() if broken() else await call(*args, **kwargs)

        return _copy(tool, faulty, is_async=True)

    @wraps(call)
    def faulty_sync(*args: Any, **kwargs: Any) -> Any:
        return act() if broken() else call(*args, **kwargs)

    return _copy(tool, faulty_sync, is_async=False)


def _around(tool: Tool, change: Callable[[Any], Any]) -> Tool:
    """A copy whose output goes through `change`."""
    call, is_async = _real_call(tool)
    if is_async:

        @wraps(call)
        async def faulty(*args: Any, **kwargs: Any) -> Any:
            return change(await call(*args, **kwargs))

        return _copy(tool, faulty, is_async=True)

    @wraps(call)
    def faulty_sync(*args: Any, **kwargs: Any) -> Any:
        return change(call(*args, **kwargs))

    return _copy(tool, faulty_sync, is_async=False)


def _delayed(tool: Tool, seconds: float, clock: Clock, broken: Callable[[], bool]) -> Tool:
    """A copy whose call waits first; a sync one then runs in a thread."""
    call, is_async = _real_call(tool)

    @wraps(call)
    async def faulty(*args: Any, **kwargs: Any) -> Any:
        if broken():
            await clock.sleep(seconds)
        return await call(*args, **kwargs) if is_async else await asyncio.to_thread(call, *args, **kwargs)

    return _copy(tool, faulty, is_async=True)


def _real_call(tool: Tool) -> tuple[Callable[..., Any], bool]:
    """The call without a fault, and whether it is async.

    Of an isolated tool only this call is made in a worker process: the fault counts its calls here.
    """
    if tool.isolation != "process":
        return tool.call, tool.is_async
    return wraps(tool.call)(in_process(tool, asyncio.to_thread)), True


def _copy(tool: Tool, call: Callable[..., Any], *, is_async: bool) -> Tool:
    """The tool in every respect, the declared signature too, but for its call."""
    broken = copy.copy(tool)
    broken.call = call
    broken.is_async = is_async
    broken.isolation = None
    return broken
