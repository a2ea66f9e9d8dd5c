"""What the writer does in its transactions: folding writes into runs, and the calls that have an answer."""

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, String, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection, Row
from sqlalchemy.sql.schema import Table

from orchestrator.core.enums import Status
from orchestrator.store.ledger.chain import GENESIS, canonical_text, seal_link
from orchestrator.store.ledger.encoding import decode, search_text
from orchestrator.store.ledger.writes import Refusal, RunState, Write, apply
from orchestrator.store.owner import owner_died
from orchestrator.store.protocol import Record, RunRow

from .bulk import insert_rows, rows_of_runs, update_runs
from .tables import CLAIMS, DOCUMENTS, GRAPHS, HEALTH, LEASES, META, RECORDS, RUNS, SEALS, VALUES

# Built once: putting a statement together costs as much as running it.
_IDS: Final[BindParameter[str]] = bindparam("ids", type_=String(), expanding=True)
_HEALTH_OF: Final = select(HEALTH).where(HEALTH.c.name.in_(_IDS))
_MOVED: Final = ("status", "ended", "head", "length", "summary")


def write(connection: Connection, writes: Sequence[Write], foreign: Container[str]) -> list[Refusal]:
    """Fold writes into their runs and store what is new; `foreign` runs take nothing. Returns what was refused."""
    states = _load(connection, writes)
    refusals: list[Refusal] = []
    for item in writes:
        if item.run_id in foreign:
            problem = (
                f"run {item.run_id!r} was there already; what ran under its id while the store was away is not kept"
            )
            refusals.append(Refusal(item.run_id, item.token, problem, lost=True))
        elif refusal := apply(states.get(item.run_id), item):
            refusals.append(refusal)
    _store(connection, [states[run_id] for run_id in sorted(states)])
    return refusals


def create_run(connection: Connection, row: RunRow) -> RunRow | None:
    """Insert the row; returns the one that exists."""
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
    }
    created = _upsert(connection, RUNS).values(columns).on_conflict_do_nothing().returning(RUNS.c.run_id)
    if connection.execute(created).first() is not None:
        return None
    return run_row(connection.execute(select(RUNS).where(RUNS.c.run_id == row.run_id)).one())


def run_row(row: Any) -> RunRow:
    """A row of the table of runs, readable also when somebody has put into it what no store writes."""
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
        summary=decode(row.summary),
    )


def record_row(row: Row[Any]) -> Record:
    """A row of the table of records; what no store writes (SQLite takes text for a number) fails its hash."""
    seq = row.seq if isinstance(row.seq, int) else -1
    return Record(row.run_id, seq, str(row.kind), _number(row.at), decode(row.body), str(row.prev), str(row.hash))


def _number(found: object) -> float:
    return found if isinstance(found, float) else math.nan


def take_claim(connection: Connection, run_id: str, owner: str, now: float, ttl: float) -> int | None:
    """The next token of the run, unless another owner lives."""
    empty = {"run_id": run_id, "token": 0, "owner": "", "expires": 0.0}
    connection.execute(_upsert(connection, CLAIMS).on_conflict_do_nothing(), empty)
    claim = connection.execute(select(CLAIMS).where(CLAIMS.c.run_id == run_id).with_for_update()).one()
    if claim.owner not in ("", owner) and claim.expires > now and not owner_died(claim.owner):
        return None
    taken = update(CLAIMS).where(CLAIMS.c.run_id == run_id)
    connection.execute(taken.values(token=claim.token + 1, owner=owner, expires=now + ttl))
    return int(claim.token) + 1


def renew_claim(connection: Connection, run_id: str, token: int, now: float, ttl: float) -> bool:
    """Whether the token is the run's, which it then is for longer."""
    mine = update(CLAIMS).where(CLAIMS.c.run_id == run_id, CLAIMS.c.token == token, CLAIMS.c.owner != "")
    return connection.execute(mine.values(expires=now + ttl)).rowcount > 0


def drop_claim(connection: Connection, run_id: str, token: int) -> None:
    """Give the run back; the token stays, so that the next is greater."""
    mine = update(CLAIMS).where(CLAIMS.c.run_id == run_id, CLAIMS.c.token == token)
    connection.execute(mine.values(owner="", expires=0.0))


def take_lease(connection: Connection, name: str, owner: str, seconds: float, now: float) -> bool:
    """Whether the lease was free, or over, and is now the owner's."""
    columns = {"owner": owner, "expires": now + seconds}
    over = update(LEASES).where(LEASES.c.name == name, LEASES.c.expires <= now).values(columns)
    if connection.execute(over).rowcount:
        return True
    free = _upsert(connection, LEASES).values(name=name, **columns).on_conflict_do_nothing()
    return connection.execute(free.returning(LEASES.c.name)).first() is not None


