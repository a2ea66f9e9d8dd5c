"""The queue of runs and the accounts of labels, as protocols: what a store offers to workers."""

from collections.abc import Mapping
from typing import Protocol

from .rows import ClaimedRun, RunRow, Share, Swept
from .unclaimed import UnclaimedRuns


class RunQueue(Protocol):
    """Runs that wait for a worker. Only the run's row is authoritative; ids that reach workers in other ways are
    hints.
    """

    def submit(self, row: RunRow, request: str, *, delay: float = 0.0, priority: int = 0) -> RunRow | None:
        """Create a queued run with what was asked for (JSON text); the row that exists, if there is one.

        `row.wake` is the earliest start by the clock of the store; `delay` seconds from now where it is `None`.
        """
        ...

    def take(
        self,
        owner: str,
        ttl: float,
        most: int,
        limits: Mapping[str, int] | None = None,
        unclaimed: UnclaimedRuns | None = None,
    ) -> list[ClaimedRun]:
        """Own up to `most` queued runs: highest priority first, then by turns between tenants, then oldest first.

        `limits`: the most runs of a tenant (`"*"`: of each; `"**"`: of all together) that are executed at one time,
        over all workers. `unclaimed`: the runs that this worker leaves to others; their rows say so after a moment.
        """
        ...

    def take_one(self, run_id: str, owner: str, ttl: float) -> ClaimedRun | None:
        """Own this queued run, whether it is due or was set aside; `None` where it is not queued."""
        ...

    def requeue(self, run_id: str, token: int, *, delay: float = 0.0, note: str = "") -> bool:
        """Return a claimed run to the queue; `False` when the token is no longer the run's.

        `note` says why its worker could not drive it; it is the row's `summary["left"]` until the run waits or ends.
        """
        ...

    def answer(self, run_id: str, answer: str) -> bool:
        """Queue a waiting run with an answer (JSON text); `False` when it does not wait."""
        ...

    def cancel(self, run_id: str) -> bool:
        """Ask for the cancellation of a run that another process may drive; `False` when there is none to cancel."""
        ...

    def cancelled(self, owner: str) -> list[str]:
        """The runs of this owner whose cancellation was asked for."""
        ...

    def sweep(self, most_attempts: int, *, proven: bool = False) -> Swept:
        """Queue the runs whose owner is gone and the waiting ones whose time came.

        `proven`: an owner is gone only where its process is known to be, however long ago its lease has ended.
        """
        ...

    def abandoned(self) -> list[str]:
        """Runs (no children) that have begun and that nobody drives: running or queued again, without a live owner."""
        ...

    def retry(self, run_id: str) -> bool:
        """Queue again a run that was set aside."""
        ...

    def next_due(self, unclaimed: UnclaimedRuns | None = None) -> float | None:
        """Seconds until the next queued run may start; `None`: none is queued for later."""
        ...


class Accounts(Protocol):
    """Daily spending limits of labels over all processes of a store, by UTC days of the store's clock."""

    def lease(self, label: str, limit: float, wanted: float, owner: str, ttl: float) -> Share:
        """Lease up to `wanted` US dollars of the rest of today's `limit`; `usd` is 0 when nothing is left.

        A process has one share per label and day: each lease is added to it, and `expires` is renewed.
        """
        ...

    def settle(self, share: Share, owner: str, spent: float, returned: float) -> None:
        """Book `spent` dollars of a share, and return `returned` dollars."""
        ...

    def spent(self, label: str) -> float:
        """The US dollars that were booked for a label today."""
        ...
