"""The writer: one thread that batches queued writes into durable transactions and reconnects after failures."""

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, cast

from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError

from orchestrator.core.errors import StoreError

from .watchdog import WATCHDOG

LINGER: Final = 0.025
"""Seconds for which writes without a waiting caller are collected before a commit."""

QUIET: Final = 0.25
"""Seconds without a write after which `tidy` is called."""

CAPACITY: Final = 64 * 1024 * 1024
"""Maximum characters of text that are queued while the database cannot be written."""

OUTAGE_GRACE: Final = 5.0
"""Seconds that an outage lasts before it is reported and waiters get an error: many processes that share
one SQLite file keep each other waiting, and a connection may be lost."""

_BATCH: Final = 2000
_PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_IN_TROUBLE: Final = 0.05
_LAST_TRY: Final = 3.0
"""Seconds that closing waits for a transaction that was started in time; SQLite alone may wait one second for a
lock.
"""


class StoreOutage(Exception):
    """The database cannot be written now, and may be later."""

    def __init__(self, message: str, *, needs_help: bool = False) -> None:
        super().__init__(message)
        self.needs_help = needs_help
        """Whether an operator has to act first, for example on a permission; reported at once."""


class WriteRequest:
    """A request with a result that is executed in order with the writes, in one of their transactions."""

    def __init__(
        self,
        work: Callable[[Any, "WriteRequest"], Any],
        *,
        keep: bool = False,
        undo: Callable[[Any, "WriteRequest"], Any] | None = None,
    ) -> None:
        self.work = work
        self.undo = undo
        """Undoes the request if its caller has stopped waiting, so that nothing stays taken."""
        self.keep = keep
        """Whether it is executed even when its caller has stopped waiting."""
        self.abandoned = False
        """Whether its caller has stopped waiting."""
        self.answer: Any = None
        self.error: Exception | None = None
        self.done = threading.Event()


class Committer(Protocol):
    """The destination of the writer."""

    def commit(self, items: Sequence[Any]) -> None:
        """Do all items in one transaction, durably.

        Raises `StoreOutage` when the same items should be tried again, anything else when one of them is bad.
        """
        ...

    def reject(self, item: Any, error: Exception) -> str:
        """Called with an item that was rejected and left out; returns the database's error, for its caller."""
        ...

    def report(self, problem: str) -> None:
        """Called once per outage."""
        ...


@dataclass(frozen=True)
class _Waiter:
    ticket: int
    wake: Callable[[], None]


