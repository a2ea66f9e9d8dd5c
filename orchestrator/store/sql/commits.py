"""`Commits`: commits batches of writes to a database, one durable transaction each, in the writer's thread."""

import secrets
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from orchestrator.core.errors import StoreError
from orchestrator.core.process.forks import pause_at_fork
from orchestrator.store.ledger.writes import DropValues, RefusedWrite, Write

from . import writes as statements
from .engine import advice, empty_log, engines, is_denied, prepare, reason, same_file, shown_url
from .writer import StoreOutage, Transactions, WriteRequest

FORK_SECONDS: Final = 3.0
"""Seconds that a fork waits for the end of a transaction."""
LANES: Final = 16
"""Number of chains of seals on PostgreSQL, so that processes that end runs at the same time seldom wait for each
other.
"""


class Commits:
    """The `Committer` of a store's writer. `refused` is called with each write that did not take place."""

    def __init__(
        self,
        url: URL,
        engine: Engine,
        reader: Engine,
        refused: Callable[[RefusedWrite], None],
        report: Callable[[str], None],
    ) -> None:
        self._url = url
        self._engine = engine
        self._reader = reader
        self._refused = refused
        self._report = report
        self.graphs: set[str] = set()
        """Digests of the graphs that this database has."""
        self.foreign: set[str] = set()
        """Runs that another program started under the same id: nothing is written to them."""
        self._same_file = same_file(url)
        self._lane = 1 + secrets.randbelow(LANES) if url.get_backend_name() == "postgresql" else 0
        self._erased = False
        self._transactions = Transactions(engine)
        self._tried: Sequence[Any] = ()
        """The writes of the last attempted transaction."""
        self._gate = threading.Lock()
        """Held during a transaction. SQLite keeps its locks in the memory of the process: a child that is forked during
        a transaction would find the file locked forever, by a thread that it does not have.
        """
        self._gated = False
        pause_at_fork(self)

    def commit(self, items: Sequence[Any]) -> None:
        """One durable transaction."""
        if not {id(item) for item in self._tried}.issuperset(map(id, items)):
            self._transactions.forget()  # other writes: the result of the last transaction is irrelevant
        self._tried = items
        try:
            with self._gate:
                refusals = self._transactions.run(lambda connection: self._work(connection, items))
            if not self._same_file():
                self._reopen()
        except (IntegrityError, DataError, sqlite3.IntegrityError, sqlite3.DataError):
            self._transactions.forget()
            raise
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            self._engine.dispose()
            message = f"the store {shown_url(self._url)} cannot be written: {advice(error, self._url)}"
            raise StoreOutage(message, needs_help=is_denied(error)) from error
        self._tried = ()
        for refusal in refusals:
            self._refused(refusal)

    def _work(self, connection: Connection, items: Sequence[Any]) -> list[RefusedWrite]:
        refusals: list[RefusedWrite] = []
        writes: list[Write] = []
        for item in items:
            if not isinstance(item, WriteRequest):
                writes.append(item)
                continue
            if writes:
                refusals += statements.write(connection, writes, self.foreign, self._lane)
                writes = []
            item.answer = item.work(connection, item)
        if writes:
            refusals += statements.write(connection, writes, self.foreign, self._lane)
        self._erased = self._erased or any(isinstance(item, DropValues) for item in items)
        return refusals

    def _reopen(self) -> None:
        """Create the file again after it was removed or replaced, and repeat the lost writes."""
        self._engine.dispose()
        self._reader.dispose()
        try:
            engines(self._url)
            prepare(self._engine, self._url)
        except StoreError as error:
            raise StoreOutage(str(error)) from error
        self._same_file = same_file(self._url)
        self.graphs.clear()
        raise StoreOutage(f"the file of the store {shown_url(self._url)} was removed or replaced")

    def reject(self, item: Any, error: Exception) -> str:
        """Report a write that no database takes."""
        cause = reason(error, self._url)
        if isinstance(item, WriteRequest):
            self._report(f"the store refused a call: {cause}")
        else:
            problem = f"a write of run {item.run_id!r} was refused: {cause}"
            self._refused(RefusedWrite(item.run_id, item.token, problem, lost=True))
        return cause

    def report(self, problem: str) -> None:
        """Report a problem."""
        self._report(problem)

    def tidy(self) -> None:
        """Truncate SQLite's write-ahead log, which still contains deleted values."""
        if self._erased:
            self._erased = not empty_log(self._engine)

    def before_fork(self) -> None:
        """Wait briefly for the end of a transaction on SQLite; a database server does not need it."""
        self._gated = self._gate.acquire(timeout=FORK_SECONDS if self._url.get_backend_name() == "sqlite" else 0.0)

    def after_fork_in_parent(self) -> None:
        """Transactions continue."""
        if self._gated:
            self._gated = False
            self._gate.release()

    def after_fork(self) -> None:
        """In a forked child: drop the parent's transaction."""
        self._gate, self._gated = threading.Lock(), False
        self._transactions = Transactions(self._engine)
        self._tried = ()
