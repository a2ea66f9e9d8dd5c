"""The tables of version 0.1, made by the program itself; stores of that version are stamped with this revision."""

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing: such a store has these tables."""
