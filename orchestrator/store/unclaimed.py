"""Queued runs that a worker does not claim, because it cannot execute them: other workers can."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from .fairness import QueuedRun

LOOK_AGAIN_SECONDS: Final = 5.0
"""Runs of a goal that is known not to be served are not even read for this long, then they are looked at again."""
NOTE_SECONDS: Final = 2.0
"""A run that could have started so long ago has a note that says why a worker left it to others."""
LONGEST_SECONDS: Final = 60.0
"""The longest time for which a run that could not be begun is not claimed again by the same worker."""
ANY_WORKER: Final = "any_worker"
"""In the summary of a queued run of which no tool gives a goal key where it was submitted either: workers claim it
whatever they give. The key is among its inputs, or the run escalates, or ends with a lesser goal."""
_MOST: Final = 10_000
"""Runs that are kept apart at one time."""


class UnclaimedRuns:
    """Which queued runs a worker leaves to others: those of goals of which it gives no key, and those it tried.

    A run that has begun is claimed whatever its goal is: its records say whether the worker can continue it. So is one
    whose goal nothing gave where it was submitted (`ANY_WORKER`).
    """

    def __init__(self, gives: Callable[[str], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """`gives`: whether a tool of this process gives a key, now; `clock` in seconds."""
        self._gives = gives
        self._clock = clock
        self._lock = threading.Lock()
        self._goals: dict[str, float] = {}
        """Goal -> when it is looked at again."""
        self._tried: dict[str, tuple[float, float]] = {}
        """Run -> when it is tried again, and for how long it was left."""
        self._told: set[str] = set()

    @property
    def goals(self) -> list[str]:
        """Goals whose runs, unless begun, are not read, sorted."""
        with self._lock:
            now, gives = self._clock(), self._gives
            self._goals = {
                goal: until for goal, until in self._goals.items() if until > now and not serves(gives, goal)
            }
            return sorted(self._goals)

    def newly_left(self) -> list[str]:
        """Goals that are not served and that no call of this returned before, sorted."""
        with self._lock:
            fresh = sorted(self._goals.keys() - self._told)
            self._told.update(fresh)
            return fresh

    @property
    def run_ids(self) -> list[str]:
        """Runs that this worker tried, sorted."""
        now = self._clock()
        with self._lock:
            return sorted(run_id for run_id, (until, _) in self._tried.items() if until > now)

    def split(self, found: Iterable[QueuedRun]) -> tuple[list[QueuedRun], list[QueuedRun]]:
        """The runs that may be claimed, and those of goals that are not served, which are not read from now on."""
        served, left = list[QueuedRun](), list[QueuedRun]()
        served_goals: dict[str, bool] = {}
        for run in found:
            if not run.begun and run.goal not in served_goals:
                served_goals[run.goal] = serves(self._gives, run.goal)
            (served if run.begun or served_goals[run.goal] else left).append(run)
        with self._lock:
            until = self._clock() + LOOK_AGAIN_SECONDS
            self._goals.update((run.goal, until) for run in left)
        return served, left

    def leave(self, run_id: str, seconds: float) -> None:
        """Do not claim a run for a while: `seconds` at the first time, twice as long at each next one."""
        now = self._clock()
        with self._lock:
            _, before = self._tried.pop(run_id, (0.0, 0.0))
            lasting = min(LONGEST_SECONDS, max(seconds, 2 * before))
            self._tried[run_id] = (now + lasting, lasting)
            while len(self._tried) > _MOST:
                del self._tried[next(iter(self._tried))]


def serves(gives: Callable[[str], bool], goal: str) -> bool:
    """Whether a key of a goal is given, by the goal's name: its keys joined by " + ", which a key may hold itself."""
    return gives(goal) or any(map(gives, _parts(goal)))


def _parts(goal: str) -> Iterable[str]:
    """Every key that a goal of this name may have."""
    words = goal.split(" + ")
    return (" + ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))


def note_of(goal: str) -> str:
    """What a run's row says of a worker that does not serve its goal."""
    return f"no tool here gives {goal}"


__all__ = ["ANY_WORKER", "LOOK_AGAIN_SECONDS", "NOTE_SECONDS", "UnclaimedRuns", "note_of", "serves"]
