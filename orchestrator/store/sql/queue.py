"""The queue of runs in a database: a run is claimed by one `UPDATE … RETURNING` on its row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Update, and_, case, delete, func, or_, select, update
from sqlalchemy.engine import Connection

from orchestrator.core.enums import Status
from orchestrator.store.fairness import TenantTurns, most_now, room
from orchestrator.store.ledger.encoding import decode_body, encode_body
from orchestrator.store.ledger.writes import fresh_row
from orchestrator.store.owner import owner_died
from orchestrator.store.rows import SLOT, ClaimedRun, RunRow, Swept
from orchestrator.store.transport.protocol import QueueTransport
from orchestrator.store.unclaimed import UnclaimedRuns

from .accounts import Ask
from .candidates import busy_tenants, next_wake
from .ownership import holds, renew_owner
from .served import not_read, served_runs
from .tables import LEASES, OWNERS, REQUESTS, RUNS, Now, take_turn, upsert
from .writes import create_run

_OWNER_KEPT_SECONDS: Final = 86_400.0
"""Seconds for which the row of an owner is kept after its lease has ended."""
_READY: Final = RUNS.c.status == str(Status.QUEUED)
_RUNNING: Final = RUNS.c.status == str(Status.RUNNING)
_WAITING: Final = RUNS.c.status == str(Status.WAITING)
_ROOT: Final = RUNS.c.parent.is_(None)
_CLAIMED: Final = (RUNS.c.run_id, RUNS.c.token, RUNS.c.cancel, RUNS.c.length, RUNS.c.labels)


class SqlQueue:
    """`RunQueue` over the table of runs."""

    def __init__(self, ask: Ask, now: Now, signal: Callable[[], None], transport: QueueTransport | None = None) -> None:
        """`signal` notifies other processes that a run became runnable; with a `transport` jobs do."""
        self._ask = ask
        self._now = now
        self._signal = signal
        self._transport = transport
        self._turns = TenantTurns()

    def submit(self, row: RunRow, request: str, *, delay: float = 0.0, priority: int = 0) -> RunRow | None:
        """Create a queued run, or return the one that exists."""
        fresh = fresh_row(row)
        existing: RunRow | None = self._ask(
            lambda connection: self._submit(connection, fresh, request, delay, priority)
        )
        if existing is None:
            self._signal_runnable()
        return existing

    def take(
        self,
        owner: str,
        ttl: float,
        most: int,
        limits: Mapping[str, int] | None = None,
        unclaimed: UnclaimedRuns | None = None,
    ) -> list[ClaimedRun]:
        """Own up to `most` queued runs."""

        def work(connection: Connection) -> list[ClaimedRun]:
            chosen = self._choose(connection, most, limits or {}, unclaimed)
            return self._own(connection, chosen, owner, ttl) if chosen else []

        taken: list[ClaimedRun] = self._ask(work)
        return taken

    def take_one(self, run_id: str, owner: str, ttl: float) -> ClaimedRun | None:
        """Own this queued run, whether it is due or was set aside."""
        taken: list[ClaimedRun] = self._ask(lambda connection: self._own(connection, [run_id], owner, ttl))
        return taken[0] if taken else None

    def requeue(self, run_id: str, token: int, *, delay: float = 0.0, note: str = "") -> bool:
        """Give a run back to the queue."""
        mine = and_(RUNS.c.run_id == run_id, RUNS.c.token == token, RUNS.c.status.in_(("running", "waiting")))
        if note:
            self._ask(lambda connection: _note(connection, mine, note))
        return self._change(run_id, lambda now: update(RUNS).where(mine).values(**_queued(now + delay)), now=not delay)

    def answer(self, run_id: str, answer: str) -> bool:
        """Queue a waiting run with its answer."""
        done: bool = self._ask(lambda connection: self._answer(connection, run_id, answer))
        if done:
            self._signal_runnable()
        return done

    def cancel(self, run_id: str) -> bool:
        """Ask for the cancellation of a run; one that waits is queued, so that a worker ends it."""
        done: bool = self._ask(lambda connection: self._cancel(connection, run_id))
        if done:
            self._signal_runnable()
        return done

    def cancelled(self, owner: str) -> list[str]:
        """The owner's runs whose cancellation was asked for."""
        query = select(RUNS.c.run_id).where(RUNS.c.owner == owner, RUNS.c.cancel == 1).order_by(RUNS.c.run_id)
        found: list[str] = self._ask(lambda connection: list(connection.execute(query).scalars()))
        return found

    def sweep(self, most_attempts: int, *, proven: bool = False) -> Swept:
        """Queue what lost its owner and what is due."""
        swept: Swept = self._ask(lambda connection: self._sweep(connection, most_attempts, proven))
        if swept.lost or swept.due:
            self._signal_runnable()
        return swept

    def abandoned(self) -> list[str]:
        """Runs that have begun and that no process executes."""
        found: list[str] = self._ask(lambda connection: list(abandoned(connection, self._now(connection))))
        return found

    def retry(self, run_id: str) -> bool:
        """Queue again a run that was set aside."""
        aside = and_(RUNS.c.run_id == run_id, _READY, RUNS.c.wake.is_(None))
        return self._change(run_id, lambda now: update(RUNS).where(aside).values(wake=now, attempts=0))

    def next_due(self, unclaimed: UnclaimedRuns | None = None) -> float | None:
        """Seconds until the next queued run may start."""
        skipped = not_read(unclaimed)

        def look(connection: Connection) -> float | None:
            wake = next_wake(connection, skipped)
            return None if wake is None else max(0.0, wake - self._now(connection))

        found: float | None = self._ask(look)
        return found

    def _change(self, run_id: str, statement: Callable[[float], Update], *, now: bool = True) -> bool:
        """Queue one run; `now`: it may start at once."""

        def work(connection: Connection) -> bool:
            moved = connection.execute(statement(self._now(connection))).rowcount > 0
            if moved and now:
                self._send(connection, [run_id])
            return moved

        changed: bool = self._ask(work)
        if changed and now:
            self._signal_runnable()
        return changed

    def _send(self, connection: Connection, run_ids: Sequence[str]) -> None:
        """Insert jobs for runs that may start now, in the transaction that makes them runnable."""
        if self._transport is None or not run_ids:
            return
        try:
            self._transport.send(connection.connection.driver_connection, run_ids)
        except Exception as error:  # an engine's own class of exception: it is tried again as a lost connection is
            raise OSError(f"{self._transport.name} took no job: {type(error).__name__}: {error}") from error

    def _signal_runnable(self) -> None:
        if self._transport is None:
            self._signal()

    def _submit(self, connection: Connection, row: RunRow, request: str, delay: float, priority: int) -> RunRow | None:
        existing = create_run(connection, row)
        if existing is not None:
            return existing
        now = self._now(connection)
        wake = row.wake if row.wake is not None else now + delay
        queued = {"submitted": now, "wake": wake, "priority": priority, "status": str(Status.QUEUED)}
        connection.execute(update(RUNS).where(RUNS.c.run_id == row.run_id).values(**queued))
        connection.execute(REQUESTS.insert(), {"run_id": row.run_id, "request": request, "answer": None})
        if wake <= now:
            self._send(connection, [row.run_id])
        return None

    def _choose(
        self, connection: Connection, most: int, limits: Mapping[str, int], unclaimed: UnclaimedRuns | None
    ) -> list[str]:
        now = self._now(connection)
        if limits:
            take_turn(connection, "limits of tenants")
        busy: Mapping[str, int] = busy_tenants(connection) if limits else {}
        left = room(limits, busy)
        full = [tenant for tenant in {*limits, *busy} if left(tenant) <= 0]
        found = served_runs(connection, now, full, unclaimed)
        return self._turns.choose(found, most_now(most, limits, busy), left)

    def _own(self, connection: Connection, chosen: Sequence[str], owner: str, ttl: float) -> list[ClaimedRun]:
        """Own those of the chosen runs that are still queued."""
        renew_owner(connection, owner, self._now(connection) + ttl)
        queued = func.lower(RUNS.c.status) == str(Status.QUEUED)  # found by their ids, not by an index of the queue
        free = select(RUNS.c.run_id).where(RUNS.c.run_id.in_(chosen), queued).with_for_update(skip_locked=True)
        statement = update(RUNS).where(RUNS.c.run_id.in_(select(free.cte("free").c.run_id)))
        moved = statement.values(status=str(Status.RUNNING), owner=owner, token=RUNS.c.token + 1, wake=None)
        owned = connection.execute(moved.returning(*_CLAIMED)).all()
        rows = {row.run_id: row for row in owned}
        asked = {
            row.run_id: row
            for row in connection.execute(select(REQUESTS).where(REQUESTS.c.run_id.in_(sorted(rows)))).all()
        }
        return [_taken(rows[run_id], asked.get(run_id)) for run_id in chosen if run_id in rows]

    def _answer(self, connection: Connection, run_id: str, answer: str) -> bool:
        free = ["", *self._gone(connection, self._now(connection))]
        waiting = and_(RUNS.c.run_id == run_id, _WAITING, RUNS.c.owner.in_(free))
        moved = update(RUNS).where(waiting).values(**_queued(self._now(connection)), attempts=0)
        if not connection.execute(moved).rowcount:
            return False
        statement = upsert(connection, REQUESTS)
        replaced = {"answer": statement.excluded.answer}
        connection.execute(
            statement.on_conflict_do_update(index_elements=[REQUESTS.c.run_id], set_=replaced),
            {"run_id": run_id, "request": None, "answer": answer},
        )
        self._send(connection, [run_id])
        return True

    def _cancel(self, connection: Connection, run_id: str) -> bool:
        open_states = (str(Status.QUEUED), str(Status.RUNNING), str(Status.WAITING))
        mine = and_(RUNS.c.run_id == run_id, RUNS.c.status.in_(open_states))
        if not connection.execute(update(RUNS).where(mine).values(cancel=1)).rowcount:
            return False
        idle = and_(mine, RUNS.c.owner == "", RUNS.c.status == str(Status.WAITING))
        if connection.execute(update(RUNS).where(idle).values(**_queued(self._now(connection)))).rowcount:
            self._send(connection, [run_id])
        return True

    def _sweep(self, connection: Connection, most_attempts: int, proven: bool) -> Swept:
        now = self._now(connection)
        gone = self._gone(connection, now, proven=proven)
        doubt = case((RUNS.c.owner.in_([owner for owner in gone if not owner_died(owner)]), RUNS.c.token + 1))
        doubtful = func.coalesce(doubt, RUNS.c.doubtful)
        started = or_(RUNS.c.length > 0, RUNS.c.submitted.isnot(None))
        lost_of = and_(_RUNNING, _ROOT, started, RUNS.c.owner.in_([*gone, ""]))
        died = case((RUNS.c.owner == "", 0), else_=1)  # a run without an owner was released in its current state
        attempts = RUNS.c.attempts + died
        wake = case((attempts < most_attempts, now))
        changes = {**_queued(now), "wake": wake, "attempts": attempts, "doubtful": doubtful}
        moved = update(RUNS).where(lost_of).values(changes).returning(RUNS.c.run_id, RUNS.c.wake)
        found = sorted((row.run_id, row.wake is None) for row in connection.execute(moved))
        lost = tuple(run_id for run_id, _ in found)
        left_waiting = and_(_WAITING, _ROOT, RUNS.c.owner.in_(gone))
        connection.execute(update(RUNS).where(left_waiting).values({"owner": "", "doubtful": doubtful}))
        due_now = and_(_WAITING, RUNS.c.owner == "", _ROOT, RUNS.c.wake <= now)
        due = _ids(connection, update(RUNS).where(due_now).values(**_queued(now)))
        set_aside = tuple(run_id for run_id, aside in found if aside)
        self._send(connection, [*(run_id for run_id, aside in found if not aside), *due])
        _drop_slots(connection, now, proven=proven)
        connection.execute(delete(OWNERS).where(OWNERS.c.expires < now - _OWNER_KEPT_SECONDS))
        return Swept(lost, due, set_aside)

    def _gone(self, connection: Connection, now: float, *, proven: bool = False) -> list[str]:
        """Owners of open runs that have lost them."""
        owned = select(RUNS.c.owner).where(or_(_RUNNING, _WAITING), RUNS.c.owner != "").distinct()
        owners = connection.execute(owned).scalars().all()
        return [owner for owner in owners if _is_gone(connection, owner, now, proven=proven)]


