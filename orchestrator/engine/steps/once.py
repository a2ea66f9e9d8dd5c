"""`ctx.once`: calls a function once per key in a step, over all attempts, also after an abandoned one."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator.core.calls.user_code import UserCall
from orchestrator.engine.run import Run


class OnceCall:
    """One call of such a function, in a task that outlives its caller while a thread runs it."""

    def __init__(self, run: Run, call: Callable[[], Any], keep: Callable[[Any], Awaitable[None]], name: str) -> None:
        self._run = run
        self._call = call
        self._keep = keep
        self._in_thread = False
        self._left = False
        self._task = asyncio.create_task(self._made(), name=f"once:{name}")

    def when_ended(self, do: Callable[[], object]) -> None:
        """Call a function when the call has ended."""
        self._task.add_done_callback(lambda _: do())

    async def wait(self) -> None:
        """Wait until it has ended, also with an error."""
        await asyncio.wait({self._task})

    async def result(self) -> None:
        """Wait until the result is recorded; raises what the function raised.

        Cancellation of the caller cancels the call, unless a thread runs it: its result is recorded all the same.
        """
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._left = True
            if not self._in_thread:
                self._task.cancel()
                await asyncio.wait({self._task})
            else:
                self._run.runtime.given_up.add(self._task)
            self._task.add_done_callback(self._ended)
            raise

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._run.runtime.given_up.discard(task)
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved

    async def _made(self) -> None:
        await self._keep(await UserCall(self._call, in_thread=self._threaded).result())

    async def _threaded(self, call: Callable[[], Any]) -> Any:
        self._in_thread = True
        try:
            found = await self._run.runtime.threads.run(call)
        finally:
            self._in_thread = False
        if self._left and inspect.iscoroutine(found):
            found.close()
            raise asyncio.CancelledError
        return found


async def called_once(
    run: Run, place: tuple[str, str], kept: Callable[[], Any], keep: Callable[[Any], Awaitable[None]], call: Any
) -> Any:
    """The recorded result of a function that is called once. `kept` returns it in a list; `None` if it was not called.

    `place`: the step and the key.
    """
    going_on = run.once_calls
    while (known := kept()) is None:
        if place in going_on:  # for this attempt, or an abandoned one whose thread still runs
            await going_on[place].wait()
            continue
        going_on[place] = made = OnceCall(run, call, keep, place[1])
        made.when_ended(lambda: going_on.pop(place, None))
        await made.result()
    return known[0]


__all__ = ["OnceCall", "called_once"]
