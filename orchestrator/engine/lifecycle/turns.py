"""Serialises operations on a run id. The turn is released while the run is queued, being started, or driven
elsewhere.
"""

import itertools
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from orchestrator.core.enums import Status
from orchestrator.core.errors import OwnershipLost
from orchestrator.engine.runtime import Runtime
from orchestrator.store.rows import RunRow

T = TypeVar("T")
POLL_SECONDS: Final = (0.001, 0.02, 0.05, 0.1, 0.2)
"""Seconds between two attempts; the last value repeats."""
BEGIN_SECONDS: Final = 1.0
"""Seconds for which a run may have no record while it is being started."""


class NotYet(Exception):
    """The run is queued, being started, or driven by another process: try again in another turn."""


def check_begun(row: RunRow, *, overdue: bool) -> None:
    """Raises `NotYet` for a run without a record, unless the record is overdue: then its process has died."""
    if row.count == 0 and (row.status is Status.QUEUED or (row.status is Status.RUNNING and not overdue)):
        raise NotYet


async def in_turn(runtime: Runtime, run_id: str, find: Callable[[bool], Awaitable[T]]) -> T:
    """The result of `find`, called in the turn of a run; when it raises `NotYet`, it is called again in another turn.

    This also covers a run that another process takes over meanwhile. The argument of `find` is whether the run's first
    record is overdue.
    """
    clock = runtime.clock
    began = clock.monotonic()
    for pause in itertools.chain(POLL_SECONDS, itertools.repeat(POLL_SECONDS[-1])):
        try:
            async with runtime.runs.turn(run_id):
                return await find(clock.monotonic() - began >= BEGIN_SECONDS)
        except (NotYet, OwnershipLost):
            await clock.sleep(pause)
    raise AssertionError("unreachable")


__all__ = ["NotYet", "check_begun", "in_turn"]
