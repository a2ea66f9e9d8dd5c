"""What a store is: the rows that travel, and the protocol every store fulfils."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Protocol

from orchestrator.core.enums import Status

Problem = Callable[[str], None]
"""Told, from any thread, about what a store could not do. It must not call the store back."""


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
    ended: float | None
    head: str
    count: int
    trace_id: str
    summary: dict[str, Any]


@dataclass(frozen=True)
class Seal:
    """One link of the chain over runs: the head of an ended run, and the hash of the seal before."""

    n: int
    run_id: str
    head: str
    prev: str
    hash: str


class Store(Protocol):
    """Runs, their ledgers and values, and what outlives a run. Sync and thread-safe.

    Enqueued (never raise, never wait for I/O, order kept): `append`, `put_value`, `set_status`, `drop_values`,
    `put_graph`, `save_health`, `merge_health`. What goes wrong is told to `on_problem`. A `token` is the fencing token
    of `claim`: a write whose token is no longer the run's is refused.

    Everything else answers at once and raises `StoreError` when the store cannot be reached within a short time.
    Reads see everything this store object was given before, as far as it can be written.
    """

    on_problem: Problem

    def begin(self, row: RunRow) -> RunRow | None:
        """Create the run; `None` when it was created, else the row that exists. `head` and `count` are the store's.

        When the store cannot be reached: `StoreError`, and the creation stays enqueued, so the run may go on.
        """
        ...

    def append(self, run_id: str, kind: str, body: Mapping[str, Any], at: float, token: int | None = None) -> None:
        """Enqueue a record; the store gives it its number and its place in the chain.

        What JSON cannot hold is replaced (infinity by "inf", an object by the name of its type), a body over 256 KiB
        is cut with a note; neither fails.
        """
        ...

    def put_value(self, run_id: str, name: str, text: str, token: int | None = None) -> None:
        """Enqueue a value that resuming needs, as JSON text; the last one of a name stays."""
        ...

    def drop_values(self, run_id: str, token: int | None = None) -> None:
        """Enqueue the deletion of a run's values."""
        ...

    def set_status(
        self,
        run_id: str,
        status: Status,
        ended: float | None = None,
        summary: Mapping[str, Any] | None = None,
        token: int | None = None,
    ) -> None:
        """Enqueue a move: running and waiting alternate until an end, and an end never changes.

        An end appends the closing record (`closed`, at `ended`) and seals the run in the chain over runs; nothing can
        be appended after it.
        """
        ...

    async def settled(self, timeout: float = 10.0, run_id: str | None = None, token: int | None = None) -> None:
        """Return when all that was enqueued is durable.

        Raises `StoreError` after `timeout` seconds; and, when `run_id` is given, if any write of that run with that
        `token` was refused or lost. Pass both before an effect: that is what fences a stale worker off.
        """
        ...

    def flush(self, timeout: float = 10.0, run_id: str | None = None, token: int | None = None) -> None:
        """The same as `settled`, for threads."""
        ...

    def run(self, run_id: str) -> RunRow | None:
        """The row of a run."""
        ...

    def runs(
        self,
        status: Status | None = None,
        search: str | None = None,
        parent: str | EllipsisType | None = ...,
        limit: int = 100,
        offset: int = 0,
    ) -> list[RunRow]:
        """Runs, newest first.

        `search` is part of id, goal, policy or trace id, in any case; `parent=None` leaves out children of runs.
        """
        ...

    def count_runs(
        self, status: Status | None = None, search: str | None = None, parent: str | EllipsisType | None = ...
    ) -> int:
        """How many runs `runs` would give without a limit."""
        ...

    def records(self, run_id: str, after: int = 0) -> list[Record]:
        """The ledger of a run, in order, from the record after number `after`."""
        ...

    def seals(self, after: int = 0, run_id: str | None = None) -> list[Seal]:
        """The chain over runs, in order, from the seal after number `after`; or the seal of one run."""
        ...

    def values(self, run_id: str) -> dict[str, str]:
        """The values of a run, as JSON text by name, sorted by name."""
        ...

    def put_graph(self, digest: str, data: Mapping[str, Any]) -> None:
        """Enqueue a graph under its digest; a digest that is there already stays as it is."""
        ...

    def graph(self, digest: str) -> dict[str, Any] | None:
        """The graph of a digest."""
        ...

    def save_health(self, name: str, data: Mapping[str, Any]) -> None:
        """Enqueue what is known of the health of `name`."""
        ...

    def merge_health(
        self,
        news: Mapping[str, Mapping[str, Any]],
        merge: Callable[[Mapping[str, Any] | None, Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        """Enqueue that the health of each name becomes `merge(stored, news)`; no other process comes between.

        `merge` is pure: it may be called again, by another thread.
        """
        ...

    def load_health(self) -> dict[str, dict[str, Any]]:
        """What was saved, by name, sorted."""
        ...

    def try_lease(self, name: str, owner: str, seconds: float, now: float) -> bool:
        """Take the lease for `seconds` from `now`; while it lives it is refused to everybody, its holder included."""
        ...

    def release_lease(self, name: str, owner: str) -> None:
        """Give a lease back; nothing happens when somebody else holds it."""
        ...

    def put_document(self, kind: str, data: Mapping[str, Any]) -> int:
        """Keep a new version of a document; returns its number, from 1."""
        ...

    def swap_document(self, kind: str, data: Mapping[str, Any], after: int, keep: int) -> bool:
        """Keep the next version of a document if its newest is still number `after` (0: there is none yet).

        `False` when somebody else was quicker. Versions older than the newest `keep` are let go.
        """
        ...

    def document(self, kind: str, version: int | None = None) -> dict[str, Any] | None:
        """A version of a document, by default the newest."""
        ...

    def document_versions(self, kind: str) -> list[int]:
        """The versions there are, ascending."""
        ...

    def claim(self, run_id: str, owner: str, now: float, ttl: float) -> int | None:
        """Own the run until `now + ttl`: a fencing token greater than all before, or `None` while another owner lives.

        An owner of this machine (see `owner_name`) whose process has died loses the run at once.
        """
        ...

    def renew(self, run_id: str, token: int, now: float, ttl: float) -> bool:
        """Own it longer; `False` when the token is no longer the run's."""
        ...

    def release(self, run_id: str, token: int) -> None:
        """Give the run back; nothing happens when the token is no longer the run's."""
        ...

    def close(self, timeout: float = 10.0) -> None:
        """Write what is enqueued and let go of everything; a second call does nothing."""
        ...
