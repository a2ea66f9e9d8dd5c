"""The viewer as its own process: it prints an address with a token, answers there, and ends when it is interrupted."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from orchestrator import InputError
from orchestrator.ui import serve
from orchestrator.ui.serving import TimedProtocol
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


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\n", b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na"]
)
async def test_a_connection_that_never_completes_its_request_is_closed(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    monkeypatch.setattr(TimedProtocol, "request_seconds", 0.2)
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in sent:
            writer.write(bytes([byte]))
        await writer.drain()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_a_kept_connection_is_limited_per_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimedProtocol, "request_seconds", 0.2)
    async with served(PlainTextResponse("hello")) as port, httpx.AsyncClient() as client:
        for _ in range(3):
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncGenerator[int]:
    """Serve an application on a free port with the viewer's protocol."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, http=TimedProtocol, lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 -- uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task
