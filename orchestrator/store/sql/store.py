"""The store in a database: SQLite in a file, or PostgreSQL."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy.engine import Connection

from orchestrator.core.enums import Status
from orchestrator.core.errors import StoreError
from orchestrator.core.process.forks import new_lock, renew_after_fork
from orchestrator.store.ledger.encoding import LOG, encode_body, exact, finite_time, report_problem, same_run
from orchestrator.store.ledger.writes import Append, DropValues, PutValue, RefusedWrite, SetStatus, Write, fresh_row
from orchestrator.store.protocol import OnProblem, OnRefused
from orchestrator.store.rows import RunRow
from orchestrator.store.shutdown import OPEN
from orchestrator.store.signals import QUEUE, NoSignals, Signals
from orchestrator.store.transport.protocol import QueueTransport

from . import documents, ownership
from . import writes as statements
from .accounts import SqlAccounts
from .commits import Commits
from .engine import (
    check_writable,
    database_url,
    engines,
    prepare,
    queue_engine,
    schema_version,
    shown_url,
)
from .notify import NotifySignals
from .queue import SqlQueue
from .reads import SqlReads
from .tables import SCHEMA_VERSION, DatabaseClock
from .transports import install, open_transport
from .watchdog import WATCHDOG
from .writer import CAPACITY, Writer, WriteRequest

T = TypeVar("T")

_ANSWER_SECONDS = 10.0
LEASE_SECONDS = 0.5
"""Time-out in seconds of a request for a lease."""
_FRESH_SECONDS = 0.5
_LOST_KEPT = 10_000


class SqlStore(SqlReads):
    """A `Store` in a database; several processes may share it.

    Raises:
        StoreError: the database cannot be opened, or is not ours to use.
    """

    def __init__(
        self, where: str | Path, on_problem: OnProblem = LOG.warning, clock: Callable[[], float] | None = None
    ) -> None:
        """`clock` (seconds since the epoch) takes the place of the database's, for tests on virtual time."""
        self.on_problem = on_problem
        self.on_refused: OnRefused = _ignore
        self._url = database_url(where)
        self._now: Final = DatabaseClock(clock or (time.time if self.embedded else None))
        self._lost: dict[tuple[str, int | None], str] = {}
        self._dropped: dict[str, int] = {}
        self._lock = new_lock()
        self._key: bytes | None = None
        engine = queue_engine(where)
        self._transport: QueueTransport | None = open_transport(engine, self._url) if engine else None
        self._queue = SqlQueue(self._ask, self._now, lambda: self._signals.send(QUEUE), self._transport)
        self._accounts = SqlAccounts(self._ask, self._now)
        self._open()
        OPEN.add(self)
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"SqlStore({shown_url(self._url)!r})"

    @property
    def address(self) -> str:
        """Its URL, which opens it again."""
        return self._url.render_as_string(hide_password=False)

    @property
    def embedded(self) -> bool:
        """Whether it is a file."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def queue(self) -> SqlQueue:
        """Runs that wait for a worker."""
        return self._queue

    @property
    def accounts(self) -> SqlAccounts:
        """The daily spending limits of labels."""
        return self._accounts

    @property
    def signals(self) -> Signals:
        """Hints between processes: by NOTIFY on PostgreSQL, none in a file."""
        return self._signals

    @property
    def transport(self) -> QueueTransport | None:
        """The queue engine that the store's URL names."""
        return self._transport

    # ---------------------------------------------------------------- enqueued

    def append(self, run_id: str, kind: str, body: Mapping[str, Any], at: float, token: int | None = None) -> None:
        """Enqueue a record."""
        text, problem = encode_body(body)
        if problem:
            self.report(f"record {kind!r} of run {run_id!r}: {problem}")
        self._enqueue(Append(run_id, token, kind, finite_time(at), text), len(text))

    def put_value(self, run_id: str, name: str, text: str, token: int | None = None) -> None:
        """Enqueue a value."""
        self._enqueue(PutValue(run_id, token, name, text), len(text))

    def drop_values(self, run_id: str, token: int | None = None) -> None:
        """Enqueue the deletion of a run's values."""
        self._enqueue(DropValues(run_id, token), 0)

    def drop_values_below(self, run_id: str) -> None:
        """Enqueue the deletion of the values of all runs below an ended run."""
        self._enqueue_call(lambda connection, _: statements.drop_values_below(connection, run_id))

    def set_status(
        self,
        run_id: str,
        status: Status,
        ended: float | None = None,
        summary: Mapping[str, Any] | None = None,
        token: int | None = None,
        wake: float | None = None,
    ) -> None:
        """Enqueue a change of the run's status."""
        text = None if summary is None else encode_body(summary)[0]
        self._enqueue(SetStatus(run_id, token, status, None if ended is None else finite_time(ended), text, wake), 0)

    def put_graph(self, digest: str, data: Mapping[str, Any]) -> None:
        """Enqueue a graph."""
        if digest not in self._commits.graphs:
            self._commits.graphs.add(digest)
            text = encode_body(data, limit=None)[0]
            self._enqueue_call(lambda connection, _: documents.add_graph(connection, digest, text))

    def merge_health(
        self,
        deltas: Mapping[str, Mapping[str, Any]],
        merge: Callable[[Mapping[str, Any] | None, Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        """Enqueue an addition to the health of these names."""

        def add(connection: Connection, _: WriteRequest) -> None:
            stored = documents.lock_health(connection, sorted(deltas))
            merged = {name: encode_body(merge(stored.get(name), data))[0] for name, data in sorted(deltas.items())}
            documents.set_health(connection, merged)

        self._enqueue_call(add)

    def _enqueue_call(self, work: Callable[[Connection, WriteRequest], object]) -> None:
        if not self._writer.put(WriteRequest(work, keep=True)):
            self.report("the store is closed: a graph or the health of a tool was not kept")

    def _enqueue(self, write: Write, size: int) -> None:
        if self._dropped and write.run_id in self._dropped:
            self._report_gap(write)
        droppable = not isinstance(write, SetStatus)
        if self._writer.put(write, size + 200, droppable=droppable):
            return
        if self._writer.closed:
            problem = f"the store is closed: a write of run {write.run_id!r} was not kept"
        elif size > CAPACITY:
            what = f"the value {write.name!r}" if isinstance(write, PutValue) else "a record"
            problem = (
                f"{what} of run {write.run_id!r} is too large for the store: {size / 2**20:.0f} MiB, and it takes "
                f"{CAPACITY / 2**20:.0f}; keep large data in files and pass their paths"
            )
        else:
            problem = f"too much is waiting for the store: writes of run {write.run_id!r} are not kept"
            with self._lock:
                count = self._dropped[write.run_id] = self._dropped.get(write.run_id, 0) + 1
            if count > 1:
                return
        self._lose(RefusedWrite(write.run_id, write.token, problem, lost=True))

    def _report_gap(self, write: Write) -> None:
        """Record in the ledger how many writes were lost before the next record."""
        with self._lock:
            count = self._dropped.get(write.run_id, 0)
            at = write.at if isinstance(write, Append) else (isinstance(write, SetStatus) and write.ended) or 0.0
            gap = Append(write.run_id, write.token, "lost", at, encode_body({"count": count})[0])
            if count and self._writer.put(gap, 200, droppable=not isinstance(write, SetStatus)):
                del self._dropped[write.run_id]

    # ---------------------------------------------------------------- durability

    async def settled(self, timeout: float = 10.0, run_id: str | None = None, token: int | None = None) -> None:
        """Return when all that was enqueued is committed."""
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[None] = loop.create_future()
        if not self._writer.when_durable(partial(_wake, loop, durable)):
            try:
                async with asyncio.timeout(timeout):
                    await durable
            except TimeoutError as error:
                raise self._not_durable(timeout) from error
        self._check(run_id, token)

    def flush(self, timeout: float = 10.0, run_id: str | None = None, token: int | None = None) -> None:
        """The same, for threads."""
        durable = threading.Event()
        if not self._writer.when_durable(durable.set) and not durable.wait(timeout):
            raise self._not_durable(timeout)
        self._check(run_id, token)

    def _when_durable(self, wake: Callable[[], None]) -> bool:
        return self._writer.when_durable(wake)

    def durability(self) -> str:
        """The database's setting for commits: it must be FULL (SQLite) or on (PostgreSQL), so that the intent of a
        write is durable.
        """
        postgres = self._url.get_backend_name() == "postgresql"
        question = "SHOW synchronous_commit" if postgres else "PRAGMA synchronous"
        answer = str(self._ask(lambda connection: connection.exec_driver_sql(question).scalar()))
        return answer if postgres else {"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}.get(answer, answer)

    def _not_durable(self, timeout: float) -> StoreError:
        return StoreError(
            f"what was written to {shown_url(self._url)} could not be made durable within {timeout:g} s: "
            + (self._writer.trouble or "the store is busy")
        )

    def _check(self, run_id: str | None, token: int | None) -> None:
        if run_id is not None and (problem := self._lost.get((run_id, token))):
            raise StoreError(problem)

    # ---------------------------------------------------------------- answered

    def begin(self, row: RunRow, owner: str = "", ttl: float = 0.0) -> RunRow | None:
        """Create the run, or return the row there is."""
        wanted = fresh_row(row)

        def create(connection: Connection, call: WriteRequest) -> RunRow | None:
            existing = statements.create_run(connection, wanted, owner)
            if existing is None and owner:
                ownership.renew_owner(connection, owner, self._now(connection) + ttl)
            if call.abandoned and existing is not None and not same_run(existing, wanted):
                self._commits.foreign.add(wanted.run_id)
            return existing

        answer: RunRow | None = self._writer.call(WriteRequest(create, keep=True), _ANSWER_SECONDS)
        return answer

    def now(self) -> float:
        """The time by the store's clock."""
        return self._ask(self._now)

    def estimated_now(self) -> float:
        """The same without asking: as of the last reading and the machine's monotonic clock."""
        return self._now.estimate()

    def moved(self) -> str:
        """The message if the tables have been migrated to another schema."""
        version = self._read(schema_version)
        if version in (None, SCHEMA_VERSION):
            return ""
        return (
            f"the store {shown_url(self._url)} was moved to schema version {version}, and this program reads "
            f"{SCHEMA_VERSION}: start the version of the program that moved it"
        )

    def check_writable(self) -> None:
        """Raises `StoreError`, and closes the store, where its tables cannot be written by this role."""
        try:
            check_writable(self.engine, self._url)
        except StoreError:
            self.close(timeout=1.0)
            raise

    def digest_key(self) -> bytes:
        """The key of the digests in records."""
        if self._key is None:
            found = self.key("digest") or self._ask(lambda connection: documents.key(connection, "digest"))
            self._key = bytes.fromhex(found)
        return self._key

    def claim(self, run_id: str, owner: str, ttl: float) -> int | None:
        """Own the run."""
        return self._ask(lambda connection: ownership.take_claim(connection, run_id, owner, self._now(connection), ttl))

    def renew(self, owner: str, ttl: float, tokens: Mapping[str, int]) -> frozenset[str]:
        """Renew the owner's lease; the runs it has lost."""

        def work(connection: Connection) -> frozenset[str]:
            ownership.renew_owner(connection, owner, self._now(connection) + ttl)
            return ownership.runs_not_owned(connection, owner, tokens)

        return self._ask(work)

    def owned(self, owner: str) -> Mapping[str, int]:
        """The tokens of the owner's runs."""
        return self._ask(lambda connection: ownership.runs_of(connection, owner))

    def release(self, run_id: str, token: int) -> None:
        """Give the run back."""
        self._ask(lambda connection: ownership.drop_claim(connection, run_id, token))

    def try_lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take the lease unless it lives."""
        call = WriteRequest(
            lambda connection, _: ownership.take_lease(connection, name, owner, seconds, self._now(connection)),
            undo=lambda connection, _: ownership.drop_lease(connection, name, owner),
        )
        return bool(self._writer.call(call, LEASE_SECONDS))

    def release_lease(self, name: str, owner: str) -> None:
        """Release the lease, in order with the writes and without waiting."""
        self._writer.put(WriteRequest(lambda connection, _: ownership.drop_lease(connection, name, owner)))

    def put_document(self, kind: str, data: Mapping[str, Any]) -> int:
        """Keep a version of a document."""
        text = exact(f"document {kind!r}", data)
        return self._ask(lambda connection: documents.add_document(connection, kind, text))

    def swap_document(self, kind: str, data: Mapping[str, Any], after: int, keep: int) -> bool:
        """Keep the next version of a document, unless another process was quicker."""
        text = exact(f"document {kind!r}", data)
        return self._ask(lambda connection: documents.swap_document(connection, kind, text, after, keep))

    def _ask(self, work: Callable[[Connection], T], timeout: float = _ANSWER_SECONDS) -> T:
        answer: T = self._writer.call(WriteRequest(lambda connection, _: work(connection)), timeout)
        return answer

    # ---------------------------------------------------------------- the writer's side

    def catch_up(self) -> None:
        """Wait briefly until enqueued writes are stored; not at all while the database is known to be unreachable."""
        if self._writer.pending and self._writer.trouble is None:
            durable = threading.Event()
            if not self._writer.when_durable(durable.set):
                durable.wait(_FRESH_SECONDS)

    def in_trouble(self) -> bool:
        """Whether the writer has found the database unreachable."""
        return self._writer.trouble is not None

    def is_closed(self) -> bool:
        """Whether the store is closed: it can still be read, and no connection stays open."""
        return self._writer.closed

    def report(self, problem: str) -> None:
        """Report a problem."""
        report_problem(self.on_problem, problem)

    def _lose(self, refusal: RefusedWrite) -> None:
        if refusal.lost:
            with self._lock:
                self._lost[refusal.run_id, refusal.token] = refusal.problem
                while len(self._lost) > _LOST_KEPT:
                    del self._lost[next(iter(self._lost))]
        self.report(refusal.problem)
        if refusal.fenced and refusal.token is not None:
            self.on_refused(refusal.run_id, refusal.token)

    # ---------------------------------------------------------------- open and close

    def _open(self) -> None:
        self.engine, self.reader = engines(self._url)
        try:
            prepare(self.engine, self._url)
            if self._transport is not None:
                install(self._transport, self.engine, self._url)
        except StoreError:
            self.engine.dispose()
            raise
        postgres = self._url.get_backend_name() == "postgresql"
        self._signals: Signals = NoSignals()
        if postgres:
            self._signals = NotifySignals(
                self._url, self.reader, lambda wake: self._writer.when_durable(wake), self.report
            )
        with self.engine.connect() as connection, WATCHDOG.watching(connection):
            self._now(connection)
        self._commits = Commits(self._url, self.engine, self.reader, self._lose, self.report)
        self._writer = Writer(self._commits, self._commits.tidy)

    def after_fork(self) -> None:
        """In a forked child: start with a new queue and new connections."""
        self.engine.dispose(close=False)
        self.reader.dispose(close=False)
        self._commits.after_fork()
        self._writer = Writer(self._commits, self._commits.tidy)

    def close(self, timeout: float = 10.0) -> None:
        """Write what is enqueued and close the database."""
        self._writer.close(timeout)
        self._signals.close()
        self.engine.dispose()
        self.reader.dispose()
        OPEN.discard(self)


def _ignore(run_id: str, token: int) -> None:
    """The default: refused writes are not reported."""


def _wake(loop: asyncio.AbstractEventLoop, durable: "asyncio.Future[None]") -> None:
    loop.call_soon_threadsafe(_resolve, durable)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
