"""The viewer as its own process: it prints an address with a token, answers there, and ends when it is interrupted."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from orchestrator import InputError
from orchestrator.ui import serve
from tests.ui.worlds import world

ROOT = Path(__file__).parents[2]


def test_the_printed_address_opens_the_viewer(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    code = f"from orchestrator.ui import serve; serve({str(where)!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            printed = process.stdout.readline().strip()
            assert printed.startswith("http://127.0.0.1:") and "/?token=" in printed
            address = printed.split("/?")[0]
            with httpx.Client(follow_redirects=True) as client:
                assert client.get(f"{address}/").status_code == 403
                assert "healed" in client.get(printed).text
                assert client.get(f"{address}/runs/healed").status_code == 200
                assert client.get(f"{address}/agents").status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_looking_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store"):
        serve(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_cannot_be_listened_on_is_told(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    with pytest.raises(InputError, match="cannot be listened on"):
        serve(where, host="192.0.2.1")
