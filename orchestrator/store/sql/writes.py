"""The statements of the writer's transactions: they apply writes to runs."""

import math
from collections.abc import Container, Sequence
from typing import Any, Final

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.engine import Connection, Row

from orchestrator.core.enums import Status
from orchestrator.store.ledger.chain import GENESIS, canonical_text, seal_link
from orchestrator.store.ledger.encoding import decode_body, search_text
from orchestrator.store.ledger.writes import LedgerState, RefusedWrite, Write, apply
from orchestrator.store.rows import FIRST_TOKEN, TENANT, Record, RunRow

from .bulk import Cells, insert_rows, rows_of_runs, update_runs
from .tables import LABELS, RECORDS, REQUESTS, RUNS, SEALS, VALUES, take_turn, upsert

_MOVED: Final = ("status", "ended", "head", "length", "summary", "wake")
_RELEASED: Final = (*_MOVED, "owner", "cancel")


def write(
    connection: Connection, writes: Sequence[Write], foreign: Container[str], lane: int = 0
) -> list[RefusedWrite]:
    """Apply writes to their runs and store the new data; writes to `foreign` runs are refused. Returns the refused
    writes.

    Ended runs are sealed in the chain of the `lane`.
    """
    states = _load(connection, writes)
    refusals: list[RefusedWrite] = []
    for item in writes:
        if item.run_id in foreign:
            problem = (
                f"run {item.run_id!r} was there already; the run of this id while the store was unreachable is not kept"
            )
            refusals.append(RefusedWrite(item.run_id, item.token, problem, lost=True))
        elif refusal := apply(states.get(item.run_id), item):
            refusals.append(refusal)
    _store(connection, [states[run_id] for run_id in sorted(states)], lane)
    return refusals


def create_run(connection: Connection, row: RunRow, owner: str = "") -> RunRow | None:
    """Insert the row, owned by `owner`; returns the one that exists."""
    columns: dict[str, Any] = {
        "run_id": row.run_id,
        "parent": row.parent,
        "status": str(row.status),
        "policy": row.policy,
        "started": row.started,
        "ended": row.ended,
        "head": row.head,
        "length": row.count,
        "trace_id": row.trace_id,
        "search": search_text(row),
        "goal": row.goal,
        "summary": canonical_text(row.summary),
        "labels": canonical_text(dict(row.labels)),
        "tenant": row.labels.get(TENANT, ""),
        "owner": owner,
        "token": FIRST_TOKEN if owner else 0,
    }
    created = upsert(connection, RUNS).values(columns).on_conflict_do_nothing().returning(RUNS.c.run_id)
    if connection.execute(created).first() is not None:
        labels = [{"run_id": row.run_id, "name": name, "value": value} for name, value in sorted(row.labels.items())]
        if labels:
            connection.execute(insert(LABELS), labels)
        return None
    return run_row(connection.execute(select(RUNS).where(RUNS.c.run_id == row.run_id)).one())


def run_row(row: Any) -> RunRow:
    """A row of the table of runs, also one with values that no store writes."""
    known = row.status in Status.__members__.values()
    return RunRow(
        run_id=row.run_id,
        parent=None if row.parent is None else str(row.parent),
        goal=str(row.goal),
        status=Status(row.status) if known else Status.RUNNING,
        policy=str(row.policy),
        started=_number(row.started),
        ended=None if row.ended is None else _number(row.ended),
        head=str(row.head),
        count=row.length if isinstance(row.length, int) else -1,
        trace_id=str(row.trace_id),
        summary=decode_body(row.summary),
        labels={name: str(value) for name, value in decode_body(row.labels).items()},
        wake=row.wake if isinstance(row.wake, float) else None,
        attempts=row.attempts if isinstance(row.attempts, int) else 0,
    )


def record_row(row: Row[Any]) -> Record:
    """A row of the table of records; what no store writes (SQLite takes text for a number) fails its hash."""
    seq = row.seq if isinstance(row.seq, int) else -1
    return Record(row.run_id, seq, str(row.kind), _number(row.at), decode_body(row.body), str(row.prev), str(row.hash))


def _number(found: object) -> float:
    return found if isinstance(found, float) else math.nan


def _load(connection: Connection, writes: Sequence[Write]) -> dict[str, LedgerState]:
    rows = rows_of_runs(connection, RUNS, sorted({item.run_id for item in writes}))
    return {row.run_id: LedgerState.of(run_row(row), row.token) for row in rows}


def _store(connection: Connection, states: list[LedgerState], lane: int) -> None:
    records = [
        (state.row.run_id, record.seq, record.kind, record.at, record.text, record.prev, record.hash)
        for state in states
        for record in state.records
    ]
    insert_rows(connection, RECORDS, records)
    _store_values(connection, states)
    _store_runs(connection, states)
    sealed = [state for state in states if state.sealed]
    if sealed:
        ids = [state.row.run_id for state in sealed]
        connection.execute(delete(REQUESTS).where(REQUESTS.c.run_id.in_(ids)))
        _seal(connection, sealed, lane)


def drop_values_below(connection: Connection, run_id: str) -> None:
    """Delete the values of all runs below one that has ended."""
    root = RUNS.alias()
    ended = exists().where(root.c.run_id == run_id, root.c.ended.is_not(None))
    below = select(RUNS.c.run_id).where(RUNS.c.parent == run_id, ended).cte("below", recursive=True)
    below = below.union_all(select(RUNS.c.run_id).where(RUNS.c.parent == below.c.run_id))
    connection.execute(delete(VALUES).where(VALUES.c.run_id.in_(select(below.c.run_id))))


def _store_values(connection: Connection, states: list[LedgerState]) -> None:
    dropped = [state.row.run_id for state in states if state.dropped]
    if dropped:
        connection.execute(delete(VALUES).where(VALUES.c.run_id.in_(dropped)))
    values = [(state.row.run_id, name, state.values[name]) for state in states for name in sorted(state.values)]
    insert_rows(connection, VALUES, values, replace=True)


def _store_runs(connection: Connection, states: list[LedgerState]) -> None:
    """Update the rows; a run that has ended is released in the same statement."""
    changed = [
        state
        for state in states
        if (state.count, state.status, state.wake) != (state.row.count, state.row.status, state.row.wake)
        or state.summary_changed
    ]
    update_runs(connection, RUNS, _MOVED, [_cells(state) for state in changed if not state.sealed])
    update_runs(connection, RUNS, _RELEASED, [_cells(state, "", 0) for state in changed if state.sealed])


def _cells(state: LedgerState, *released: object) -> Cells:
    moved = (str(state.status), state.ended, state.head, state.count, state.summary, state.wake)
    return (*moved, *released, state.row.run_id)


def _seal(connection: Connection, states: list[LedgerState], lane: int) -> None:
    take_turn(connection, f"seals {lane}")
    newest = select(SEALS.c.n, SEALS.c.hash).where(SEALS.c.lane == lane).order_by(SEALS.c.n.desc()).limit(1)
    last = connection.execute(newest).first()
    n, prev = (0, GENESIS) if last is None else (last.n, last.hash)
    rows: list[Cells] = []
    for state in states:
        n, run_id = n + 1, state.row.run_id
        digest = seal_link(prev, n, run_id, state.head, lane)
        rows.append((lane, n, run_id, state.head, prev, digest))
        prev = digest
    insert_rows(connection, SEALS, rows)
