"""The `Store` protocol."""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import EllipsisType
from typing import Any, Protocol

from orchestrator.core.enums import Status

from .queue import Accounts, RunQueue
from .rows import Record, RunRow, Seal, SummaryHints
from .signals import Signals
from .transport.protocol import QueueTransport

OnProblem = Callable[[str], None]
"""Called, from any thread, with a problem of the store. It must not call the store."""


OnRefused = Callable[[str, int], None]
"""Called, from any thread, with the run and the token of a refused write: another owner has the run."""


class Store(Protocol):
    """Runs, their ledgers and values, and data shared by runs. Sync and thread-safe.

    Enqueued (never raise, never wait for I/O, order kept): `append`, `put_value`, `set_status`, `drop_values`,
    `drop_values_below`, `put_graph`, `merge_health`. Errors go to `on_problem`. A `token` is the fencing token of
    `claim`: a write whose token is no longer the run's is refused.

    Everything else answers at once and raises `StoreError` when the store cannot be reached within a short time. Reads
    see everything that was written through this store object before, as far as it can be stored.
    """

    on_problem: OnProblem
    on_refused: OnRefused

    @property
    def embedded(self) -> bool:
        """Whether the store is embedded (memory, a file); the program then executes its own queue."""
        ...

    @property
    def queue(self) -> RunQueue:
        """Runs that wait for a worker."""
        ...

    @property
    def accounts(self) -> Accounts:
        """What labels may spend."""
        ...

    @property
    def signals(self) -> Signals:
        """Hints between the processes that share the store."""
        ...

    @property
    def transport(self) -> QueueTransport | None:
        """The queue engine that carries ids of runs to workers; `None`: signals alone."""
        ...

    def moved(self) -> str:
        """The message if a newer program has migrated the tables to a schema that this one does not read, else empty.

        Raises `StoreError` when the store cannot be reached.
        """
        ...

    def now(self) -> float:
        """The time by the store's clock, in seconds since the epoch: the database's, or the one it was given."""
        ...

    def estimated_now(self) -> float:
        """The same without asking the database: what is known of its clock, and the machine's since then."""
        ...

    def digest_key(self) -> bytes:
        """The key of the digests in this store's records; made at first use, never exported."""
        ...

    def begin(self, row: RunRow, owner: str = "", ttl: float = 0.0) -> RunRow | None:
        """Create the run; `None` when it was created, else the row that exists. `head` and `count` are the store's.

        With an `owner`, who owns it from its creation for `ttl` seconds, with the token `FIRST_TOKEN`.

        If the store cannot be reached it raises `StoreError`; the creation stays enqueued, so the run may continue.
        """
        ...

    def append(self, run_id: str, kind: str, body: Mapping[str, Any], at: float, token: int | None = None) -> None:
        """Enqueue a record; the store gives it its number and its place in the chain.

        Values without a JSON form are replaced (infinity by "inf", an object by the name of its type), and a body over
        256 KiB is cut with a note; neither fails.
        """
        ...

    def put_value(self, run_id: str, name: str, text: str, token: int | None = None) -> None:
        """Enqueue a value for resuming, as JSON text; replaces an earlier value with this name."""
        ...

    def drop_values(self, run_id: str, token: int | None = None) -> None:
        """Enqueue the deletion of a run's values."""
        ...

    def drop_values_below(self, run_id: str) -> None:
        """Enqueue the deletion of the values of all runs below an ended run; those of one that continues stay."""
        ...

    def set_status(
        self,
        run_id: str,
        status: Status,
        ended: float | None = None,
        summary: Mapping[str, Any] | None = None,
        token: int | None = None,
        wake: float | None = None,
    ) -> None:
        """Enqueue a change of status: running and waiting alternate until an end, which never changes.

        `wake` is when a waiting run continues without an answer. An end releases the run.

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
        labels: Mapping[str, str] | None = None,
        hints: SummaryHints | None = None,
    ) -> list[RunRow]:
        """Runs, newest first.

        `search` is part of id, goal, policy or trace id, in any case; `parent=None` leaves out children of runs;
        `labels` that all of them have. A store may leave out runs that do not fit `hints`, and may ignore them.
        """
        ...

    def count_runs(
        self,
        status: Status | None = None,
        search: str | None = None,
        parent: str | EllipsisType | None = ...,
        labels: Mapping[str, str] | None = None,
    ) -> int:
        """The number of runs that `runs` would return without a limit."""
        ...

    def count_by_status(
        self,
        search: str | None = None,
        parent: str | EllipsisType | None = ...,
        labels: Mapping[str, str] | None = None,
    ) -> dict[Status, int]:
        """How many runs of each status there are, in one read; a status without runs counts 0."""
        ...

    def records(self, run_id: str, after: int = 0) -> list[Record]:
        """The ledger of a run, in order, from the record after number `after`."""
        ...

    def records_of(self, run_ids: Sequence[str], kinds: Collection[str] = ()) -> dict[str, list[Record]]:
        """The records of several runs, by run and in order, in one read; of these kinds alone, where some are named.

        A run without such records has no entry.
        """
        ...

    def pruned(self) -> frozenset[str]:
        """The pruned runs, whose seals are kept."""
        ...

    def seals(self, after: int = 0, run_id: str | None = None) -> list[Seal]:
        """The chain over runs, in order, from the seal after number `after`; or the seal of one run."""
        ...

    def values(self, run_id: str) -> dict[str, str]:
        """The values of a run, as JSON text by name, sorted by name."""
        ...

    def put_graph(self, digest: str, data: Mapping[str, Any]) -> None:
        """Enqueue a graph under its digest; an existing one is not replaced."""
        ...

    def graph(self, digest: str) -> dict[str, Any] | None:
        """The graph of a digest."""
        ...

    def graphs(self, digests: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The graphs of several digests in one read, by digest; those that are not there are left out."""
        ...

    def merge_health(
        self,
        deltas: Mapping[str, Mapping[str, Any]],
        merge: Callable[[Mapping[str, Any] | None, Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        """Enqueue that the health of each name becomes `merge(stored, delta)`, atomically over processes.

        `merge` is pure: it may be called again, by another thread.
        """
        ...

    def load_health(self) -> dict[str, dict[str, Any]]:
        """The stored health by name, sorted."""
        ...

    def try_lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take the lease for `seconds`; until it expires no other request gets it, not even the holder's."""
        ...

    def release_lease(self, name: str, owner: str) -> None:
        """Give a lease back; no effect if another owner holds it."""
        ...

    def put_document(self, kind: str, data: Mapping[str, Any]) -> int:
        """Store a new version of a document; returns its number, from 1."""
        ...

    def swap_document(self, kind: str, data: Mapping[str, Any], after: int, keep: int) -> bool:
        """Store the next version of a document if its newest is still number `after` (0: there is none yet).

        `False` if another process was quicker. Only the newest `keep` versions are kept.
        """
        ...

    def document(self, kind: str, version: int | None = None) -> dict[str, Any] | None:
        """A version of a document, by default the newest."""
        ...

    def document_versions(self, kind: str) -> list[int]:
        """The versions there are, ascending."""
        ...

    def claim(self, run_id: str, owner: str, ttl: float) -> int | None:
        """Own the run: a fencing token greater than all before; `None` while another owner lives, once it has ended,
        or without a run.

        The lease is the owner's: it is renewed for `ttl` seconds by the store's clock. An owner of this machine (see
        `owner_name`) whose process has died loses the run at once; in a file, one whose process runs keeps it.
        """
        ...

    def renew(self, owner: str, ttl: float, tokens: Mapping[str, int]) -> frozenset[str]:
        """Renew the owner's lease; returns those of its runs (by id, with their tokens) that it no longer owns."""
        ...

    def owned(self, owner: str) -> Mapping[str, int]:
        """The fencing tokens of all runs of an owner, by id."""
        ...

    def owner(self, run_id: str) -> str:
        """The owner of a run; empty if there is none."""
        ...

    def doubtful(self, run_id: str) -> int:
        """The token of the last takeover of a run from an owner that was not proven dead; 0: there was none.

        Such an owner may still send a request that it began.
        """
        ...

    def release(self, run_id: str, token: int) -> None:
        """Release the run; no effect if the token is no longer the run's."""
        ...

    def close(self, timeout: float = 10.0) -> None:
        """Write everything that is enqueued and release all resources; a second call does nothing."""
        ...
