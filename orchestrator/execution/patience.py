"""Waiting for a tool to come back, as somebody resolved: until it does, the time is over, or the run is cancelled."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Run


async def wait_for(run: "Run", tool: str | None, seconds: float) -> None:
    """Wait at most so long. A tool whose circuit is shut is back when that opens; any other is given all the time."""
    health, clock = run.services.health, run.services.clock
    shut = tool is not None and tool in run.view.tools and not health.usable(tool)

    def over() -> bool:
        return run.cancelled is not None or (shut and tool is not None and health.usable(tool))

    def look(targets: Iterable[Any]) -> None:
        if tool in targets:
            run.wake_up()

    forget = health.subscribe(look)
    time_over = asyncio.ensure_future(clock.sleep(seconds))
    try:
        while not over() and not time_over.done():
            run.wake.clear()
            woken = asyncio.ensure_future(run.wake.wait())
            try:
                await asyncio.wait({time_over, woken}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()
    finally:
        time_over.cancel()
        forget()
