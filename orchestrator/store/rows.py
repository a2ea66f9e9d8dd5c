"""The rows that a store returns, and names in them that have a meaning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.enums import Status

FIRST_TOKEN: Final = 1
"""The fencing token of the owner who begins a run."""


TENANT: Final = "tenant"
"""The label whose value is the tenant of a run: limits and fairness of the queue go by it."""


SLOT: Final = "slot:"
"""Leases whose names begin so are slots of a tool's limit over all processes."""


def slot_name(tool: str, number: int) -> str:
    """The name of the lease that is slot `number` of a tool."""
    return f"{SLOT}{tool}:{number}"


@dataclass(frozen=True)
class Record:
    """One record of a run's ledger: `at` in seconds since the epoch, `body` plain JSON, the hash of the one before."""

    run_id: str
    seq: int
    kind: str
    at: float
    body: dict[str, Any]
    prev: str
    hash: str


@dataclass(frozen=True)
class RunRow:
    """One run: what it was asked for, where it stands, and the head (last hash) and count of its ledger."""

    run_id: str
    parent: str | None
    goal: str
    status: Status
    policy: str
    started: float
    ended: float | None = None
    head: str = ""
    count: int = 0
    trace_id: str = ""
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    wake: float | None = None
    """When a queued run may start, or a waiting one goes on without an answer; by the store's clock."""
    attempts: int = 0
    """Owners that died while they drove the run, since it last made progress."""


@dataclass(frozen=True)
class Seal:
    """One link of the chain over runs: the head of an ended run, and the hash of the seal before."""

    n: int
    run_id: str
    head: str
    prev: str
    hash: str
    lane: int = 0
    """Which chain: the processes of a PostgreSQL store seal in several chains, so that none waits for another."""


@dataclass(frozen=True)
class ClaimedRun:
    """A run that a worker took from the queue, its fencing token, and what was asked for (see `submit`)."""

    run_id: str
    token: int
    request: str | None
    answer: str | None
    cancel: bool = False
    """Whether its cancellation was asked for: nothing of it begins any more."""
    count: int = 0
    """Records of its ledger: 0 for a run that has not begun."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Swept:
    """What a sweep of the queue changed, as ids of runs."""

    lost: tuple[str, ...] = ()
    """Runs whose owner is gone; they are queued again."""
    due: tuple[str, ...] = ()
    """Waiting runs whose time came; they are queued."""
    set_aside: tuple[str, ...] = ()
    """Runs that lost their owner too often: no worker takes them until `retry`."""


@dataclass(frozen=True)
class Share:
    """A part of what a label may spend on a UTC day, leased to one process until `expires` (store's clock)."""

    label: str
    day: int
    """Days since 1970-01-01, UTC."""
    usd: float
    expires: float


@dataclass(frozen=True, slots=True)
class SummaryHints:
    """Conditions on the summaries of the wanted runs, so that a database reads fewer of them."""

    since: float | None = None
    """Seconds since the epoch: the runs began then or later."""
    until: float | None = None
    """Seconds since the epoch: the runs began before."""
    names: tuple[str, ...] = ()
    """Texts that occur in the summary as JSON strings: names of tools, classes of failures."""
    healed: bool = False
    """The run reached a goal, lesser or not, although calls failed."""
