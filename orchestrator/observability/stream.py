"""The events of one run (and its children) as an async iterator."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from orchestrator.core.events import Event, Sink
from orchestrator.core.process.loops import cancelled_once


class QueueSink:
    """An async iterator over the events of one run, until it is closed."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def on_event(self, event: Event) -> None:
        """Take one event."""
        if event.run_id == self.run_id or event.run_id.startswith(f"{self.run_id}/"):
            self._queue.put_nowait(event)

    def close(self) -> None:
        """End the iteration after the events so far."""
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._queue.get()) is not None:
            yield event


async def stream_run(sinks: list[Sink], run_id: str, run: Callable[[], Awaitable[Any]]) -> AsyncGenerator[Event]:
    """Drive `run()` in a task and yield its events; leaving the iteration cancels it. Raises what it raises."""
    sink = QueueSink(run_id)
    sinks.append(sink)
    task = asyncio.ensure_future(run())
    task.add_done_callback(lambda _: sink.close())
    try:
        async for event in sink:
            yield event
        await task
    finally:
        sinks.remove(sink)
        if not task.done():
            task.cancel()
            with cancelled_once():
                await asyncio.wait([task])