class Writer:
    """A queue, and the thread that empties it. A request that a caller waits for is committed at once; other writes are
    collected.
    """

    def __init__(self, committer: Committer, tidy: Callable[[], None] | None = None) -> None:
        """`tidy` is called by the writer's thread when nothing was written for a moment, and at the end."""
        self._committer = committer
        self._tidy = tidy
        self._untidy = False
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._closing = threading.Event()
        self._give_up = 0.0
        self._queue: deque[tuple[Any, int]] = deque()
        self._waiters: deque[_Waiter] = deque()
        self._size = self._put = self._done = 0
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None
        """Why the database cannot be written; `None` while it can."""

    def put(self, item: Any, size: int = 0, *, droppable: bool = False) -> bool:
        """Enqueue; `False` when it was not: the queue is full (of `droppable` items only) or closed."""
        with self._lock:
            if self._closing.is_set() or (droppable and self._size + size > CAPACITY):
                return False
            self._queue.append((item, size))
            self._size += size
            self._put += 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="orchestrator-store", daemon=True)
                self._thread.start()
        if not self._wake.is_set():
            self._wake.set()
        return True

    def call(self, call: WriteRequest, timeout: float) -> Any:
        """Enqueue a call and wait for its result, at most `timeout` seconds; only briefly during an outage.

        Raises:
            StoreError: no answer came in time; unless it is to be kept, the call will not be done any more.
        """
        if not self.put(call):
            raise StoreError("the store is closed")
        self._urgent.set()
        if not self._wait_for(call.done, timeout):
            call.abandoned = True
            trouble = f": {self.trouble}" if self.trouble else f" within {timeout:g} s: it is busy"
            raise StoreError(f"the store did not answer{trouble}")
        if call.error is not None:
            raise call.error
        return call.answer

    def _wait_for(self, done: threading.Event, timeout: float) -> bool:
        """Wait until done, or until the database is known to be unreachable."""
        deadline = time.monotonic() + timeout
        while not done.wait(min(_IN_TROUBLE, max(deadline - time.monotonic(), 0.0))):
            if self.trouble is not None or time.monotonic() >= deadline:
                return False
        return True

    def when_durable(self, wake: Callable[[], None]) -> bool:
        """Whether all that is enqueued is durable; if not, `wake` is called, by the writer's thread, when it is."""
        with self._lock:
            if self._done >= self._put:
                return True
            self._waiters.append(_Waiter(self._put, wake))
        self._urgent.set()
        return False

    @property
    def pending(self) -> int:
        """How many items are not durable yet."""
        return self._put - self._done

    @property
    def closed(self) -> bool:
        """Whether it accepts nothing more."""
        return self._closing.is_set()

    def close(self, timeout: float) -> None:
        """Accept nothing more, write the queued items within `timeout` seconds, and end the thread."""
        with self._lock:
            self._give_up = time.monotonic() + timeout
            self._closing.set()
            thread = self._thread
        self._urgent.set()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout + _LAST_TRY)
            if thread.is_alive():
                self._committer.report(f"{self.pending} writes were on their way when the store was closed")

    def _run(self) -> None:
        """Serve the queue until the writer is closed; an error of our own is reported, and the thread continues."""
        while True:
            try:
                self._serve()
                return
            except Exception as error:
                outage = f"the writer of the store failed, and tries again: {type(error).__name__}: {error}"
                with contextlib.suppress(Exception):
                    self._note(outage)
                if not self._wait_out(outage, _PAUSES[-1]):
                    return
                self._wake.set()

    def _serve(self) -> None:
        while True:
            if not self._wake.wait(QUIET if self._untidy else None):
                self._tidy_up()
                continue
            if not self._closing.is_set():
                self._urgent.wait(LINGER)
            self._urgent.clear()
            self._wake.clear()
            while items := self._front():
                if not self._write(items):
                    return
                self._untidy = self._tidy is not None
            if self._closing.is_set():
                self._untidy = True
                self._tidy_up()
                return

    def _tidy_up(self) -> None:
        if self._untidy and self._tidy is not None:
            self._untidy = False
            with contextlib.suppress(Exception):  # no caller waits for it and no data is lost
                self._tidy()

    def _front(self) -> list[Any]:
        with self._lock:
            return [item for item, _ in itertools.islice(self._queue, _BATCH)]

    def _write(self, items: list[Any]) -> bool:
        """Write the items at the front of the queue, retrying as long as needed; `False` when closing timed out."""
        since = time.monotonic()
        pauses = itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1]))
        while True:
            wanted = [
                item for item in items if not (isinstance(item, WriteRequest) and item.abandoned and not item.keep)
            ]
            try:
                if wanted:
                    self._committer.commit(wanted)
            except StoreOutage as outage:
                if outage.needs_help or time.monotonic() - since >= OUTAGE_GRACE or self._closing.is_set():
                    self._note(str(outage))
                if not self._wait_out(str(outage), next(pauses)):
                    return False
            except Exception as error:
                if len(items) > 1:
                    return all(self._write([item]) for item in items)
                cause = self._committer.reject(items[0], error)
                if isinstance(items[0], WriteRequest):
                    items[0].error = StoreError(f"the store refused what it was given: {cause}")
                break
            else:
                self.trouble = None
                break
        self._finish(len(items))
        return True

    def _note(self, outage: str) -> None:
        """Report an outage, once."""
        if self.trouble is None:
            self.trouble = outage
            self._committer.report(f"{outage}; what is written meanwhile is kept and tried again")

    def _wait_out(self, outage: str, pause: float) -> bool:
        if self._closing.is_set():
            if time.monotonic() > self._give_up:
                self._committer.report(f"{self.pending} writes were lost when the store was closed: {outage}")
                return False
            time.sleep(0.05)
        else:
            self._closing.wait(pause)
        return True

    def _finish(self, count: int) -> None:
        """The items at the front are durable (or were rejected): wake the waiters."""
        ready: list[Callable[[], None]] = []
        undo: list[WriteRequest] = []
        with self._lock:
            for _ in range(count):
                item, size = self._queue.popleft()
                self._size -= size
                if isinstance(item, WriteRequest):
                    ready.append(item.done.set)
                    if item.abandoned and item.undo is not None and item.answer:
                        undo.append(WriteRequest(item.undo, keep=True))
            self._done += count
            while self._waiters and self._waiters[0].ticket <= self._done:
                ready.append(self._waiters.popleft().wake)
        for call in undo:
            self.put(call)
        for wake in ready:
            with contextlib.suppress(Exception):  # such as a closed event loop: the others are still woken
                wake()


T = TypeVar("T")


class Transactions:
    """Runs one transaction after another on an engine.

    If the response to a commit is lost, a retry could write everything twice. PostgreSQL keeps the status of a
    transaction (`txid_status`), so it is looked up before a retry. A SQLite commit that fails has not taken place.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unanswered: tuple[int, Any] | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do the work in one transaction; when it is called again with the same work after an error, the work is done
        at most once.

        Raises what the database raises, and `StoreOutage` while the transaction before is still being committed.
        """
        if self._unanswered is not None:
            number, result = cast("tuple[int, T]", self._unanswered)
            if self._took_place(number):
                self._unanswered = None
                return result
            self._unanswered = None
        with self._engine.connect() as connection, WATCHDOG.watching(connection), connection.begin():
            postgres = connection.dialect.name == "postgresql"
            number = connection.execute(text("SELECT txid_current()")).scalar_one() if postgres else 0
            result = work(connection)
            if postgres:
                self._unanswered = (number, result)
        self._unanswered = None
        return result

    def forget(self) -> None:
        """Forget the last transaction: the next call has other work."""
        self._unanswered = None

    def _took_place(self, number: int) -> bool:
        try:
            with self._engine.connect() as connection, WATCHDOG.watching(connection):
                status = connection.execute(text("SELECT txid_status(:number)"), {"number": number}).scalar()
        except DataError:
            return False  # a transaction of the future: this is another server than the one that took it
        if status == "in progress":
            raise StoreOutage("the transaction before is still being committed")
        return status == "committed"
