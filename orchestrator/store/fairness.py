"""Which queued runs a worker claims: by priority; runs of one priority are shared fairly between tenants."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

EACH: Final = "*"
"""The tenant whose limit holds for every tenant without one of its own."""

ALL: Final = "**"
"""The key of the limit over all tenants together."""


@dataclass(frozen=True)
class QueuedRun:
    """A queued run that may start."""

    run_id: str
    tenant: str
    priority: int
    goal: str = ""
    """The name of the goal."""
    begun: bool = False
    """Whether it has records already."""
    wake: float = 0.0
    """Since when it may start, by the store's clock."""


def room(limits: Mapping[str, int], busy: Mapping[str, int]) -> Callable[[str], float]:
    """How many more runs of a tenant may be driven when `busy` already are."""

    def left(tenant: str) -> float:
        limit = limits.get(tenant, limits.get(EACH))
        return math.inf if limit is None else limit - busy.get(tenant, 0)

    return left


def most_now(most: int, limits: Mapping[str, int], busy: Mapping[str, int]) -> int:
    """How many of `most` runs may start under the limit over all tenants."""
    return most if ALL not in limits else max(0, min(most, limits[ALL] - sum(busy.values())))


class TenantTurns:
    """Fair choice of tenants over the polls of one process, also when few runs are taken at a time.

    Start-time fair queueing (Goyal, Vin and Cheng 1996) with runs of equal size: the next run of a tenant starts where
    its last one finished, or at the virtual time, whichever is later. So an idle tenant collects no credit, and one
    with a long backlog does not delay another.
    """

    def __init__(self) -> None:
        self._time = 0
        """Virtual start of the latest chosen run."""
        self._finished: dict[str, int] = {}
        """Virtual finish of a tenant's latest run, for tenants that are ahead of the virtual time."""

    def choose(self, found: Iterable[QueuedRun], most: int, room: Callable[[str], float]) -> list[str]:
        """At most `most` of these runs (in their order of arrival), fair between tenants."""
        counted: Counter[tuple[int, str]] = Counter()
        now = self._time
        placed: list[tuple[int, int, int, QueuedRun]] = []
        for index, run in enumerate(found):
            key = (run.priority, run.tenant)
            placed.append((-run.priority, self._finished.get(run.tenant, now) + counted[key], index, run))
            counted[key] += 1
        taken: Counter[str] = Counter()
        chosen: list[str] = []
        for _, start, _, run in sorted(placed, key=lambda entry: entry[:3]):
            if len(chosen) < most and taken[run.tenant] < room(run.tenant):
                taken[run.tenant] += 1
                chosen.append(run.run_id)
                self._time = max(self._time, start)
        for tenant, count in taken.items():
            self._finished[tenant] = self._finished.get(tenant, now) + count
        self._finished = {tenant: finish for tenant, finish in self._finished.items() if finish > self._time}
        return chosen
