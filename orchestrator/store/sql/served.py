"""The queued runs that a worker can execute: those of goals of which it gives no key are passed over, and say so."""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import and_, select, update
from sqlalchemy.engine import Connection

from orchestrator.core.enums import Status
from orchestrator.store.fairness import QueuedRun
from orchestrator.store.ledger.encoding import decode_body, encode_body
from orchestrator.store.unclaimed import NOTE_SECONDS, UnclaimedRuns, note_of

from .candidates import NotRead, candidates
from .tables import RUNS

LOOKS: Final = 8
"""How often one claim looks past runs of goals that the worker does not serve; the next claim goes on."""
_READY: Final = RUNS.c.status == str(Status.QUEUED)


def not_read(unclaimed: UnclaimedRuns | None) -> NotRead:
    """The runs that a worker does not read, as far as that is known."""
    return NotRead() if unclaimed is None else NotRead(unclaimed.goals, unclaimed.run_ids)


def served_runs(
    connection: Connection, now: float, full: Collection[str], unclaimed: UnclaimedRuns | None
) -> list[QueuedRun]:
    """The queued runs that a worker may claim: it looks past those of goals that it does not serve."""
    if unclaimed is None:
        return candidates(connection, now, full, NotRead())
    served: list[QueuedRun] = []
    for _ in range(LOOKS):
        served, left = unclaimed.split(candidates(connection, now, full, not_read(unclaimed)))
        _note_left(connection, [run for run in left if run.wake <= now - NOTE_SECONDS])
        if not left:
            break
    return served


def _note_left(connection: Connection, left: Sequence[QueuedRun]) -> None:
    """Say on the rows of runs whose goal a worker does not serve that it left them, unless another worker did so."""
    if not left:
        return
    goals = {run.run_id: run.goal for run in left}
    unnoted = and_(RUNS.c.run_id.in_(sorted(goals)), _READY, RUNS.c.summary.notlike('%"left"%'))
    rows = connection.execute(select(RUNS.c.run_id, RUNS.c.summary).where(unnoted).with_for_update(skip_locked=True))
    for run_id, summary in rows.all():
        noted = encode_body({**decode_body(summary), "left": note_of(goals[run_id])})[0]
        connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(summary=noted))


__all__ = ["LOOKS", "not_read", "served_runs"]
