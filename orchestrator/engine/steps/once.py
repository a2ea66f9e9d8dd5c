"""`ctx.once`: a function is called once for its key in a step, over attempts, also where one was given up meanwhile."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator.core.calls.user_code import UserCall
from orchestrator.engine.run import Run


class OnceCall:
    """One call of such a function, in a task that outlives who asked for it while a thread runs it."""

    def __init__(self, run: Run, call: Callable[[], Any], keep: Callable[[Any], Awaitable[None]], name: str) -> None:
        self._run = run
        self._call = call
        self._keep = keep
        self._in_thread = False
        self._left = False
        self._task = asyncio.create_task(self._made(), name=f"once:{name}")

    def when_ended(self, do: Callable[[], object]) -> None:
        """Call this when it has ended."""
        self._task.add_done_callback(lambda _: do())

    async def wait(self) -> None:
        """Returns once it has ended, whatever came of it."""
        await asyncio.wait({self._task})

    async def result(self) -> None:
        """Returns when the result is kept, and raises what the function raised.

        Who is cancelled meanwhile cancels it, unless a thread runs it: what a thread does is kept all the same.
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
            task.exception()  # nobody waits for it any more

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
    """What is kept of a function that is called once: `kept` gives it in a list, `None` while it was not called.

    `place`: the step and the key.
    """
    going_on = run.once_calls
    while (known := kept()) is None:
        if place in going_on:  # for this attempt, or for one that was given up and whose thread still runs
            await going_on[place].wait()
            continue
        going_on[place] = made = OnceCall(run, call, keep, place[1])
        made.when_ended(lambda: going_on.pop(place, None))
        await made.result()
    return known[0]


__all__ = ["OnceCall", "called_once"]
