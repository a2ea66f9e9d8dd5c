"""Ownership in the run's row, the queue, labels, accounts, keys, and seals in lanes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_RUNS = "orchestrator_runs"
_SEALS = "orchestrator_seals"
_CLAIMS = "orchestrator_claims"
_OWNED = sa.text("owner <> ''")


def upgrade() -> None:
    """Add what is new; tokens of claims move into the rows of runs."""
    _extend_runs()
    _add_lanes()
    _create_tables()


def _extend_runs() -> None:
    for column in (
        sa.Column("labels", sa.Text, nullable=False, server_default="{}"),
        sa.Column("token", sa.Integer, nullable=False, server_default="0"),
        sa.Column("owner", sa.String, nullable=False, server_default=""),
        sa.Column("submitted", sa.Float(53)),
        sa.Column("wake", sa.Float(53)),
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tenant", sa.String, nullable=False, server_default=""),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("cancel", sa.Integer, nullable=False, server_default="0"),
        sa.Column("doubtful", sa.Integer, nullable=False, server_default="0"),
    ):
        op.add_column(_RUNS, column)
    op.create_index("orchestrator_runs_owner", _RUNS, ["owner"], sqlite_where=_OWNED, postgresql_where=_OWNED)
    token = f"SELECT token FROM {_CLAIMS} WHERE {_CLAIMS}.run_id = {_RUNS}.run_id"
    op.execute(f"UPDATE {_RUNS} SET token = coalesce(({token}), 0)")
    op.drop_table(_CLAIMS)


def _add_lanes() -> None:
    """All seals so far are of lane 0; the lane becomes part of the key."""
    if op.get_context().dialect.name == "postgresql":
        op.add_column(_SEALS, sa.Column("lane", sa.Integer, nullable=False, server_default="0"))
        op.drop_constraint(f"{_SEALS}_pkey", _SEALS, type_="primary")
        op.create_primary_key(f"{_SEALS}_pkey", _SEALS, ["lane", "n"])
        return
    op.rename_table(_SEALS, f"{_SEALS}_before")
    op.create_table(
        _SEALS,
        sa.Column("lane", sa.Integer, primary_key=True, autoincrement=False, server_default="0"),
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run_id", sa.String, nullable=False, unique=True),
        sa.Column("head", sa.String, nullable=False),
        sa.Column("prev", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    columns = "n, run_id, head, prev, hash"
    op.execute(f"INSERT INTO {_SEALS} (lane, {columns}) SELECT 0, {columns} FROM {_SEALS}_before")
    op.drop_table(f"{_SEALS}_before")


def _create_tables() -> None:
    op.create_table(
        "orchestrator_labels",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("orchestrator_labels_value", "orchestrator_labels", ["name", "value", "run_id"])
    op.create_table(
        "orchestrator_requests",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("request", sa.Text),
        sa.Column("answer", sa.Text),
    )
    op.create_table(
        "orchestrator_owners",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("expires", sa.Float(53), nullable=False),
    )
    op.create_table(
        "orchestrator_pruned",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "orchestrator_keys",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_table(
        "orchestrator_accounts",
        sa.Column("label", sa.String, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("spent", sa.Float(53), nullable=False),
    )
    op.create_table(
        "orchestrator_shares",
        sa.Column("label", sa.String, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("usd", sa.Float(53), nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
    )
