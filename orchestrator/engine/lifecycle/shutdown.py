"""Closing an orchestrator: ends the runs that this process drives, their suspended calls, and abandoned calls."""

import asyncio
import logging
from typing import Final

from orchestrator.core.enums import Status
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime

from .driver import give_up, leave, note_end
from .finish import end_as_it_stands
from .ownership import let_go

LOG: Final = logging.getLogger("orchestrator")
GRACE: Final = 0.25
"""Seconds in which tasks must end when the orchestrator is closed."""


async def shut_down(runtime: Runtime, blocked: asyncio.AbstractEventLoop | None = None) -> None:
    """End the runs of this process: those in memory are cancelled, those in a durable store are released in their
    current state.

    `blocked`: the event loop whose thread is blocked by this call; nothing can be awaited there.
    """
    going = [run for run in runtime.runs.all_live() if run.parent is None and run.state.status is not Status.WAITING]
    for task in list(runtime.deadlines):
        if not task.get_loop().is_closed():
            task.get_loop().call_soon_threadsafe(task.cancel)
    await asyncio.gather(*(_shut_down(run, blocked) for run in going))
    if blocked is not None:
        for run in runtime.runs.all_live():
            if run.loop is blocked and run.scheduler is not None:
                blocked.call_soon_threadsafe(run.scheduler.abandon)


async def _shut_down(run: Run, blocked: asyncio.AbstractEventLoop | None) -> None:
    reason = "the orchestrator was closed"
    if not run.loop.is_running() or run.loop is blocked:  # nothing can be awaited there any more
        if run.loop is blocked and run.task is not None:
            run.loop.call_soon_threadsafe(run.task.cancel)  # it ends once the loop continues
        run.runtime.runs.leave(run.state.run_id)
        if run.durable:
            await let_go(run)
        else:
            run.scope.cancel(reason)
            note_end(run, end_as_it_stands(run))
    elif run.durable:
        await give_up(run)
    else:
        await leave(run, reason)


async def leave_waiting(runtime: Runtime) -> None:
    """End the suspended calls of runs that wait for people; these runs keep their state."""
    for run in runtime.runs.all_live():
        if run.state.status is Status.WAITING and run.scheduler is not None and run.loop is asyncio.get_running_loop():
            await run.scheduler.leave()
    for task in list(runtime.deadlines):
        if task.get_loop() is asyncio.get_running_loop():
            task.cancel()
    await _cancel_given_up(runtime)


async def _cancel_given_up(runtime: Runtime) -> None:
    """Cancel the tasks of abandoned calls. The thread of such a call cannot be ended; it is named in the log."""
    here = [task for task in runtime.given_up if task.get_loop() is asyncio.get_running_loop()]
    for task in here:
        LOG.warning("%s was given up and still runs; a thread cannot be ended", task.get_name())
        task.cancel()
    if here:
        await asyncio.wait(here, timeout=GRACE)


__all__ = ["leave_waiting", "shut_down"]
