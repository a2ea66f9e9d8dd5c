"""`Journal`: changes of a handbook since it was last stored, replayed on a newer stored version."""

from collections.abc import Callable
from typing import Final

from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.forks import new_lock

from .handbook import Handbook
from .revision import Change

HandbookUpdate = Callable[[Handbook], Handbook]
MAX_STEPS: Final = 100_000
"""Maximum number of steps that are not stored yet; beyond it the oldest are dropped."""


class Journal:
    """Steps from one version of a handbook to the next. Learning is a function of a handbook and outcomes: when it is
    repeated on the version of another process, the updates of both are kept.
    """

    def __init__(self) -> None:
        self._steps: list[HandbookUpdate] = []
        self._lock = new_lock()

    def __len__(self) -> int:
        return len(self._steps)

    def note(self, step: HandbookUpdate) -> None:
        """Keep a step until it is stored."""
        with self._lock:
            self._steps.append(step)
            if len(self._steps) > MAX_STEPS:
                del self._steps[0]

    def onto(self, handbook: Handbook) -> tuple[Handbook, int]:
        """Repeat all steps on a handbook; returns the result and their number."""
        with self._lock:
            steps = list(self._steps)
        for step in steps:
            handbook = step(handbook)
        return handbook, len(steps)

    def stored(self, count: int) -> None:
        """Drop the first `count` steps, which are stored now."""
        with self._lock:
            del self._steps[:count]


def changed(changes: tuple[Change, ...], ours: Handbook) -> HandbookUpdate:
    """The step that repeats manual changes one by one; if they no longer apply, it returns `ours`."""

    def step(handbook: Handbook) -> Handbook:
        try:
            return handbook.with_changes(changes, "changed by hand")
        except DefinitionError:
            return handbook.replaced_by(ours, "replaced by hand")

    return step


__all__ = ["HandbookUpdate", "Journal", "changed"]
