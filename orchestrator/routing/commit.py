"""The order of a plan's steps: commit last, and fail before money is spent.

Among steps whose order is free, reads run before writes and irreversible steps last. Within a class the steps go by
ascending `price * success / (1 - success)`: a step that is likely to fail goes before a dear one that its failure
would waste. It is the optimal order of independent tests (Mitten, Operations Research, 1960).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..types import Effect

_CLASS = {Effect.READ: 0, Effect.WRITE: 1, Effect.IRREVERSIBLE: 2}


@dataclass(frozen=True, slots=True)
class Task:
    """A step as far as its order matters."""

    name: str
    effect: str
    pico: int
    success: float
    """Probability of success in [0, 1]."""
    needs: frozenset[str]
    """Tasks that must be done before."""
    started: bool = False

    @property
    def index(self) -> float:
        """What is wasted by a failure after it, per chance that it fails itself."""
        return math.inf if self.success >= 1 else self.pico * self.success / (1 - self.success)


def order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks in the order in which to commit to them."""
    waiting = sorted(tasks, key=lambda task: task.name)
    done: set[str] = set()
    ordered: list[Task] = []
    while waiting:
        ready = [task for task in waiting if task.needs <= done]
        task = min(ready, key=lambda t: (not t.started, _CLASS[Effect(t.effect)], t.index, t.pico, t.name))
        ordered.append(task)
        done.add(task.name)
        waiting.remove(task)
    return ordered


def waits(ordered: Sequence[Task]) -> Mapping[str, tuple[str, ...]]:
    """For each task the tasks that it waits for: what it needs, and what must not come after it.

    A write waits for the reads before it that do not rest on it, an irreversible step for everything before it.
    """
    after: dict[str, tuple[str, ...]] = {}
    for position, task in enumerate(ordered):
        held = set(task.needs)
        if not task.started and task.effect != Effect.READ:
            final = task.effect == Effect.IRREVERSIBLE
            held.update(t.name for t in ordered[:position] if final or t.effect == Effect.READ)
        after[task.name] = tuple(t.name for t in ordered[:position] if t.name in held)
    return after
