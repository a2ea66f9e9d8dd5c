"""Signals by PostgreSQL's LISTEN and NOTIFY, outside the write path, and checked by an echo."""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import OperationalError

from orchestrator.core.process.forks import new_lock, renew_after_fork
from orchestrator.store.signals import Listener

from .watchdog import WATCHDOG

CHANNEL: Final = "orchestrator"
COALESCE_SECONDS: Final = 0.02
"""Hints of one topic within this time are one notification: a commit that notifies takes a lock of the whole server."""
ECHO_SECONDS: Final = 5.0
"""Seconds between two echoes, by which the listening connection checks that notifications arrive."""
_TAKE_SECONDS: Final = 0.2
_PAUSES: Final = (0.1, 0.5, 1.0, 2.0)
_NOTIFY: Final = text("SELECT pg_notify(:channel, :topic)")


class NotifySignals:
    """`Signals` over a connection that listens and one that notifies, each with a thread that starts when needed.

    A pooler in transaction mode accepts LISTEN and delivers nothing: the echo detects that, and `live` becomes false.
    """

    def __init__(
        self,
        url: URL,
        sender: Engine,
        when_durable: Callable[[Callable[[], None]], bool],
        report: Callable[[str], None],
    ) -> None:
        """`sender` commits by itself; `when_durable` is that of the store's writer: a hint follows what it is about.

        `report` is called once when notifications do not arrive.
        """
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._sender = sender
        self._when_durable = when_durable
        self._report = report
        self._lock = new_lock()
        self._listeners: dict[str, list[Listener]] = {}
        self._name = secrets.token_hex(8)
        self._begin()
        renew_after_fork(self)

    def _begin(self) -> None:
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._topics: set[str] = set()
        self._listening: threading.Thread | None = None
        self._sending: threading.Thread | None = None
        self._echoed = float("-inf")
        self._reported = False

    def after_fork(self) -> None:
        """In a forked child: threads and subscriptions are the parent's."""
        self._listeners = {}
        self._name = secrets.token_hex(8)
        self._begin()

    @property
    def live(self) -> bool:
        """Whether the last echo arrived in time."""
        return time.monotonic() - self._echoed < 2 * ECHO_SECONDS

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` at each hint of the topic."""
        with self._lock:
            self._listeners.setdefault(topic, []).append(listener)
            if self._listening is None and not self._closing.is_set():
                self._listening = threading.Thread(target=self._listen, name="orchestrator-listen", daemon=True)
                self._listening.start()

        def end() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners[topic].remove(listener)

        return end

    def send(self, topic: str) -> None:
        """Notify soon after what was written before is durable."""
        post = partial(self._post, topic)
        if self._when_durable(post):
            post()

    def _post(self, topic: str) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            self._topics.add(topic)
            if self._sending is None:
                self._sending = threading.Thread(target=self._send, name="orchestrator-notify", daemon=True)
                self._sending.start()
        self._wanted.set()

    def close(self) -> None:
        """End both threads."""
        with self._lock:
            self._closing.set()
            threads = [each for each in (self._listening, self._sending) if each is not None]
        self._wanted.set()
        for thread in threads:
            thread.join(2 * _TAKE_SECONDS)

    # -- threads -----------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            with self._lock:
                topics, self._topics = sorted(self._topics), set()
            if topics:
                with contextlib.suppress(Exception):  # a hint may be lost
                    self._notify(topics)
            if self._closing.wait(COALESCE_SECONDS):
                return

    def _notify(self, topics: list[str]) -> None:
        for attempt in range(2):
            try:
                with self._sender.connect() as connection, WATCHDOG.watching(connection):
                    for topic in topics:
                        connection.execute(_NOTIFY, {"channel": CHANNEL, "topic": topic})
                return
            except OperationalError:  # the pool's connection was lost meanwhile: the next one is new
                if attempt:
                    raise

    def _listen(self) -> None:
        import psycopg

        for attempt in range(1_000_000_000):
            if self._closing.is_set():
                return
            try:
                settings: dict[str, Any] = {"connect_timeout": 5, "prepare_threshold": None}
                alive: dict[str, Any] = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
                with psycopg.connect(self._dsn, autocommit=True, **settings, **alive) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._take(connection)
            except Exception:
                self._echoed = float("-inf")
            self._closing.wait(_PAUSES[min(attempt, len(_PAUSES) - 1)])

    def _take(self, connection: Any) -> None:
        """Pass notifications on, until the connection breaks or its echo does not come back."""
        began, last_echo = time.monotonic(), float("-inf")
        echo = f"echo {self._name} {secrets.token_hex(4)}"
        while not self._closing.is_set():
            now = time.monotonic()
            if now - max(self._echoed, began) > 2 * ECHO_SECONDS:
                self._deliver()
                return
            if now - last_echo >= ECHO_SECONDS:
                last_echo = now
                connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, echo))
            for note in connection.notifies(timeout=_TAKE_SECONDS, stop_after=1):
                if note.payload != echo:
                    self._call(note.payload)
                    continue
                first = self._echoed < began
                self._echoed = time.monotonic()
                if first:  # changes while no connection listened are found now
                    self._call(None)

    def _deliver(self) -> None:
        if not self._reported:
            self._reported = True
            self._report(
                "the database delivers no notifications (behind a pooler in transaction mode it cannot): "
                "queue and health are looked at more often instead"
            )

    def _call(self, topic: str | None) -> None:
        with self._lock:
            topics = [topic] if topic is not None else list(self._listeners)
            listeners = [each for name in topics for each in self._listeners.get(name, ())]
        for listener in listeners:
            with contextlib.suppress(Exception):
                listener()


__all__ = ["NotifySignals"]
