"""Which queued runs a worker takes: by priority, and at one priority the tenants take turns."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

EACH: Final = "*"
"""The tenant whose limit holds for every tenant without one of its own."""

ALL: Final = "**"
"""The name under which the limit over all tenants together stands."""


@dataclass(frozen=True)
class QueuedRun:
    """A queued run that may start."""

    run_id: str
    tenant: str
    priority: int


def room(limits: Mapping[str, int], busy: Mapping[str, int]) -> Callable[[str], float]:
    """How many more runs of a tenant may be driven, where `busy` are."""

    def left(tenant: str) -> float:
        limit = limits.get(tenant, limits.get(EACH))
        return math.inf if limit is None else limit - busy.get(tenant, 0)

    return left


def most_now(most: int, limits: Mapping[str, int], busy: Mapping[str, int]) -> int:
    """How many of `most` runs may start, where all tenants together have a limit."""
    return most if ALL not in limits else max(0, min(most, limits[ALL] - sum(busy.values())))


def choose(found: Iterable[QueuedRun], most: int, room: Callable[[str], float]) -> list[str]:
    """Up to `most` runs of those found (in the order in which they came), fair between tenants."""
    turns: Counter[tuple[int, str]] = Counter()
    placed: list[tuple[int, int, int, QueuedRun]] = []
    for index, candidate in enumerate(found):
        key = (candidate.priority, candidate.tenant)
        placed.append((-candidate.priority, turns[key], index, candidate))
        turns[key] += 1
    taken: Counter[str] = Counter()
    chosen: list[str] = []
    for *_, candidate in sorted(placed, key=lambda entry: entry[:3]):
        if len(chosen) < most and taken[candidate.tenant] < room(candidate.tenant):
            taken[candidate.tenant] += 1
            chosen.append(candidate.run_id)
    return chosen
