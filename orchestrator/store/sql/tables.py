"""The tables, and the differences between SQLite and PostgreSQL. JSON is stored as text, because its bytes are
hashed.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text, text
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection

SCHEMA_VERSION: Final = 2
CLOCK_SLACK: Final = 0.05
"""Seconds by which a reading may differ from the estimate, beyond half of its own duration, without changing it."""

METADATA: Final = MetaData()

META: Final = Table(
    "orchestrator_meta",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Integer, nullable=False),
)

RUNS: Final = Table(
    "orchestrator_runs",
    METADATA,
    Column("run_id", String, primary_key=True),
    Column("parent", String),
    Column("status", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("started", Float(53), nullable=False),
    Column("ended", Float(53)),
    Column("head", String, nullable=False),
    Column("length", Integer, nullable=False),
    Column("trace_id", String, nullable=False),
    Column("search", Text, nullable=False),
    Column("goal", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("labels", Text, nullable=False, server_default="{}"),
    Column("token", Integer, nullable=False, server_default="0"),
    Column("owner", String, nullable=False, server_default=""),
    Column("submitted", Float(53)),
    Column("wake", Float(53)),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("tenant", String, nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("cancel", Integer, nullable=False, server_default="0"),
    Column("doubtful", Integer, nullable=False, server_default="0"),
)
"""A run: its request, status, and the head of its ledger; then its place in the queue and its owner.

