"""Awaits user functions and rungs of a run so that a cancellation, the deadline or a time limit ends the wait."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from orchestrator.core.calls.user_code import call_plain, call_user

from .run import Run

T = TypeVar("T")
GRACE: Final = 0.25
"""Seconds that a cancelled function may take to end; after that the run continues without it."""
_NO_OPTIONS: Final[Mapping[str, Any]] = {}


class Stopped(Exception):
    """The run was cancelled, or its deadline has passed."""


async def call_function(
    run: Run,
    call: Callable[..., Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] = _NO_OPTIONS,
    *,
    seconds: float,
    stops: bool = True,
) -> Any:
    """The result of a user's function; what it awaits is bounded. A sync function runs in the event loop.

    `stops`: whether a cancellation or the deadline of the run ends it. Raises `Stopped` where it does, `TimeoutError`
    after `seconds`, and what the function raises.
    """
    made = call_plain(call, *args, **kwargs)
    work = call_user(lambda: made)
    if not inspect.isawaitable(made):
        return await work
    return await (unless_stopped(run, work, seconds) if stops else _within(run, work, seconds))


async def unless_stopped(
    run: Run, work: Coroutine[Any, Any, T], seconds: float | None = None, *, deadline: bool = True
) -> T:
    """The result of `work`, which is cancelled when the run is, at the run's deadline, and after so many seconds.

    `deadline`: whether the run's deadline ends it. Raises `Stopped` where the run ends, and `TimeoutError` after
    `seconds`.
    """
    left = run.account.seconds_left() if deadline else None
    if run.cancelled is not None or (left is not None and left <= 0):
        work.close()
        raise Stopped
    limit = min((each for each in (left, seconds) if each is not None), default=None)
    cut: asyncio.Future[None] = run.loop.create_future()
    run.cuts.add(cut)
    try:
        return await _within(run, work, limit, cut)
    except TimeoutError:
        if cut.done() or (left is not None and limit == left):
            raise Stopped from None
        raise
    finally:
        run.cuts.discard(cut)


async def _within(
    run: Run, work: Coroutine[Any, Any, T], seconds: float | None, cut: "asyncio.Future[None] | None" = None
) -> T:
    """The result of `work`. Raises `TimeoutError` after so many seconds, or when `cut` is done."""
    task = asyncio.create_task(work)
    try:
        with suppress(TimeoutError):
            awaited: set[asyncio.Future[Any]] = {task} if cut is None else {task, cut}
            ended = asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            await run.runtime.clock.wait_for(ended, seconds)
        if task.done():
            return task.result()
    finally:
        if not task.done():
            await _end(run, task)
    raise TimeoutError(f"no answer within {seconds:g} s" if seconds is not None else "it was stopped")


async def _end(run: Run, task: "asyncio.Task[Any]") -> None:
    """Cancel it; one that ignores that is listed with the calls that were given up."""
    task.cancel()
    task.add_done_callback(_retrieved)
    try:
        await asyncio.wait({task}, timeout=GRACE)
    finally:
        if not task.done():
            given_up = run.runtime.given_up
            given_up.add(task)
            task.add_done_callback(given_up.discard)


def _retrieved(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()


__all__ = ["Stopped", "call_function", "unless_stopped"]
