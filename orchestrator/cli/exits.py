"""Exit statuses, and which of several is the worst."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from orchestrator.types import Status


class Exit(IntEnum):
    """What the program says when it ends."""

    REACHED = 0
    UNEXPECTED = 1
    """Something that should not happen: a bug, a store that cannot be read."""
    BAD_INPUT = 2
    """Wrong usage, a wrong name or value, a project or policy that is wrong as written."""
    DEMOTED = 3
    ESCALATED = 4
    WAITING = 5
    INTERRUPTED = 130


_OF_STATUS: Final = {
    Status.REACHED: Exit.REACHED,
    Status.DEMOTED: Exit.DEMOTED,
    Status.ESCALATED: Exit.ESCALATED,
    Status.WAITING: Exit.WAITING,
    Status.RUNNING: Exit.UNEXPECTED,
}
_WORST_FIRST: Final = (
    Exit.INTERRUPTED,
    Exit.UNEXPECTED,
    Exit.BAD_INPUT,
    Exit.ESCALATED,
    Exit.WAITING,
    Exit.DEMOTED,
    Exit.REACHED,
)


def exit_of(status: Status) -> Exit:
    """The exit status of a run that stands so."""
    return _OF_STATUS[status]


def worst(statuses: Iterable[Exit]) -> Exit:
    """The worst of several: 130 > 1 > 2 > 4 > 5 > 3 > 0."""
    return min(statuses, key=_WORST_FIRST.index, default=Exit.REACHED)
