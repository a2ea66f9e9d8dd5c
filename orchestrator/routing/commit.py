"""The order of a plan's steps: commit last, and fail before money is spent.

The rule: while a read can run, no write does, and an irreversible step only when nothing else can. Under that rule the
order is the one with the least expected waste: what the completed steps have cost when a later one fails. Between steps
that are free of each other it is ascending `price * success / (1 - success)`: one that is likely to fail goes before a
dear one that its failure would waste (the order of independent tests: Mitten, Operations Research, 1960). Where they
wait for each other, up to `EXACT` steps are tried in all orders; more go by the index among those that can run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from ..types import Effect

EXACT = 7
_CLASS: Mapping[str, int] = {Effect.READ: 0, Effect.WRITE: 1, Effect.IRREVERSIBLE: 2}


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
    def key(self) -> tuple[int, float, int, str]:
        """What it goes by among steps that are free of each other."""
        index = math.inf if self.success >= 1 else self.pico * self.success / (1 - self.success)
        return (-1 if self.started else _CLASS[self.effect]), index, self.pico, self.name


def order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks in the order in which to commit to them."""
    ordered = sorted(tasks, key=lambda task: task.key)
    if not any(task.needs for task in ordered):
        return ordered
    return _cheapest_order(ordered) if len(ordered) <= EXACT else _by_index(ordered)


def _by_index(tasks: list[Task]) -> list[Task]:
    """Of the tasks that can run always the first."""
    waiting = [len(task.needs) for task in tasks]
    takers: dict[str, list[int]] = {}
    for i, task in enumerate(tasks):
        for name in task.needs:
            takers.setdefault(name, []).append(i)
    ready = [i for i, count in enumerate(waiting) if not count]
    heapify(ready)
    found: list[Task] = []
    while ready:
        task = tasks[heappop(ready)]
        found.append(task)
        for i in takers.get(task.name, ()):
            waiting[i] -= 1
            if not waiting[i]:
                heappush(ready, i)
    return found


def _cheapest_order(tasks: list[Task]) -> list[Task]:
    """Of all orders that the rule allows the one with the least expected waste."""
    bit = {task.name: 1 << i for i, task in enumerate(tasks)}
    needs = [sum(bit[name] for name in task.needs) for task in tasks]
    after: dict[int, tuple[float, int]] = {(1 << len(tasks)) - 1: (0.0, -1)}

    def waste(done: int) -> float:
        """The least expected waste from here on; `after` remembers it with the task to go on with."""
        if done in after:
            return after[done][0]
        ready = [i for i in range(len(tasks)) if not done >> i & 1 and needs[i] & done == needs[i]]
        first = min(tasks[i].key[0] for i in ready)
        spent = sum(task.pico for i, task in enumerate(tasks) if done >> i & 1)
        best = (math.inf, -1)
        for i in ready:
            if tasks[i].key[0] == first:
                p = tasks[i].success
                expected = (1 - p) * spent + p * waste(done | 1 << i)
                if expected < best[0]:
                    best = (expected, i)
        after[done] = best
        return best[0]

    waste(0)
    found: list[Task] = []
    done = 0
    while len(found) < len(tasks):
        i = after[done][1]
        found.append(tasks[i])
        done |= 1 << i
    return found


def waits(ordered: Sequence[Task]) -> Mapping[str, tuple[str, ...]]:
    """For each task the tasks that it waits for: what it needs, and what must not come after it.

    A write waits for the reads before it that do not rest on it, an irreversible step for everything before it.
    """
    place = {task.name: i for i, task in enumerate(ordered)}
    behind: list[int] = []
    reads = 0
    after: dict[str, tuple[str, ...]] = {}
    for i, task in enumerate(ordered):
        held = sorted(place[name] for name in task.needs)
        before = 0
        for j in held:
            before |= behind[j] | 1 << j
        if not task.started and task.effect != Effect.READ:
            wanted = (1 << i) - 1 if task.effect == Effect.IRREVERSIBLE else reads
            more = [j for j in range(i) if wanted & ~before & 1 << j]
            held = sorted([*held, *more])
            before |= wanted
        behind.append(before)
        if task.effect == Effect.READ:
            reads |= 1 << i
        after[task.name] = tuple(ordered[j].name for j in held)
    return after
