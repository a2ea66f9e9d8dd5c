"""The queued runs that a worker may choose from: the oldest of all, and the oldest of each tenant."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select, text
from sqlalchemy.engine import Connection

from orchestrator.core.enums import Status
from orchestrator.store.fairness import QueuedRun
from orchestrator.store.unclaimed import ANY_WORKER

from .tables import RUNS, is_postgres

_LOOKED_AT: Final = 200
"""Maximum number of queued runs of one query, over all tenants."""
_LOOKS: Final = 16
"""Maximum number of repetitions on SQLite, each without the tenants found so far."""
_TENANTS: Final = 1000
"""Maximum number of further tenants on PostgreSQL, apart from those of the oldest runs."""
_READY: Final = RUNS.c.status == str(Status.QUEUED)
_ANYONE: Final = f'%"{ANY_WORKER}":%'
_BEGUN: Final = or_(RUNS.c.length > 0, RUNS.c.summary.like(_ANYONE))
"""Runs that every worker reads, whatever their goal."""
_LOOKED_AT_COLUMNS: Final = (
    RUNS.c.run_id,
    RUNS.c.tenant,
    RUNS.c.priority,
    RUNS.c.goal,
    RUNS.c.wake,
    _BEGUN.label("begun"),
)

# The conditions and orders are those of the indexes `orchestrator_runs_ready` and `orchestrator_runs_turns`.
_OLDEST: Final = text(
    """
    SELECT run_id, tenant, priority, goal, wake, length > 0 OR summary LIKE :anyone AS begun FROM orchestrator_runs
    WHERE (status || '') = 'queued' AND wake <= :now AND tenant <> ALL(CAST(:without AS text[]))
        AND (goal <> ALL(CAST(:goals AS text[])) OR length > 0 OR summary LIKE :anyone)
            AND run_id <> ALL(CAST(:tried AS text[]))
    ORDER BY priority DESC, wake, run_id LIMIT :most
    """
)
_TENANTS_QUEUED: Final = text(
    """
    WITH RECURSIVE queued(tenant, n) AS (
        (SELECT tenant, 1 FROM orchestrator_runs WHERE ('' || status) = 'queued' ORDER BY tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT next.tenant FROM orchestrator_runs AS next
                WHERE ('' || next.status) = 'queued' AND next.tenant > queued.tenant
                ORDER BY next.tenant LIMIT 1), n + 1
        FROM queued WHERE queued.tenant IS NOT NULL AND n < :most)
    SELECT tenant FROM queued WHERE tenant IS NOT NULL AND tenant <> ALL(CAST(:seen AS text[]))
    """
)
"""The tenants of queued runs by one probe of the index for each of them, however many runs they have queued."""
_OLDEST_OF_EACH: Final = text(
    """
    SELECT oldest.run_id, oldest.tenant, oldest.priority, oldest.goal, oldest.wake, oldest.begun
    FROM unnest(CAST(:tenants AS text[])) AS of(name) CROSS JOIN LATERAL (
        SELECT run_id, tenant, priority, goal, wake, length > 0 OR summary LIKE :anyone AS begun FROM orchestrator_runs
        WHERE ('' || status) = 'queued' AND tenant = of.name AND wake <= :now
            AND (goal <> ALL(CAST(:goals AS text[])) OR length > 0 OR summary LIKE :anyone)
            AND run_id <> ALL(CAST(:tried AS text[]))
        ORDER BY priority DESC, wake, run_id LIMIT :each) AS oldest
    ORDER BY oldest.priority DESC, oldest.wake, oldest.run_id
    """
)
_NEXT_WAKE: Final = text(
    """
    WITH RECURSIVE soonest(priority, wake) AS (
        (SELECT priority, wake FROM orchestrator_runs WHERE (status || '') = 'queued'
            AND (goal <> ALL(CAST(:goals AS text[])) OR length > 0 OR summary LIKE :anyone)
            AND run_id <> ALL(CAST(:tried AS text[]))
         ORDER BY priority DESC, wake, run_id LIMIT 1)
        UNION ALL
        SELECT next.priority, next.wake FROM soonest CROSS JOIN LATERAL (
            SELECT priority, wake FROM orchestrator_runs
            WHERE (status || '') = 'queued' AND priority < soonest.priority
                AND (goal <> ALL(CAST(:goals AS text[])) OR length > 0 OR summary LIKE :anyone)
            AND run_id <> ALL(CAST(:tried AS text[]))
            ORDER BY priority DESC, wake, run_id LIMIT 1) AS next)
    SELECT min(wake) FROM soonest
    """
)
"""When the next queued run may start: the soonest of each priority, by one probe of the index for each of them."""


@dataclass(frozen=True)
class NotRead:
    """Queued runs that a look does not return."""

    goals: Sequence[str] = ()
    """Of runs that have not begun, and that some process gives."""
    tried: Sequence[str] = ()
    """Ids of runs."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of PostgreSQL's statements."""
        return {"anyone": _ANYONE, "goals": list(self.goals), "tried": list(self.tried)}

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """The same for SQLite."""
        read: list[ColumnElement[bool]] = []
        if self.goals:
            read.append(or_(RUNS.c.goal.notin_(self.goals), _BEGUN))
        if self.tried:
            read.append(RUNS.c.run_id.notin_(self.tried))
        return read


