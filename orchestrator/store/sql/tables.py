"""The tables, the same on SQLite and PostgreSQL. JSON is kept as text: its bytes are what the hashes are over."""

from typing import Final

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text

SCHEMA_VERSION: Final = 1

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
)
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
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("run_id", String, nullable=False, unique=True),
    Column("head", String, nullable=False),
    Column("prev", String, nullable=False),
    Column("hash", String, nullable=False),
)

VALUES: Final = Table(
    "orchestrator_values",
    METADATA,
    Column("run_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("text", Text, nullable=False),
    sqlite_with_rowid=False,
)

CLAIMS: Final = Table(
    "orchestrator_claims",
    METADATA,
    Column("run_id", String, primary_key=True),
    Column("token", Integer, nullable=False),
    Column("owner", String, nullable=False),
    Column("expires", Float(53), nullable=False),
)

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
