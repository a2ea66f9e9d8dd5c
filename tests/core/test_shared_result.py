"""A result that code of any thread and event loop may wait for."""

import asyncio
import threading
from typing import Any, cast

import pytest

from orchestrator.core.process.shared_result import SharedResult


async def test_waiters_of_several_event_loops_get_the_result() -> None:
    shared: SharedResult[int] = SharedResult()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(shared.wait()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    here = asyncio.create_task(shared.wait())
    await asyncio.sleep(0.02)
    shared.set_result(7)
    assert await here == 7
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
    assert found == [7, 7, 7]
    assert await shared.wait() == 7
    with pytest.raises(asyncio.InvalidStateError):
        shared.set_exception(ValueError())


def test_an_event_loop_that_was_closed_under_its_waiter_does_not_keep_the_result_from_others() -> None:
    shared: SharedResult[int] = SharedResult()
    first = asyncio.new_event_loop()
    left = first.create_task(shared.wait())
    first.run_until_complete(asyncio.sleep(0.01))
    first.close()

    async def settle() -> int:
        waiting = asyncio.create_task(shared.wait())
        await asyncio.sleep(0)
        shared.set_result(7)
        return await waiting

    assert asyncio.run(asyncio.wait_for(settle(), 10)) == 7
    coroutine: Any = left.get_coro()
    coroutine.close()
    cast("Any", left)._log_destroy_pending = False
