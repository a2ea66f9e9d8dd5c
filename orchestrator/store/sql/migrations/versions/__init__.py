"""Migrations of the tables, in order (Alembic): one file per schema version."""
