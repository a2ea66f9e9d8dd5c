"""Ends statements that a server does not answer, for which the driver would wait forever."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Generator
from typing import Any, Final

from sqlalchemy.engine import Connection

from orchestrator.core.process.forks import new_lock, renew_after_fork

ANSWER_SECONDS: Final = 8.0
"""Seconds in which a server must respond within a transaction; longer than the lock time-out."""


class Watchdog:
    """Shuts the socket of a connection whose work takes too long; the waiting caller gets the driver's error.

    TCP's own timers detect a host that is gone, but not one that is frozen or behind a proxy that drops data.
    """

    def __init__(self) -> None:
        self._lock = new_lock()
        self._begin()
        renew_after_fork(self)

    def _begin(self) -> None:
        self._watched: dict[int, tuple[float, Any]] = {}
        self._number = 0
        self._thread: threading.Thread | None = None
        self._more = threading.Event()

    def after_fork(self) -> None:
        """In a forked child: the parent's connections are not watched."""
        self._begin()

    @contextlib.contextmanager
    def watching(self, connection: Connection) -> Generator[None]:
        """Shut the connection's socket unless the block ends in time. SQLite has timeouts of its own."""
        if connection.dialect.name != "postgresql":
            yield
            return
        with self.watching_driver(connection.connection.driver_connection):
            yield

    @contextlib.contextmanager
    def watching_driver(self, connection: Any) -> Generator[None]:
        """The same for a connection of the driver."""
        with self._lock:
            self._number += 1
            number = self._number
            self._watched[number] = (time.monotonic() + ANSWER_SECONDS, connection)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="orchestrator-watchdog", daemon=True)
                self._thread.start()
        self._more.set()
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(number, None)

    def _run(self) -> None:
        while True:
            with self._lock:
                soonest = min((deadline for deadline, _ in self._watched.values()), default=None)
                late = [n for n, (deadline, _) in self._watched.items() if deadline <= time.monotonic()]
                for number in late:
                    _shut(self._watched.pop(number)[1])
            if soonest is None:
                self._more.wait()
                self._more.clear()
            else:
                time.sleep(min(1.0, max(0.05, soonest - time.monotonic())))


WATCHDOG: Final = Watchdog()
"""One thread watches all connections of a process."""


def _shut(connection: Any) -> None:
    """Shut down both directions of a connection in use; closing it would free its file descriptor while the driver uses
    it.
    """
    with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


__all__ = ["ANSWER_SECONDS", "WATCHDOG", "Watchdog"]
