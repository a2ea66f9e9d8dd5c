"""The order of a plan's steps: commit last, and fail before money is spent.

The rule: while a read can run, no write does, and an irreversible step only when nothing else can. Under that rule the
order is the one with the least expected waste: what the completed steps have cost when a later one fails. Between
independent steps it is ascending `price * success / (1 - success)`: one that is likely to fail goes before an expensive
one that its failure would waste (the order of independent tests: Mitten, Operations Research, 1960).

Steps that wait for each other are put in order as strings (Monma and Sidney, Mathematics of Operations Research 4,
1979), which is exact where no step has more than one taker; up to `EXACT` steps are tried in all orders otherwise; the
rest go by the index among those that can run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from orchestrator.core.enums import Effect

EXACT = 6
_CLASS: Mapping[str, int] = {Effect.READ: 0, Effect.WRITE: 1, Effect.IRREVERSIBLE: 2}


@dataclass(slots=True)
class Task:
    """A step, for ordering."""

    name: str
    effect: str
    pico: int
    success: float
    """Probability of success in [0, 1]."""
    needs: frozenset[str] | set[str]
    """Tasks that must be done before."""
    started: bool = False
    key: tuple[int, float, int, str] = field(init=False)
    """What it goes by among steps that are free of each other."""

    def __post_init__(self) -> None:
        index = math.inf if self.success >= 1 else self.pico * self.success / (1 - self.success)
        self.key = (-1 if self.started else _CLASS[self.effect], index, self.pico, self.name)


def order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks in the order in which to commit to them."""
    ordered = sorted(tasks, key=_key)
    if not any(task.needs for task in ordered):
        return ordered
    takers = _takers(ordered)
    if ordered[0].key[0] == ordered[-1].key[0] and all(len(found) < 2 for found in takers):
        return _by_strings(ordered, takers)
    return _cheapest_order(ordered) if len(ordered) <= EXACT else _by_index(ordered, takers)


def _key(task: Task) -> tuple[int, float, int, str]:
    return task.key


def _takers(tasks: list[Task]) -> list[list[int]]:
    """For each task those that need it."""
    place = {task.name: i for i, task in enumerate(tasks)}
    takers: list[list[int]] = [[] for _ in tasks]
    for i, task in enumerate(tasks):
        for name in task.needs:
            takers[place[name]].append(i)
    return takers


def _by_index(tasks: list[Task], takers: list[list[int]]) -> list[Task]:
    """Of the tasks that can run always the first."""
    waiting = [len(task.needs) for task in tasks]
    ready = [i for i, count in enumerate(waiting) if not count]
    heapify(ready)
    found: list[Task] = []
    while ready:
        first = heappop(ready)
        found.append(tasks[first])
        for i in takers[first]:
            waiting[i] -= 1
            if not waiting[i]:
                heappush(ready, i)
    return found


@dataclass(slots=True)
class _String:
    """Tasks that run in one go. Two are in the right order when the first has the lower index."""

    tasks: list[int]
    waste: float
    """Expected, of its own tasks, when it fails on the way."""
    success: float
    cost: int
    index: float = 0.0

    def __post_init__(self) -> None:
        lost = self.waste + self.success * self.cost
        self.index = math.inf if self.success >= 1 else lost / (1 - self.success)

    def then(self, other: "_String") -> "_String":
        waste = self.waste + self.success * (other.waste + (1 - other.success) * self.cost)
        return _String(self.tasks + other.tasks, waste, self.success * other.success, self.cost + other.cost)


def _by_strings(tasks: list[Task], takers: list[list[int]]) -> list[Task]:
    """The order with the least waste where each task is needed by one other at most."""
    waiting = [len(task.needs) for task in tasks]
    before: list[list[_String]] = [[] for _ in tasks]
    ends: list[_String] = []
    ready = [i for i, count in enumerate(waiting) if not count]
    while ready:
        i = ready.pop()
        strings = sorted(before[i], key=_string_key)
        last = _String([i], 0.0, tasks[i].success, tasks[i].pico)
        while strings and strings[-1].index >= last.index:
            last = strings.pop().then(last)
        strings.append(last)
        if not takers[i]:
            ends += strings
            continue
        before[takers[i][0]] += strings
        waiting[takers[i][0]] -= 1
        if not waiting[takers[i][0]]:
            ready.append(takers[i][0])
    return [tasks[i] for string in sorted(ends, key=_string_key) for i in string.tasks]


def _string_key(string: _String) -> tuple[float, int]:
    return string.index, min(string.tasks)


def _cheapest_order(tasks: list[Task]) -> list[Task]:
    """Of all orders that the rule allows the one with the least expected waste."""
    bit = {task.name: 1 << i for i, task in enumerate(tasks)}
    needs = [sum(bit[name] for name in task.needs) for task in tasks]
    after: dict[int, tuple[float, int]] = {(1 << len(tasks)) - 1: (0.0, -1)}

    def waste(done: int) -> float:
        """The least expected waste from here on; `after` remembers it with the task to continue with."""
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

    A write waits for the reads before it that do not rest on it, an irreversible step for everything before it. What
    it waits for already through others is left out.
    """
    place = {task.name: i for i, task in enumerate(ordered)}
    if all(task.effect == Effect.READ for task in ordered):
        return {task.name: tuple(sorted(task.needs, key=place.__getitem__)) for task in ordered}
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
            for j in reversed(range(i)):
                if wanted & ~before & 1 << j:
                    held.append(j)
                    before |= behind[j] | 1 << j
            held.sort()
        behind.append(before)
        if task.effect == Effect.READ:
            reads |= 1 << i
        after[task.name] = tuple(ordered[j].name for j in held)
    return after
