"""Runs the service with uvicorn until SIGTERM or Ctrl-C, then lets requests end."""

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Generator, Mapping
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from orchestrator.api import Orchestrator

from .access import read_tokens
from .app import Service
from .front import MCP_PATH, Front

Mounted = Callable[[Orchestrator, str], ASGIApp]
"""Makes an ASGI application of an orchestrator, with a token."""

GRACE_SECONDS: Final = 10
"""Seconds in which requests must end when the service stops."""


def serve(
    orc: Orchestrator,
    *,
    host: str,
    port: int,
    tokens: str,
    work: bool = False,
    viewer: Mounted | None = None,
    mcp: Mounted | None = None,
) -> None:
    """Serve the goals of an orchestrator; `viewer` and `mcp` make the applications on the same port.

    Raises `InputError` for tokens that cannot be read.
    """
    known, printed = read_tokens(tokens)
    if printed:
        sys.stderr.write(f"token: {printed}\n")
    service, token = Service(orc, known), secrets.token_urlsafe(24)
    front = Front(service.app(), viewer and viewer(orc, token), mcp and mcp(orc, token), token)
    server = _Server(_config(front.app(), host, port), service, _beside(token, viewer, mcp))
    asyncio.run(_serve(orc, server, work=work))


def _beside(token: str, viewer: Mounted | None, mcp: Mounted | None) -> dict[str, str]:
    """The lines about viewer and MCP server, printed after the address."""
    addresses = {f"/?token={token}": "viewer"} if viewer is not None else {}
    return addresses | ({f"{MCP_PATH}   Authorization: Bearer {token}": "mcp"} if mcp is not None else {})


def _config(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
        limit_concurrency=1000,
        server_header=False,
        lifespan="on",
    )


async def _serve(orc: Orchestrator, server: "_Server", *, work: bool) -> None:
    async with orc:
        worker = orc.worker() if work else None
        working = asyncio.create_task(worker.run()) if worker else None
        try:
            await server.serve()
        finally:
            if worker is not None and working is not None:
                worker.stop()
                await working


class _Server(uvicorn.Server):
    """Prints its address, and ends streams when it stops."""

    def __init__(self, config: uvicorn.Config, service: Service, beside: Mapping[str, str]) -> None:
        super().__init__(config)
        self._service = service
        self._beside = beside

    async def startup(self, sockets: "list[socket.socket] | None" = None) -> None:
        """Start, then print the address."""
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                sys.stderr.write(f"listening on http://{host}:{port}\n")
                for address, part in self._beside.items():
                    sys.stderr.write(f"{part}: http://{host}:{port}{address}\n")
        sys.stderr.flush()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at a signal; uvicorn raises it again afterwards, which would end the process before the store closes."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to stop."""
        self._service.stopping.set()
        super().handle_exit(sig, frame)


__all__ = ["serve"]
