"""`serve`: the viewer on a port of this machine, over connections that end when a request takes too long."""

import asyncio
import secrets
import socket
from pathlib import Path
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.api import Orchestrator
from orchestrator.core.errors import InputError, OrchestratorError
from orchestrator.core.process.installation import catalog_root
from orchestrator.project import load_project
from orchestrator.store import Store, open_store

from .app import create_app
from .backend import Backend
from .security import LOOPBACK

REQUEST_SECONDS: Final = 10.0
"""Seconds from the start of a connection, or of a further request on it, to the request's last byte."""
RESPONSE_SECONDS: Final = 60.0
"""Seconds from there to the response's last byte."""


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a time limit for each request and each response."""

    request_seconds = REQUEST_SECONDS
    response_seconds = RESPONSE_SECONDS
    _timer: asyncio.TimerHandle | None = None
    _receiving = False

    def connection_made(self, transport: Any) -> None:
        """Start the limit of the first request."""
        super().connection_made(transport)
        self._limit(self.request_seconds)
        self._receiving = True

    def data_received(self, data: bytes) -> None:
        """Keep the limit while a request is incomplete; start that of the response when it is complete."""
        super().data_received(data)
        complete = self.conn.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
        answered = self.cycle is not None and self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
        if complete and not answered:
            self._receiving = False
            self._limit(self.response_seconds)
        elif not complete and not self._receiving:
            self._receiving = True
            self._limit(self.request_seconds)

    def on_response_complete(self) -> None:
        """End the limit; uvicorn limits the pause until the next request."""
        self._receiving = False
        self._cancel()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the limit."""
        self._cancel()
        super().connection_lost(exc)

    def _limit(self, seconds: float) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def serve(
    store: Store | str | Path,
    *,
    project: Path | None = None,
    policy: str = "balanced",
    host: str = "127.0.0.1",
    port: int = 0,
    orchestrator: Orchestrator | None = None,
) -> None:
    """Serve the viewer until it is interrupted, and print its address with the token in it.

    Waiting runs are answered by `orchestrator` where it is given, else by the project (default: the shipped
    catalogue). Raises `InputError` when there is no store, or the address cannot be listened on.
    """
    opened = _opened(store)
    backend = Backend(opened, orchestrator) if orchestrator is not None else _over(opened, store, project, policy)
    token = secrets.token_urlsafe(32)
    listening = _listen(host, port)
    local = host in LOOPBACK
    names = LOOPBACK if local else (*LOOPBACK, host, socket.gethostname(), socket.getfqdn())
    app = create_app(backend, token=token, hosts=names, any_address=not local)
    print(f"{_address(host, listening.getsockname()[1])}/?token={token}", flush=True)
    config = uvicorn.Config(
        app, http=TimedProtocol, log_level="warning", server_header=False, date_header=False, lifespan="on"
    )
    try:
        asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()
        if opened is not store:
            opened.close()


def _opened(store: Store | str | Path) -> Store:
    """The store; reading must not create one."""
    if isinstance(store, str | Path) and "://" not in str(store) and not Path(store).expanduser().is_file():
        raise InputError(
            f"There is no store at {str(store)!r} yet: nothing has been run here. --store names another one."
        )
    return open_store(store)


def _over(store: Store, where: Store | str | Path, folder: Path | None, policy: str) -> Backend:
    """A backend that makes an orchestrator of the project for each action. Raises `DefinitionError` for an invalid
    project.
    """
    try:
        loaded = load_project(folder if folder is not None else catalog_root())
    except OrchestratorError as error:
        if folder is not None:
            raise
        return Backend(store, no_project=str(error))

    def make(kept: Any) -> Orchestrator:
        orc = Orchestrator(loaded.tools, loaded.agents, policy=loaded.policy(policy), store=kept)
        loaded.set_up(orc)
        return orc

    if not isinstance(where, str | Path):
        return Backend(store, reading=lambda: make(None), no_project="The viewer was given a store without a project.")
    return Backend(store, opening=lambda: make(where), reading=lambda: make(None))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen()  # early requests wait in the backlog instead of being refused
    except (OSError, OverflowError) as error:
        made.close()
        raise InputError(f"{host}:{port} cannot be listened on ({error}). --host and --port name another.") from None
    return made


def _address(host: str, port: int) -> str:
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"