def drop_lease(connection: Connection, name: str, owner: str) -> None:
    """Delete the lease if it is the owner's."""
    connection.execute(delete(LEASES).where(LEASES.c.name == name, LEASES.c.owner == owner))


def add_document(connection: Connection, kind: str, text: str) -> int:
    """Insert the next version."""
    _take_turn(connection)
    version = _newest_document(connection, kind) + 1
    connection.execute(insert(DOCUMENTS), {"kind": kind, "version": version, "data": text})
    return version


def swap_document(connection: Connection, kind: str, text: str, after: int, keep: int) -> bool:
    """Insert the next version if the newest is still number `after`; delete those older than the newest `keep`."""
    _take_turn(connection)
    if _newest_document(connection, kind) != after:
        return False
    connection.execute(insert(DOCUMENTS), {"kind": kind, "version": after + 1, "data": text})
    connection.execute(delete(DOCUMENTS).where(DOCUMENTS.c.kind == kind, DOCUMENTS.c.version <= after + 1 - keep))
    return True


def _newest_document(connection: Connection, kind: str) -> int:
    newest = connection.execute(select(func.max(DOCUMENTS.c.version)).where(DOCUMENTS.c.kind == kind)).scalar()
    return newest or 0


def add_graph(connection: Connection, digest: str, text: str) -> None:
    """Insert the graph unless it is there."""
    connection.execute(_upsert(connection, GRAPHS).on_conflict_do_nothing(), {"digest": digest, "data": text})


def health(connection: Connection, names: list[str]) -> dict[str, dict[str, Any]]:
    """What is stored of these names, which nobody else changes until the end of the transaction."""
    _take_turn(connection)
    found: dict[str, dict[str, Any]] = {}
    for some in _chunks(names):
        rows = connection.execute(_HEALTH_OF, {"ids": some})
        found |= {row.name: decode(row.data) for row in rows}
    return found


def set_health(connection: Connection, texts: Mapping[str, str]) -> None:
    """Insert or replace."""
    rows = [{"name": name, "data": text} for name, text in texts.items()]
    statement = _upsert(connection, HEALTH)
    replaced = {"data": statement.excluded.data}
    connection.execute(statement.on_conflict_do_update(index_elements=[HEALTH.c.name], set_=replaced), rows)


def _load(connection: Connection, writes: Sequence[Write]) -> dict[str, RunState]:
    ids = sorted({item.run_id for item in writes})
    fenced = sorted({item.run_id for item in writes if item.token is not None})
    states = {row.run_id: RunState.of(run_row(row)) for row in rows_of_runs(connection, RUNS, ids)}
    for claim in rows_of_runs(connection, CLAIMS, fenced, shared=True):
        if claim.run_id in states:
            states[claim.run_id].token = claim.token
    return states


def _chunks(ids: list[str], size: int = 500) -> list[list[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _store(connection: Connection, states: list[RunState]) -> None:
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
        _seal(connection, sealed)


def _store_values(connection: Connection, states: list[RunState]) -> None:
    for state in states:
        if state.dropped:
            connection.execute(delete(VALUES).where(VALUES.c.run_id == state.row.run_id))
    values = [(state.row.run_id, name, state.values[name]) for state in states for name in sorted(state.values)]
    insert_rows(connection, VALUES, values, replace=True)


def _store_runs(connection: Connection, states: list[RunState]) -> None:
    changed = [
        (str(state.status), state.ended, state.head, state.count, state.summary, state.row.run_id)
        for state in states
        if (state.count, state.status) != (state.row.count, state.row.status) or state.summary_changed
    ]
    update_runs(connection, RUNS, _MOVED, changed)


def _seal(connection: Connection, states: list[RunState]) -> None:
    _take_turn(connection)
    last = connection.execute(select(SEALS.c.n, SEALS.c.hash).order_by(SEALS.c.n.desc()).limit(1)).first()
    n, prev = (0, GENESIS) if last is None else (last.n, last.hash)
    rows: list[dict[str, Any]] = []
    for state in states:
        n, run_id = n + 1, state.row.run_id
        digest = seal_link(prev, n, run_id, state.head)
        rows.append({"n": n, "run_id": run_id, "head": state.head, "prev": prev, "hash": digest})
        prev = digest
    connection.execute(insert(SEALS), rows)


def _take_turn(connection: Connection) -> None:
    """One process at a time numbers what is numbered over all runs (in SQLite every transaction has the turn)."""
    connection.execute(select(META.c.value).where(META.c.name == "turn").with_for_update())


def _upsert(connection: Connection, table: Table) -> PostgresInsert | SqliteInsert:
    return postgres_insert(table) if connection.dialect.name == "postgresql" else sqlite_insert(table)
