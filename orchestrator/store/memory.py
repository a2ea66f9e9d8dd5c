"""The store in memory of a single process; apart from durability it behaves like a database.

Records are encoded, chained by hashes and sealed when something reads them; what they say is fixed when they are added.
"""

import json
import marshal
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import EllipsisType
from typing import Any

from orchestrator.core.enums import Status
from orchestrator.core.errors import StoreError
from orchestrator.core.event_records import EVENTS
from orchestrator.store.ledger.chain import GENESIS, seal_link
from orchestrator.store.ledger.encoding import (
    LOG,
    decode_body,
    encode_body,
    exact,
    finite_time,
    needle,
    report_problem,
    search_text,
)
from orchestrator.store.ledger.writes import (
    Append,
    DropValues,
    PutValue,
    SetStatus,
    Write,
    apply,
)

from .memory_queue import MemoryAccounts, MemoryLedger, MemoryOwnership, MemoryQueue
from .protocol import OnProblem, OnRefused
from .rows import FIRST_TOKEN, Record, RunRow, Seal, SummaryHints
from .signals import NoSignals, Signals
from .transport.protocol import QueueTransport


def _ignore(run_id: str, token: int) -> None:
    """The default: refused writes are not reported."""


class MemoryStore:
    """A `Store` in memory. It keeps every run while it exists, so a service that runs for months should use a file."""

    def __init__(self, on_problem: OnProblem = LOG.warning, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since the epoch."""
        self.on_problem = on_problem
        self.on_refused: OnRefused = _ignore
        self._ownership = MemoryOwnership(clock, self._report)
        self._runs = self._ownership.runs
        self._lost: dict[tuple[str, int | None], str] = {}
        self._seals: list[Seal] = []
        self._ended: list[MemoryLedger] = []
        """Runs that have ended and have no seal yet, in the order in which they did: seals are made when they are read.
        """
        self._key = secrets.token_bytes(32)
        self._queue = MemoryQueue(self._ownership)
        self._accounts = MemoryAccounts(clock)
        self._leases: dict[str, tuple[str, float]] = {}
        self._graphs: dict[str, str] = {}
        self._health: dict[str, str] = {}
        self._documents: dict[str, dict[int, str]] = {}

    embedded = True
    transport: QueueTransport | None = None

    @property
    def signals(self) -> Signals:
        """No signals: there is no other process."""
        return NoSignals()

    @property
    def queue(self) -> MemoryQueue:
        """Runs that wait for a worker."""
        return self._queue

    @property
    def accounts(self) -> MemoryAccounts:
        """What labels may spend."""
        return self._accounts

    def digest_key(self) -> bytes:
        """The key of the digests in records."""
        return self._key

    def begin(self, row: RunRow, owner: str = "", ttl: float = 0.0) -> RunRow | None:
        """Create the run, or return the row there is."""
        self._ownership.check_here(row.run_id)
        with self._ownership.lock:
            state = self._runs.get(row.run_id)
            if state is not None:
                return state.now()
            self._ownership.enter(row, FIRST_TOKEN if owner else 0)
            if owner:
                self._ownership.own(row.run_id, owner, ttl)
            return None

    def append(self, run_id: str, kind: str, body: Mapping[str, Any], at: float, token: int | None = None) -> None:
        """Add a record."""
        plain: Any = body
        at = float(at) if math.isfinite(at) else 0.0
        with self._ownership.lock:
            state = self._runs.get(run_id)
            if state is not None and state.ended is None and token in (None, state.token) and kind in EVENTS:
                try:
                    state.unread.append((kind, at, marshal.dumps(plain)))
                    state.count += 1
                    return
                except ValueError:  # it is no plain data
                    pass
        text, problem = encode_body(body)
        if problem:
            self._report(f"record {kind!r} of run {run_id!r}: {problem}")
        self._write(Append(run_id, token, kind, at, text))  # it is refused, or its kind is to be checked

    def put_value(self, run_id: str, name: str, text: str, token: int | None = None) -> None:
        """Keep a value."""
        self._write(PutValue(run_id, token, name, text))

    def drop_values(self, run_id: str, token: int | None = None) -> None:
        """Delete the run's values."""
        self._write(DropValues(run_id, token))

    def drop_values_below(self, run_id: str) -> None:
        """Delete the values of all runs below an ended run."""
        with self._ownership.lock:
            state = self._runs.get(run_id)
            below = [child for child, each in self._runs.items() if self._is_below(each.row.parent, run_id)]
        if state is not None and state.status.ended:
            for child in below:
                self._write(DropValues(child, None))

    def _is_below(self, parent: str | None, run_id: str) -> bool:
        while parent is not None and parent != run_id:
            above = self._runs.get(parent)
            parent = above.row.parent if above is not None else None
        return parent is not None

    def set_status(
        self,
        run_id: str,
        status: Status,
        ended: float | None = None,
        summary: Mapping[str, Any] | None = None,
        token: int | None = None,
        wake: float | None = None,
    ) -> None:
        """Change the status of the run."""
        text = None if summary is None else encode_body(summary)[0]
        self._write(SetStatus(run_id, token, status, None if ended is None else finite_time(ended), text, wake))

    def _write(self, write: Write) -> None:
        with self._ownership.lock:
            state = self._runs.get(write.run_id)
            refusal = apply(state, write)
            if refusal is not None and refusal.lost:
                self._lost[refusal.run_id, refusal.token] = refusal.problem
            if state is not None and state.sealed:
                state.sealed = False
                self._ended.append(state)
                self._ownership.owners.pop(write.run_id, None)
                self._queue.ended(write.run_id)
        if refusal is not None:
            self._report(refusal.problem)
            if refusal.fenced and refusal.token is not None:
                self.on_refused(refusal.run_id, refusal.token)

    def _seal(self, row: RunRow) -> None:
        n, prev = len(self._seals) + 1, self._seals[-1].hash if self._seals else GENESIS
        self._seals.append(Seal(n, row.run_id, row.head, prev, seal_link(prev, n, row.run_id, row.head)))

    def _report(self, problem: str) -> None:
        report_problem(self.on_problem, problem)

    async def settled(self, timeout: float = 10.0, run_id: str | None = None, token: int | None = None) -> None:
        """Returns at once, since memory has no later commit; raises for refused writes."""
        self.flush(timeout, run_id, token)

    def flush(self, timeout: float = 10.0, run_id: str | None = None, token: int | None = None) -> None:
        """The same."""
        del timeout  # no wait is needed
        if run_id is not None and (run_id, token) in self._lost:
            raise StoreError(self._lost[run_id, token])

    def run(self, run_id: str) -> RunRow | None:
        """The row of a run."""
        with self._ownership.lock:
            state = self._runs.get(run_id)
            if state is None:
                self._ownership.check_here(run_id)
            return None if state is None else state.now()

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
        """Runs, newest first."""
        del hints  # they would not make this faster
        found = self._found(status, search, parent, labels)
        found.sort(key=lambda run: (run.row.started, run.row.run_id), reverse=True)
        return [run.now() for run in found[offset : offset + limit]]

    def count_runs(
        self,
        status: Status | None = None,
        search: str | None = None,
        parent: str | EllipsisType | None = ...,
        labels: Mapping[str, str] | None = None,
    ) -> int:
        """How many runs there are."""
        return len(self._found(status, search, parent, labels))

    def count_by_status(
        self,
        search: str | None = None,
        parent: str | EllipsisType | None = ...,
        labels: Mapping[str, str] | None = None,
    ) -> dict[Status, int]:
        """How many runs of each status there are."""
        counts = Counter(state.status for state in self._found(None, search, parent, labels))
        return {status: counts[status] for status in Status}

    def _found(
        self,
        status: Status | None,
        search: str | None,
        parent: str | EllipsisType | None,
        labels: Mapping[str, str] | None,
    ) -> list[MemoryLedger]:
        with self._ownership.lock:
            states = list(self._runs.values())
        return [
            state
            for state in states
            if (status is None or state.status is status)
            and (parent is ... or state.row.parent == parent)
            and (not search or needle(search) in search_text(state.row))
            and (labels or {}).items() <= dict(state.row.labels).items()
        ]

    def records(self, run_id: str, after: int = 0) -> list[Record]:
        """The ledger of a run."""
        with self._ownership.lock:
            state = self._runs.get(run_id)
            if state is not None:
                state.chain()
            stored = [] if state is None else state.records[max(after, 0) :]
        return [Record(run_id, r.seq, r.kind, r.at, decode_body(r.text), r.prev, r.hash) for r in stored]

    def records_of(self, run_ids: Sequence[str], kinds: Collection[str] = ()) -> dict[str, list[Record]]:
        """The records of several runs."""
        found = {run_id: [r for r in self.records(run_id) if not kinds or r.kind in kinds] for run_id in run_ids}
        return {run_id: records for run_id, records in found.items() if records}

    def seals(self, after: int = 0, run_id: str | None = None) -> list[Seal]:
        """The chain over runs."""
        with self._ownership.lock:
            ended, self._ended = self._ended, []
            for state in ended:
                self._seal(state.now())
            return [seal for seal in self._seals[max(after, 0) :] if run_id in (None, seal.run_id)]

    def values(self, run_id: str) -> dict[str, str]:
        """The values of a run."""
        with self._ownership.lock:
            state = self._runs.get(run_id)
            return {} if state is None else dict(sorted(state.values.items()))

    def put_graph(self, digest: str, data: Mapping[str, Any]) -> None:
        """Keep a graph."""
        if digest not in self._graphs:
            self._graphs.setdefault(digest, encode_body(data, limit=None)[0])

    def graph(self, digest: str) -> dict[str, Any] | None:
        """The graph of a digest."""
        text = self._graphs.get(digest)
        return None if text is None else json.loads(text)

    def graphs(self, digests: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The graphs of several digests."""
        found = {digest: self.graph(digest) for digest in digests}
        return {digest: data for digest, data in found.items() if data is not None}

    def merge_health(
        self,
        deltas: Mapping[str, Mapping[str, Any]],
        merge: Callable[[Mapping[str, Any] | None, Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        """Add to the health of these names."""
        with self._ownership.lock:
            for name, data in deltas.items():
                text = self._health.get(name)
                self._health[name] = encode_body(merge(None if text is None else json.loads(text), data))[0]

    def load_health(self) -> dict[str, dict[str, Any]]:
        """What was saved, by name."""
        with self._ownership.lock:
            return {name: json.loads(text) for name, text in sorted(self._health.items())}

    def try_lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take the lease unless it lives."""
        with self._ownership.lock:
            now = self.now()
            if self._leases.get(name, ("", -math.inf))[1] > now:
                return False
            self._leases[name] = (owner, now + seconds)
            return True

    def release_lease(self, name: str, owner: str) -> None:
        """Give the lease back."""
        with self._ownership.lock:
            if self._leases.get(name, ("", 0.0))[0] == owner:
                del self._leases[name]

    def put_document(self, kind: str, data: Mapping[str, Any]) -> int:
        """Store a version of a document."""
        text = exact(f"document {kind!r}", data)
        with self._ownership.lock:
            versions = self._documents.setdefault(kind, {})
            number = max(versions, default=0) + 1
            versions[number] = text
            return number

    def swap_document(self, kind: str, data: Mapping[str, Any], after: int, keep: int) -> bool:
        """Store the next version of a document, unless another process was faster."""
        text = exact(f"document {kind!r}", data)
        with self._ownership.lock:
            versions = self._documents.get(kind, {})
            if max(versions, default=0) != after:
                return False
            kept = {number: held for number, held in versions.items() if number > after + 1 - keep}
            self._documents[kind] = {**kept, after + 1: text}
            return True

    def document(self, kind: str, version: int | None = None) -> dict[str, Any] | None:
        """A version of a document."""
        with self._ownership.lock:
            versions = self._documents.get(kind, {})
            text = versions.get(max(versions, default=0) if version is None else version)
            return None if text is None else json.loads(text)

    def document_versions(self, kind: str) -> list[int]:
        """The versions there are."""
        with self._ownership.lock:
            return sorted(self._documents.get(kind, {}))

    def moved(self) -> str:
        """Memory has no schema."""
        return ""

    def now(self) -> float:
        """The time by the store's clock."""
        return self._ownership.now()

    def estimated_now(self) -> float:
        """The same."""
        return self._ownership.now()

    def claim(self, run_id: str, owner: str, ttl: float) -> int | None:
        """Own the run."""
        return self._ownership.claim(run_id, owner, ttl)

    def owned(self, owner: str) -> Mapping[str, int]:
        """The tokens of the owner's runs."""
        return self._ownership.owned(owner)

    def renew(self, owner: str, ttl: float, tokens: Mapping[str, int]) -> frozenset[str]:
        """Renew the owner's lease; the runs it has lost."""
        return self._ownership.renew(owner, ttl, tokens)

    def release(self, run_id: str, token: int) -> None:
        """Give the run back."""
        self._ownership.release(run_id, token)

    def owner(self, run_id: str) -> str:
        """Who owns a run."""
        return self._ownership.owners.get(run_id, "")

    def doubtful(self, run_id: str) -> int:
        """The token of the last takeover from an owner that was not proven dead."""
        return self._ownership.doubtful.get(run_id, 0)

    def pruned(self) -> frozenset[str]:
        """Nothing is pruned in memory."""
        return frozenset()

    def close(self, timeout: float = 10.0) -> None:
        """Nothing to close."""
