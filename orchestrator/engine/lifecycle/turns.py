"""Acts on a run in its turn. The turn is left while the run is queued, being begun, or driven by another process."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from orchestrator.core.enums import Status
from orchestrator.core.errors import OwnershipLost
from orchestrator.engine.runtime import Runtime
from orchestrator.store.rows import RunRow

T = TypeVar("T")
POLL_SECONDS: Final = (0.001, 0.02, 0.05, 0.1, 0.2)
"""Seconds between two looks; the last one repeats."""
BEGIN_SECONDS: Final = 1.0
"""How long a run may be without its first record while it is being begun."""


class NotYet(Exception):
    """The run is queued, is just being begun, or is driven by another process: look again, in another turn."""


def check_begun(row: RunRow, *, overdue: bool) -> None:
    """Raises `NotYet` for a run without a record, unless its beginning is overdue: then its process has died."""
    if row.count == 0 and (row.status is Status.QUEUED or (row.status is Status.RUNNING and not overdue)):
        raise NotYet


async def in_turn(runtime: Runtime, run_id: str, find: Callable[[bool], Awaitable[T]]) -> T:
    """What `find` gives in the turn of a run; where it raises `NotYet` it is called again, in another turn.

    So it is where another process has taken over a run that it was working on. `find` takes whether the beginning of
    the run is overdue.
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
