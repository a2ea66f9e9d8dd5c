"""Reading a store in a database, each read on a connection of its own."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any, Final, TypeVar

from sqlalchemy import URL, ColumnElement, Engine, Select, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from orchestrator.core.checks import storable_text
from orchestrator.core.enums import Status
from orchestrator.core.errors import StoreError
from orchestrator.store.ledger.chain import canonical_text
from orchestrator.store.ledger.encoding import decode_body, needle, plain_text
from orchestrator.store.rows import Record, RunRow, Seal, SummaryHints

from . import writes as statements
from .engine import reason, shown_url
from .tables import DOCUMENTS, GRAPHS, HEALTH, KEYS, LABELS, PRUNED, RECORDS, RUNS, SEALS, VALUES
from .watchdog import WATCHDOG
from .writer import OUTAGE_GRACE

T = TypeVar("T")
_PAUSE: Final = 0.1


class SqlReads:
    """The reading half of a `SqlStore`, which inherits it: a read of the one is a read of the `Store` protocol."""

    _url: URL
    reader: Engine

    def catch_up(self) -> None:
        """Wait until earlier writes of this object are stored, if the store is reachable."""

    def run(self, run_id: str) -> RunRow | None:
        """The row of a run."""
        if plain_text(run_id) != run_id:
            return None  # no store contains such an id
        if not storable_text(run_id):
            return None
        rows = self._read(lambda connection: connection.execute(select(RUNS).where(RUNS.c.run_id == run_id)).all())
        return statements.run_row(rows[0]) if rows else None

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
        query = select(RUNS).where(*_conditions(status, search, parent, labels), *_hinted(hints or SummaryHints()))
        query = query.order_by(RUNS.c.started.desc(), RUNS.c.run_id.desc()).limit(limit).offset(offset)
        return [statements.run_row(row) for row in self._read(lambda connection: connection.execute(query).all())]

    def count_runs(
        self,
        status: Status | None = None,
        search: str | None = None,
        parent: str | EllipsisType | None = ...,
        labels: Mapping[str, str] | None = None,
    ) -> int:
        """How many runs there are."""
        query = select(func.count()).select_from(RUNS).where(*_conditions(status, search, parent, labels))
        return self._read(lambda connection: connection.execute(query).scalar_one())

    def count_by_status(
        self,
        search: str | None = None,
        parent: str | EllipsisType | None = ...,
        labels: Mapping[str, str] | None = None,
    ) -> dict[Status, int]:
        """How many runs of each status there are."""
        query = select(RUNS.c.status, func.count()).where(*_conditions(None, search, parent, labels))
        found = self._read(lambda connection: connection.execute(query.group_by(RUNS.c.status)).all())
        counts = {str(row[0]): int(row[1]) for row in found}
        return {status: counts.get(str(status), 0) for status in Status}

    def records(self, run_id: str, after: int = 0) -> list[Record]:
        """The ledger of a run."""
        if not storable_text(run_id):
            return []
        query = select(RECORDS).where(RECORDS.c.run_id == run_id, RECORDS.c.seq > after).order_by(RECORDS.c.seq)
        rows = self._read(lambda connection: connection.execute(query).all())
        return [statements.record_row(row) for row in rows]

    def records_of(self, run_ids: Sequence[str], kinds: Collection[str] = ()) -> dict[str, list[Record]]:
        """The records of several runs, in one read."""
        asked = [run_id for run_id in run_ids if storable_text(run_id)]
        query = select(RECORDS).where(RECORDS.c.run_id.in_(asked)).order_by(RECORDS.c.run_id, RECORDS.c.seq)
        if kinds:
            query = query.where(RECORDS.c.kind.in_(sorted(kinds)))
        found: dict[str, list[Record]] = {}
        for row in self._read(lambda connection: connection.execute(query).all()) if asked else ():
            found.setdefault(row.run_id, []).append(statements.record_row(row))
        return found

    def seals(self, after: int = 0, run_id: str | None = None) -> list[Seal]:
        """The chains over runs, lane by lane."""
        query = select(SEALS).where(SEALS.c.n > after).order_by(SEALS.c.lane, SEALS.c.n)
        if run_id is not None:
            query = query.where(SEALS.c.run_id == run_id)
        rows = self._read(lambda connection: connection.execute(query).all())
        return [Seal(row.n, row.run_id, row.head, row.prev, row.hash, row.lane) for row in rows]

    def owner(self, run_id: str) -> str:
        """Who owns a run."""
        query = select(RUNS.c.owner).where(RUNS.c.run_id == run_id)
        return self._read(lambda connection: str(connection.execute(query).scalar() or ""))

    def key(self, name: str) -> str | None:
        """A secret of the store, if it exists."""
        return self._read(
            lambda connection: connection.execute(select(KEYS.c.value).where(KEYS.c.name == name)).scalar()
        )

    def doubtful(self, run_id: str) -> int:
        """The token of the last takeover from an owner that was not proven dead."""
        query = select(RUNS.c.doubtful).where(RUNS.c.run_id == run_id)
        return self._read(lambda connection: int(connection.execute(query).scalar() or 0))

    def pruned(self) -> frozenset[str]:
        """The pruned runs."""
        return self._read(lambda connection: frozenset(connection.execute(select(PRUNED.c.run_id)).scalars()))

    def values(self, run_id: str) -> dict[str, str]:
        """The values of a run."""
        query = select(VALUES.c.name, VALUES.c.text).where(VALUES.c.run_id == run_id)
        return self._pairs(query)

    def graph(self, digest: str) -> dict[str, Any] | None:
        """The graph of a digest."""
        return self._document(select(GRAPHS.c.data).where(GRAPHS.c.digest == digest))

    def graphs(self, digests: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The graphs of several digests."""
        if not digests:
            return {}
        pairs = self._pairs(select(GRAPHS.c.digest, GRAPHS.c.data).where(GRAPHS.c.digest.in_(digests)))
        return {digest: decode_body(text) for digest, text in pairs.items()}

    def load_health(self) -> dict[str, dict[str, Any]]:
        """The stored health by name."""
        pairs = self._pairs(select(HEALTH.c.name, HEALTH.c.data))
        return {name: decode_body(text) for name, text in pairs.items() if text}

    def document(self, kind: str, version: int | None = None) -> dict[str, Any] | None:
        """A version of a document."""
        query = select(DOCUMENTS.c.data).where(DOCUMENTS.c.kind == kind)
        if version is not None:
            query = query.where(DOCUMENTS.c.version == version)
        return self._document(query.order_by(DOCUMENTS.c.version.desc()).limit(1))

    def document_versions(self, kind: str) -> list[int]:
        """The versions there are."""
        query = select(DOCUMENTS.c.version).where(DOCUMENTS.c.kind == kind).order_by(DOCUMENTS.c.version)
        return self._read(lambda connection: list(connection.execute(query).scalars()))

    def _document(self, query: Select[str]) -> dict[str, Any] | None:
        text = self._read(lambda connection: connection.execute(query).scalar())
        return None if text is None else decode_body(text)

    def _pairs(self, query: Select[str, str]) -> dict[str, str]:
        rows = self._read(lambda connection: connection.execute(query).all())
        return dict(sorted((row[0], row[1]) for row in rows))

    def in_trouble(self) -> bool:
        """Whether the database is known to be unreachable, so that no caller waits for it."""
        return False

    def is_closed(self) -> bool:
        """Whether the store is closed: it can still be read, and no connection stays open."""
        return False

    def _read(self, query: Callable[[Connection], T]) -> T:
        """The result of a query; repeated for a short time if the server restarts or the connection is lost."""
        self.catch_up()
        deadline = time.monotonic() + OUTAGE_GRACE
        while True:
            try:
                with self.reader.connect() as connection, WATCHDOG.watching(connection):
                    return query(connection)
            except UnicodeError as error:
                raise StoreError("what was asked for holds characters that no store has") from error
            except SQLAlchemyError as error:
                again = isinstance(error, OperationalError) and self.reader.dialect.name == "postgresql"
                if not again or self.in_trouble() or time.monotonic() >= deadline:
                    problem = reason(error, self._url)
                    raise StoreError(f"the store {shown_url(self._url)} cannot be read: {problem}") from error
                time.sleep(_PAUSE)
            finally:
                if self.is_closed():
                    self.reader.dispose()


