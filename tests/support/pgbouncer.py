"""PgBouncer in transaction mode in front of a PostgreSQL server of the tests, where the program is installed."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

PROGRAMS: Final = ("/usr/sbin/pgbouncer", "/usr/bin/pgbouncer")
USERS: Final = ("pgserver", "postgres", "nobody")
"""PgBouncer does not run as root; of these the first that the machine has."""


@contextlib.contextmanager
def pgbouncer(folder: Path, ignore: str = "extra_float_digits, options", pool_size: int = 20) -> Generator[str]:
    """The URL of a store through a pooler in front of the server whose socket is in `folder`.

    `ignore`: the start-up parameters that it drops.
    """
    program = shutil.which("pgbouncer") or next((each for each in PROGRAMS if os.path.exists(each)), None)
    if program is None:
        pytest.skip("no pgbouncer: apt-get install pgbouncer")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = Path(tempfile.mkdtemp(prefix="orchestrator-pooler-"))
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": str(pool_size),
        "max_client_conn": "500",
        "ignore_startup_parameters": ignore,
        "logfile": str(home / "log"),
    }
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items() if value or name == "unix_socket_dir")
    target = f"host={folder} port=5432 dbname=postgres user=postgres"
    config = home / "pgbouncer.ini"
    config.write_text(f"[databases]\npostgres = {target}\n[pgbouncer]\n{lines}\n")
    command = [program, "-q", str(config)]
    if os.geteuid() == 0:
        user = next(name for name in USERS if any(name == entry.pw_name for entry in pwd.getpwall()))
        shutil.chown(home, user)
        command[1:1] = ["-u", user]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process, home / "log")
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.05)
    said = log.read_text() if log.exists() else ""
    pytest.skip(f"pgbouncer does not start here: {said[-300:]}")


__all__ = ["pgbouncer"]
