"""Moves the tables of an older store to the schema of today, with Alembic."""

from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import update
from sqlalchemy.engine import Connection

from orchestrator.store.sql.tables import META, METADATA, SCHEMA_VERSION

VERSION_TABLE: Final = "orchestrator_migrations"
"""Where Alembic keeps the revision, apart from that of a program that shares the database."""


def upgrade(connection: Connection, version: int) -> None:
    """Move the tables from schema `version` to today's, within the transaction of the connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    newest, start = f"{SCHEMA_VERSION:04}", f"{version:04}"

    def steps(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(newest, revision or start)  # pyright: ignore[reportPrivateUsage]

    with EnvironmentContext(config, scripts, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=METADATA, version_table=VERSION_TABLE)
        environment.get_context().stamp(scripts, start)
        environment.run_migrations()
    connection.execute(update(META).where(META.c.name == "schema").values(value=SCHEMA_VERSION))