def _conditions(
    status: Status | None,
    search: str | None,
    parent: str | EllipsisType | None,
    labels: Mapping[str, str] | None,
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if status is not None:
        conditions.append(RUNS.c.status == str(status))
    if search:
        conditions.append(RUNS.c.search.contains(needle(search), autoescape=True))
    if not isinstance(parent, EllipsisType):
        conditions.append(RUNS.c.parent.is_(None) if parent is None else RUNS.c.parent == parent)
    for name, value in (labels or {}).items():
        labelled = select(LABELS.c.run_id).where(LABELS.c.name == name, LABELS.c.value == value)
        conditions.append(RUNS.c.run_id.in_(labelled))
    return conditions


def _hinted(hints: SummaryHints) -> Iterator[ColumnElement[bool]]:
    """Coarse conditions on the text of the summary: none of them excludes a run that fits."""
    if hints.since is not None:
        yield RUNS.c.started >= hints.since
    if hints.until is not None:
        yield RUNS.c.started < hints.until
    for name in hints.names:
        yield RUNS.c.summary.contains(canonical_text(name), autoescape=True)
    if hints.healed:
        yield RUNS.c.status.in_([str(status) for status in (Status.REACHED, Status.DEMOTED)])
        yield RUNS.c.summary.not_like('%"failures":0,%')