def next_wake(connection: Connection, not_read: NotRead) -> float | None:
    """When the next queued run may start; `None`: none is queued that may."""
    if is_postgres(connection):
        wake = connection.execute(_NEXT_WAKE, not_read.parameters).scalar()
    else:
        wake = connection.execute(select(func.min(RUNS.c.wake)).where(_READY, *not_read.conditions)).scalar()
    return None if wake is None else float(wake)


def candidates(connection: Connection, now: float, full: Collection[str], not_read: NotRead) -> list[QueuedRun]:
    """Queued runs that may start, first come first, of tenants that are not full: of each of them, were there many."""
    found = _oldest(connection, now, full, not_read)
    if len(found) < _LOOKED_AT:
        return found
    seen = {*full, *(run.tenant for run in found)}
    return found + (_of_others if is_postgres(connection) else _without)(connection, now, seen, not_read)


def busy_tenants(connection: Connection) -> Mapping[str, int]:
    """Number of running runs of each tenant."""
    running = and_(RUNS.c.status == str(Status.RUNNING), RUNS.c.parent.is_(None))
    rows = connection.execute(select(RUNS.c.tenant, func.count()).where(running).group_by(RUNS.c.tenant))
    return {row[0]: int(row[1]) for row in rows}


def _oldest(connection: Connection, now: float, without: Collection[str], not_read: NotRead) -> list[QueuedRun]:
    if is_postgres(connection):
        asked = {"now": now, "without": sorted(without), "most": _LOOKED_AT, **not_read.parameters}
        return _queued(connection.execute(_OLDEST, asked))
    conditions: list[ColumnElement[bool]] = [_READY, RUNS.c.wake <= now, *not_read.conditions]
    if without:
        conditions.append(RUNS.c.tenant.notin_(sorted(without)))
    query = select(*_LOOKED_AT_COLUMNS).where(*conditions)
    query = query.order_by(RUNS.c.priority.desc(), RUNS.c.wake, RUNS.c.run_id).limit(_LOOKED_AT)
    return _queued(connection.execute(query))


def _of_others(connection: Connection, now: float, seen: Collection[str], not_read: NotRead) -> list[QueuedRun]:
    """The oldest runs of each tenant that was not seen."""
    unseen = {"most": _TENANTS, "seen": sorted(seen)}
    tenants = list(connection.execute(_TENANTS_QUEUED, unseen).scalars())
    if not tenants:
        return []
    each = max(1, 2 * _LOOKED_AT // len(tenants))
    asked = {"tenants": tenants, "now": now, "each": each, **not_read.parameters}
    return _queued(connection.execute(_OLDEST_OF_EACH, asked))


def _without(connection: Connection, now: float, seen: set[str], not_read: NotRead) -> list[QueuedRun]:
    """The oldest runs without these tenants, repeatedly excluding the tenants found."""
    found: list[QueuedRun] = []
    for _ in range(_LOOKS - 1):
        more = _oldest(connection, now, seen, not_read)
        found += more
        seen = {*seen, *(run.tenant for run in more)}
        if len(more) < _LOOKED_AT:
            break
    return found


def _queued(rows: Any) -> list[QueuedRun]:
    return [QueuedRun(row.run_id, row.tenant, row.priority, row.goal, bool(row.begun), row.wake) for row in rows]


__all__ = ["NotRead", "busy_tenants", "candidates", "next_wake"]