def _is_gone(connection: Connection, owner: str, now: float, *, proven: bool) -> bool:
    """Whether an owner has lost its runs; `proven`: only if its process is known to be gone."""
    return owner_died(owner) if proven else not holds(connection, owner, now)


def abandoned(connection: Connection, now: float) -> tuple[str, ...]:
    """Runs (no children) with records, running or queued again, whose owner is gone."""
    begun = and_(or_(_RUNNING, _READY), _ROOT, RUNS.c.length > 0)
    rows = connection.execute(select(RUNS.c.run_id, RUNS.c.owner).where(begun).order_by(RUNS.c.run_id)).all()
    alive = {owner: holds(connection, owner, now) for owner in {row.owner for row in rows}}
    return tuple(row.run_id for row in rows if not alive[row.owner])


def _taken(row: Any, asked: Any) -> ClaimedRun:
    request, answer = (asked.request, asked.answer) if asked else (None, None)
    labels = {name: str(value) for name, value in decode_body(row.labels).items()}
    return ClaimedRun(row.run_id, row.token, request, answer, bool(row.cancel), row.length, labels)


def _drop_slots(connection: Connection, now: float, *, proven: bool) -> None:
    """Release the tool slots of processes that are gone."""
    is_slot = LEASES.c.name.startswith(SLOT, autoescape=True)
    owners = connection.execute(select(LEASES.c.owner).where(is_slot).distinct()).scalars().all()
    gone = [owner for owner in owners if _is_gone(connection, owner, now, proven=proven)]
    if gone:
        connection.execute(delete(LEASES).where(is_slot, LEASES.c.owner.in_(gone)))


def _note(connection: Connection, mine: ColumnElement[bool], note: str) -> None:
    """Note on a run's row why its worker left it."""
    found = connection.execute(select(RUNS.c.summary).where(mine).with_for_update()).scalar()
    if found is not None:
        summary = encode_body({**decode_body(found), "left": note})[0]
        connection.execute(update(RUNS).where(mine).values(summary=summary))


def _queued(wake: float) -> dict[str, Any]:
    return {"status": str(Status.QUEUED), "owner": "", "wake": wake}


def _ids(connection: Connection, statement: Update) -> tuple[str, ...]:
    return tuple(sorted(connection.execute(statement.returning(RUNS.c.run_id)).scalars()))