`token` is the fencing token, `owner` who drives the run (empty: nobody); its lease is the owner's row in `OWNERS`.
`submitted` and `wake` are times of the store's clock, `attempts` counts the owners that died while they drove it,
`cancel` is 1 when its cancellation was requested. `doubtful` is the token of the last takeover from an owner that was
not proven dead.
"""

_QUEUED: Final = text("status = 'queued'")
_READY: Final = text("(status || '') = 'queued'")
_TURNS: Final = text("('' || status) = 'queued'")
"""The same, spelt in two ways that one index each answers: PostgreSQL's statistics hardly ever know how long the queue
is, and where it takes the queue for short, it would read all of it by any index, and sort."""
_WAITING: Final = text("status = 'waiting'")
_TURN: Final = (RUNS.c.priority.desc(), RUNS.c.wake, RUNS.c.run_id)
"""The order in which queued runs start."""
Index("orchestrator_runs_ready", *_TURN, sqlite_where=_QUEUED, postgresql_where=_READY)
Index("orchestrator_runs_turns", RUNS.c.tenant, *_TURN, sqlite_where=_QUEUED, postgresql_where=_TURNS)
Index("orchestrator_runs_due", RUNS.c.wake, sqlite_where=_WAITING, postgresql_where=_WAITING)
OBSOLETE_INDEXES: Final = ("orchestrator_runs_queue", "orchestrator_runs_wake")
"""Indexes of earlier versions that are not used any more."""
Index("orchestrator_runs_owner", RUNS.c.owner, sqlite_where=text("owner <> ''"), postgresql_where=text("owner <> ''"))
Index("orchestrator_runs_started", RUNS.c.started, RUNS.c.run_id)
Index("orchestrator_runs_status", RUNS.c.status, RUNS.c.started, RUNS.c.run_id)
Index("orchestrator_runs_parent", RUNS.c.parent, RUNS.c.started, RUNS.c.run_id)

RECORDS: Final = Table(
    "orchestrator_records",
    METADATA,
    Column("run_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("at", Float(53), nullable=False),
    Column("body", Text, nullable=False),
    Column("prev", String, nullable=False),
    Column("hash", String, nullable=False),
    sqlite_with_rowid=False,
)

SEALS: Final = Table(
    "orchestrator_seals",
    METADATA,
    Column("lane", Integer, primary_key=True, autoincrement=False, server_default="0"),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("run_id", String, nullable=False, unique=True),
    Column("head", String, nullable=False),
    Column("prev", String, nullable=False),
    Column("hash", String, nullable=False),
)

PRUNED: Final = Table(
    "orchestrator_pruned",
    METADATA,
    Column("run_id", String, primary_key=True),
    Column("at", Float(53), nullable=False),
)
"""Pruned runs, whose seals are kept so that the chains over runs stay complete."""

VALUES: Final = Table(
    "orchestrator_values",
    METADATA,
    Column("run_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("text", Text, nullable=False),
    sqlite_with_rowid=False,
)

LABELS: Final = Table(
    "orchestrator_labels",
    METADATA,
    Column("run_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
    sqlite_with_rowid=False,
)
"""The labels of runs, for searches."""
Index("orchestrator_labels_value", LABELS.c.name, LABELS.c.value, LABELS.c.run_id)

REQUESTS: Final = Table(
    "orchestrator_requests",
    METADATA,
    Column("run_id", String, primary_key=True),
    Column("request", Text),
    Column("answer", Text),
)
"""The request of a queued run, and the answer for a waiting one. Deleted when the run ends."""

OWNERS: Final = Table(
    "orchestrator_owners",
    METADATA,
    Column("owner", String, primary_key=True),
    Column("expires", Float(53), nullable=False),
)
"""The lease of every process that drives runs, renewed by its heartbeat: one row, however many runs."""

LEASES: Final = Table(
    "orchestrator_leases",
    METADATA,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("expires", Float(53), nullable=False),
)

GRAPHS: Final = Table(
    "orchestrator_graphs",
    METADATA,
    Column("digest", String, primary_key=True),
    Column("data", Text, nullable=False),
)

HEALTH: Final = Table(
    "orchestrator_health",
    METADATA,
    Column("name", String, primary_key=True),
    Column("data", Text, nullable=False),
)

DOCUMENTS: Final = Table(
    "orchestrator_documents",
    METADATA,
    Column("kind", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("data", Text, nullable=False),
)

KEYS: Final = Table(
    "orchestrator_keys",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)
"""Secrets of the store, such as the key of its digests; never part of an export."""

ACCOUNTS: Final = Table(
    "orchestrator_accounts",
    METADATA,
    Column("label", String, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("spent", Float(53), nullable=False),
)
"""US dollars spent per label and UTC day (days since the epoch, by the store's clock)."""

SHARES: Final = Table(
    "orchestrator_shares",
    METADATA,
    Column("label", String, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("owner", String, primary_key=True),
    Column("usd", Float(53), nullable=False),
    Column("expires", Float(53), nullable=False),
)
"""The leased share of each process in an account."""


Now = Callable[[Connection], float]
"""The time in seconds since the epoch, by the store's clock."""


def database_time(connection: Connection) -> float:
    """The database's clock; for a SQLite file that is the machine's."""
    if not is_postgres(connection):
        return time.time()
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


class DatabaseClock:
    """`Now`, and an estimate of the same by the machine's monotonic clock since the last reading."""

    def __init__(self, given: Callable[[], float] | None = None) -> None:
        """`given` takes the place of the database's clock, for tests on virtual time."""
        self._given = given
        self._lock = threading.Lock()
        self._offset: float | None = None
        """The time of the database at second 0 of the monotonic clock."""

    def __call__(self, connection: Connection) -> float:
        """The time in seconds since the epoch."""
        if self._given is not None:
            return self._given()
        before = time.monotonic()
        now = database_time(connection)
        self.note(now, before, time.monotonic())
        return now

    def note(self, now: float, before: float, after: float) -> None:
        """Note a reading that took from `before` to `after` by the monotonic clock.

        The estimate changes only where the reading shows that it is wrong, so that it hardly ever goes back.
        """
        offset = now - (before + after) / 2
        with self._lock:
            if self._offset is None or abs(offset - self._offset) > (after - before) / 2 + CLOCK_SLACK:
                self._offset = offset

    def estimate(self) -> float:
        """The time now, as far as is known; the machine's before the first reading."""
        if self._given is not None:
            return self._given()
        offset = self._offset
        return time.time() if offset is None else offset + time.monotonic()


def is_postgres(connection: Connection) -> bool:
    """Whether the other end is PostgreSQL."""
    return connection.dialect.name == "postgresql"


def upsert(connection: Connection, table: Table) -> PostgresInsert | SqliteInsert:
    """An `INSERT` that supports `ON CONFLICT`."""
    return postgres_insert(table) if is_postgres(connection) else sqlite_insert(table)


def take_turn(connection: Connection, name: str) -> None:
    """Take the lock of this name until the end of the transaction. In SQLite a transaction excludes all others.

    An advisory lock of the transaction: it needs no row and holds behind a pooler in transaction mode.
    """
    if is_postgres(connection):
        statement: Any = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7165428094412371))")
        connection.execute(statement, {"name": name})
