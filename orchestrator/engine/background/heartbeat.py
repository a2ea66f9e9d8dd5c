"""The heartbeat: a thread that renews the lease of this process on the runs it drives, whatever its event loop does."""

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, MutableMapping
from typing import Final, Protocol

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.process.forks import new_lock, renew_after_fork
from orchestrator.store.owner import owner_name
from orchestrator.store.protocol import Store

LEASE_SECONDS: Final = 3.5
"""Duration of a lease in seconds. An owner on this machine whose process is gone loses its runs at once."""
RENEW_SECONDS: Final = 1.0
"""Seconds between two renewals. One statement renews the lease for all runs."""
STRAY_SECONDS: Final = 3.0
"""Seconds between two looks for runs that are owned and not executed; after two looks they are released."""


class Owned(Protocol):
    """What the heartbeat needs of a live run."""

    @property
    def token(self) -> int | None:
        """The fencing token; `None` for a run that is in memory only."""
        ...

    @property
    def released(self) -> bool:
        """Whether the run is waiting and its ownership was released."""
        ...

    def cancel(self, reason: str) -> None:
        """Cancel the run; callable from any thread."""
        ...

    def fence(self) -> None:
        """Stop driving the run; callable from any thread."""
        ...


class Heartbeat:
    """The identity of this process in the store, and the thread that renews its lease.

    A renewal returns the runs that another owner has taken; a refused write (`refused`) shows the same. These runs are
    fenced.
    """

    def __init__(
        self,
        store: Store,
        live: MutableMapping[str, Owned],
        on_problem: Callable[[str], None],
        in_turn: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`in_turn`: whether an operation on a run is in progress in this process."""
        self.owner = owner_name()
        self._store = store
        self._live = live
        self._on_problem = on_problem
        self._in_turn = in_turn
        self._strays: dict[str, int] = {}
        """Runs that the store says are ours and that nothing here executed at the last look, with their tokens."""
        self._looked_at = float("-inf")
        self._thread: threading.Thread | None = None
        self._lock = new_lock()
        self._stopping = threading.Event()
        self._broken = False
        self._renewed: float | None = None
        """When the lease was last renewed, in monotonic seconds; `None` while no renewal is needed."""
        self._restored = float("-inf")
        """When a renewal last came too late."""
        self.workers = 0
        """Workers of this process: with one, its lease is renewed also while it drives no run."""
        self._before = store.on_refused
        store.on_refused = self.refused
        renew_after_fork(self)

    def start(self) -> None:
        """Start the thread unless it runs."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stopping = threading.Event()
                work = (weakref.ref(self), self._stopping)
                self._thread = threading.Thread(target=_work, args=work, name="orchestrator-heartbeat", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stop the thread. The lease expires by itself; released runs need none."""
        self._stopping.set()

    def beat(self) -> None:
        """Renew the lease once and fence the runs that were lost."""
        tokens = {
            run_id: run.token for run_id, run in list(self._live.items()) if run.token is not None and not run.released
        }
        if not tokens and not self.workers and not self._strays:
            self._renewed = None
            return
        try:
            lost = self._store.renew(self.owner, LEASE_SECONDS, tokens)
        except OrchestratorError as error:
            if not self._broken:
                self._on_problem(f"the lease on runs could not be renewed: {error}")
            self._broken = True
            return
        self._broken = False
        self._note_renewal(time.monotonic())
        for run_id in sorted(lost):
            self.refused(run_id, tokens[run_id])
        self._cancel()
        self._release_strays(time.monotonic())

    def _note_renewal(self, now: float) -> None:
        if self._renewed is not None and now - self._renewed > LEASE_SECONDS:
            self._restored = now
        self._renewed = now

    def lapsed(self) -> bool:
        """Whether this process could not renew its lease in time, now or a lease ago.

        After an outage of the store other processes could not renew either, so an expired lease proves nothing until
        they had time to.
        """
        now = time.monotonic()
        late = self._renewed is not None and now - self._renewed > LEASE_SECONDS
        return late or now - self._restored < LEASE_SECONDS

    def _cancel(self) -> None:
        """Cancel the runs whose cancellation another process asked for."""
        with contextlib.suppress(OrchestratorError):
            for run_id in self._store.queue.cancelled(self.owner):
                run = self._live.get(run_id)
                if run is not None:
                    run.cancel("cancelled")

    def _release_strays(self, now: float) -> None:
        """Release runs that this process owns and does not execute, such as one that it claimed or began in an outage
        and whose caller got no answer in time: while its lease is renewed no other process could claim them.
        """
        if now - self._looked_at < STRAY_SECONDS:
            return
        self._looked_at = now
        with contextlib.suppress(OrchestratorError):
            owned = self._store.owned(self.owner)
            found = {run_id: token for run_id, token in owned.items() if not self._is_executed(run_id)}
            for run_id, token in found.items():
                if self._strays.get(run_id) == token:
                    self._on_problem(f"run {run_id!r} is released: this process owns it and does not execute it")
                    self._store.release(run_id, token)
            self._strays = {run_id: token for run_id, token in found.items() if self._strays.get(run_id) != token}

    def _is_executed(self, run_id: str) -> bool:
        return run_id in self._live or self._in_turn(run_id)

    def refused(self, run_id: str, token: int) -> None:
        """Fence the run with this token; callable from any thread."""
        self._before(run_id, token)
        run = self._live.get(run_id)
        if run is not None and run.token == token and not run.released:
            run.fence()

    def after_fork(self) -> None:
        """In a forked child: become another owner without runs; the thread starts with the first run."""
        self.owner = owner_name()
        self._live.clear()
        self.workers, self._renewed = 0, None
        self._strays.clear()
        self._thread = None


def _work(heartbeat: "weakref.ref[Heartbeat]", stopping: threading.Event) -> None:
    while not stopping.wait(RENEW_SECONDS):
        alive = heartbeat()
        if alive is None:
            return
        alive.beat()
        del alive


__all__ = ["LEASE_SECONDS", "RENEW_SECONDS", "STRAY_SECONDS", "Heartbeat"]
