"""Ownership, queue and accounts of a store in memory: for programs of one process, and for tests."""

import marshal
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from typing_extensions import override

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError
from orchestrator.core.process.forks import new_rlock, renew_after_fork
from orchestrator.store.ledger.encoding import CLOSED, LOG, decode_body, encode_body, report_problem
from orchestrator.store.ledger.writes import LedgerState, closing_text, fresh_row

from .fairness import QueuedRun, TenantTurns, most_now, room
from .owner import owner_died
from .protocol import OnProblem
from .rows import TENANT, ClaimedRun, RunRow, Share, Swept
from .unclaimed import ANY_WORKER, NOTE_SECONDS, UnclaimedRuns, note_of

_DAY = 86_400


@dataclass(slots=True)
class MemoryLedger(LedgerState):
    """A run in memory. Its records are encoded and chained when something reads them: most are never read."""

    unread: list[tuple[str, float, bytes | str]] = field(default_factory=list[tuple[str, float, bytes | str]])
    """Kind, time and body of the records that are not in the chain yet. A body is its text, or marshalled plain data:
    an immutable object, made in a tenth of the time.
    """
    report: OnProblem = LOG.warning

    @override
    def add(self, kind: str, at: float, text: str) -> None:
        """Add a record."""
        self.count += 1
        self.unread.append((kind, at, text))

    @override
    def close(self, at: float) -> None:
        """Add the closing record, whose text is made when it is read: nothing of the row changes after the end."""
        self.ended = at
        self.add(CLOSED, at, "")
        self.sealed = True

    @override
    def now(self) -> RunRow:
        """The row as it is now, with the head of the chain."""
        self.chain()
        return LedgerState.now(self)

    def chain(self) -> None:
        """Encode the records that were added, and give them their places in the chain."""
        unread, self.unread = self.unread, []
        for kind, at, body in unread:
            seq = len(self.records) + 1
            text = body if isinstance(body, str) else self._encoded(kind, marshal.loads(body))
            self.link(seq, kind, at, closing_text(self, seq) if kind == CLOSED else text)

    def _encoded(self, kind: str, body: Mapping[str, Any]) -> str:
        text, problem = encode_body(body)
        if problem:
            report_problem(self.report, f"record {kind!r} of run {self.row.run_id!r}: {problem}")
        return text


class MemoryOwnership:
    """The runs of a store, their owners, and the leases of owners."""

    def __init__(self, now: Callable[[], float], report: OnProblem = LOG.warning) -> None:
        self.lock = new_rlock()
        self.now = now
        self.report = report
        self.runs: dict[str, MemoryLedger] = {}
        self.owners: dict[str, str] = {}
        """Run -> its owner."""
        self.doubtful: dict[str, int] = {}
        """Run -> token of the last takeover from an owner that was not proven dead."""
        self._expires: dict[str, float] = {}
        """Owner -> end of its lease."""
        self._of_parent: frozenset[str] = frozenset()
        """Runs that had not ended when this process was forked: its parent continues with them."""
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: runs that have not ended are the parent's alone, and this is only a copy of them."""
        unended = frozenset(run_id for run_id, state in self.runs.items() if not state.status.ended)
        self._of_parent |= unended
        for run_id in unended:
            del self.runs[run_id]
        self.owners.clear()
        self._expires.clear()

    def check_here(self, run_id: str) -> None:
        """Raises `InputError` for a run that only the process has that this one was forked from."""
        if run_id in self._of_parent:
            raise InputError(
                f"The run {run_id!r} is in the memory of the process that this one was forked from, which continues "
                "with it. Ask for it there, or keep runs in a store that processes share (`store=`)."
            )

    def enter(self, row: RunRow, token: int = 0) -> None:
        """Add a run."""
        state = self.runs[row.run_id] = MemoryLedger.of(fresh_row(row), token)
        state.report = self.report

    def claim(self, run_id: str, owner: str, ttl: float) -> int | None:
        """The next token of a run, unless another owner holds it."""
        with self.lock:
            state, held = self.runs.get(run_id), self.owners.get(run_id, "")
            if state is None or state.status.ended or (held != owner and self.holds(held)):
                return None
            state.token += 1
            if held not in ("", owner) and not owner_died(held):
                self.doubtful[run_id] = state.token
            self.own(run_id, owner, ttl)
            return state.token

    def holds(self, owner: str) -> bool:
        """Whether an owner keeps its runs."""
        return bool(owner) and not owner_died(owner) and self._expires.get(owner, -math.inf) > self.now()

    def own(self, run_id: str, owner: str, ttl: float) -> None:
        """Note the owner of a run and its lease."""
        if owner:
            self.owners[run_id] = owner
            self._extend(owner, ttl)

    def renew(self, owner: str, ttl: float, tokens: Mapping[str, int]) -> frozenset[str]:
        """Renew the owner's lease; the runs it has lost."""
        with self.lock:
            self._extend(owner, ttl)
            return frozenset(
                run_id
                for run_id, token in tokens.items()
                if self.owners.get(run_id) != owner or self.runs[run_id].token != token
            )

    def owned(self, owner: str) -> dict[str, int]:
        """The tokens of the owner's runs."""
        with self.lock:
            return {run_id: self.runs[run_id].token for run_id, held in self.owners.items() if held == owner}

    def release(self, run_id: str, token: int) -> None:
        """Give the run back."""
        with self.lock:
            if run_id in self.runs and self.runs[run_id].token == token:
                self.owners.pop(run_id, None)

    def _extend(self, owner: str, ttl: float) -> None:
        self._expires[owner] = max(self._expires.get(owner, -math.inf), self.now() + ttl)


@dataclass
class _Entry:
    """A run's place in the queue."""

    priority: int
    wake: float | None
    request: str | None = None
    answer: str | None = None
    attempts: int = 0


class MemoryQueue:
    """`RunQueue` in memory."""

    def __init__(self, ownership: MemoryOwnership) -> None:
        self._of = ownership
        self._entries: dict[str, _Entry] = {}
        self._cancelled: set[str] = set()
        self._turns = TenantTurns()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: the queue is the parent's."""
        self._entries.clear()
        self._cancelled.clear()

    def submit(self, row: RunRow, request: str, *, delay: float = 0.0, priority: int = 0) -> RunRow | None:
        """Create a queued run, or return the one that exists."""
        self._of.check_here(row.run_id)
        with self._of.lock:
            if row.run_id in self._of.runs:
                return self._of.runs[row.run_id].now()
            wake = row.wake if row.wake is not None else self._of.now() + delay
            self._of.enter(replace(row, status=Status.QUEUED, wake=wake))
            self._entries[row.run_id] = _Entry(priority, wake, request)
            return None

    def take(
        self,
        owner: str,
        ttl: float,
        most: int,
        limits: Mapping[str, int] | None = None,
        unclaimed: UnclaimedRuns | None = None,
    ) -> list[ClaimedRun]:
        """Own up to `most` queued runs."""
        with self._of.lock:
            limits, busy = limits or {}, self._busy()
            ready = self._ready() if unclaimed is None else self._served(unclaimed)
            chosen = self._turns.choose(ready, most_now(most, limits, busy), room(limits, busy))
            found = (self._own(run_id, owner, ttl) for run_id in chosen)
            return [taken for taken in found if taken is not None]

    def take_one(self, run_id: str, owner: str, ttl: float) -> ClaimedRun | None:
        """Own this queued run, whether it is due or was set aside."""
        with self._of.lock:
            queued = run_id in self._entries and self._of.runs[run_id].status is Status.QUEUED
            return self._own(run_id, owner, ttl) if queued else None

    def _own(self, run_id: str, owner: str, ttl: float) -> ClaimedRun | None:
        token = self._of.claim(run_id, owner, ttl)
        if token is None:
            return None
        self._move(run_id, Status.RUNNING, None)
        entry = self._entries[run_id]
        state, cancel = self._of.runs[run_id], run_id in self._cancelled
        taken = ClaimedRun(run_id, token, entry.request, entry.answer, cancel, state.count, state.row.labels)
        entry.answer = None
        return taken

    def requeue(self, run_id: str, token: int, *, delay: float = 0.0, note: str = "") -> bool:
        """Give a run back to the queue."""
        with self._of.lock:
            state = self._of.runs.get(run_id)
            if state is None or state.token != token or state.status.ended:
                return False
            self._queue(run_id, self._of.now() + delay)
            if note:
                self._note(run_id, note)
            return True

    def _note(self, run_id: str, note: str) -> None:
        state = self._of.runs[run_id]
        state.summary = encode_body({**decode_body(state.summary), "left": note})[0]

    def answer(self, run_id: str, answer: str) -> bool:
        """Queue a waiting run with its answer."""
        with self._of.lock:
            state = self._of.runs.get(run_id)
            if state is None or state.status is not Status.WAITING or run_id in self._of.owners:
                return False
            self._queue(run_id, self._of.now())
            self._entries[run_id].answer, self._entries[run_id].attempts = answer, 0
            return True

    def cancel(self, run_id: str) -> bool:
        """Ask for the cancellation of a run."""
        with self._of.lock:
            state = self._of.runs.get(run_id)
            if state is None or state.status.ended:
                return False
            self._cancelled.add(run_id)
            if state.status is Status.WAITING and run_id not in self._of.owners:
                self._queue(run_id, self._of.now())
            return True

    def cancelled(self, owner: str) -> list[str]:
        """The owner's runs whose cancellation was asked for."""
        with self._of.lock:
            return sorted(run_id for run_id in self._cancelled if self._of.owners.get(run_id) == owner)

    def sweep(self, most_attempts: int, *, proven: bool = False) -> Swept:
        """Queue runs without a live owner, and runs that are due."""
        with self._of.lock:
            now, lost, due, aside = self._of.now(), list[str](), list[str](), list[str]()
            for run_id, state in sorted(self._of.runs.items()):
                owner = self._of.owners.get(run_id, "")
                gone = owner_died(owner) if proven and owner else not self._of.holds(owner)
                started = state.count > 0 or run_id in self._entries
                if state.row.parent is not None:
                    continue
                if state.status is Status.RUNNING and started and gone:
                    self._queue(run_id, now)
                    entry = self._entries[run_id]
                    entry.attempts += 1 if owner else 0
                    if entry.attempts >= most_attempts:
                        entry.wake = state.wake = None
                        aside.append(run_id)
                    if owner and not owner_died(owner):
                        self._of.doubtful[run_id] = state.token + 1
                    lost.append(run_id)
                elif state.status is Status.WAITING and owner and gone:
                    self._of.owners.pop(run_id)  # it can be answered, or is due, as if it was released
                elif state.status is Status.WAITING and not owner and state.wake is not None and state.wake <= now:
                    self._queue(run_id, now)
                    due.append(run_id)
            return Swept(tuple(lost), tuple(due), tuple(aside))

    def abandoned(self) -> list[str]:
        """Runs that have begun and that no process executes."""
        with self._of.lock:
            return sorted(
                run_id
                for run_id, state in self._of.runs.items()
                if state.status in (Status.RUNNING, Status.QUEUED)
                and state.row.parent is None
                and state.count
                and not self._of.holds(self._of.owners.get(run_id, ""))
            )

    def retry(self, run_id: str) -> bool:
        """Queue again a run that was set aside."""
        with self._of.lock:
            entry = self._entries.get(run_id)
            if entry is None or entry.wake is not None or self._of.runs[run_id].status is not Status.QUEUED:
                return False
            entry.attempts = 0
            self._queue(run_id, self._of.now())
            return True

    def next_due(self, unclaimed: UnclaimedRuns | None = None) -> float | None:
        """Seconds until the next queued run may start."""
        with self._of.lock:
            goals, tried = (unclaimed.goals, unclaimed.run_ids) if unclaimed is not None else ([], [])
            queued = (
                state.wake
                for run_id, state in self._of.runs.items()
                if state.status is Status.QUEUED
                and run_id not in tried
                and (state.row.goal not in goals or self._is_anyones(state))
            )
            soonest = min((wake for wake in queued if wake is not None), default=None)
            return None if soonest is None else max(0.0, soonest - self._of.now())

    def ended(self, run_id: str) -> None:
        """Drop a run that has ended."""
        self._entries.pop(run_id, None)
        self._cancelled.discard(run_id)

    def _ready(self) -> list[QueuedRun]:
        now = self._of.now()
        ready = [
            (-entry.priority, entry.wake, run_id)
            for run_id, entry in self._entries.items()
            if entry.wake is not None and entry.wake <= now and self._of.runs[run_id].status is Status.QUEUED
        ]
        return [self._queued(run_id, -priority, wake) for priority, wake, run_id in sorted(ready)]

    def _queued(self, run_id: str, priority: int, wake: float) -> QueuedRun:
        state = self._of.runs[run_id]
        return QueuedRun(run_id, self._tenant(run_id), priority, state.row.goal, self._is_anyones(state), wake)

    def _is_anyones(self, state: MemoryLedger) -> bool:
        """Whether every worker reads the run, whatever its goal."""
        return state.count > 0 or f'"{ANY_WORKER}":' in state.summary

    def _served(self, unclaimed: UnclaimedRuns) -> list[QueuedRun]:
        """The runs that a worker may claim; those that it leaves to others have a note of that after a moment."""
        tried, now = set(unclaimed.run_ids), self._of.now()
        served, left = unclaimed.split(run for run in self._ready() if run.run_id not in tried)
        for run in left:
            if run.wake <= now - NOTE_SECONDS and '"left"' not in self._of.runs[run.run_id].summary:
                self._note(run.run_id, note_of(run.goal))
        return served

    def _busy(self) -> dict[str, int]:
        busy: dict[str, int] = {}
        for run_id, state in self._of.runs.items():
            if state.status is Status.RUNNING and state.row.parent is None:
                busy[self._tenant(run_id)] = busy.get(self._tenant(run_id), 0) + 1
        return busy

    def _tenant(self, run_id: str) -> str:
        return self._of.runs[run_id].row.labels.get(TENANT, "")

    def _queue(self, run_id: str, wake: float) -> None:
        self._entries.setdefault(run_id, _Entry(0, wake)).wake = wake
        self._of.owners.pop(run_id, None)
        self._move(run_id, Status.QUEUED, wake)

    def _move(self, run_id: str, status: Status, wake: float | None) -> None:
        self._of.runs[run_id].status, self._of.runs[run_id].wake = status, wake


class MemoryAccounts:
    """`Accounts` in memory."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = new_rlock()
        self._spent: dict[tuple[str, int], float] = {}
        self._shares: dict[tuple[str, int, str], tuple[float, float]] = {}

    def lease(self, label: str, limit: float, wanted: float, owner: str, ttl: float) -> Share:
        """Reserve up to `wanted` dollars of what is left today."""
        with self._lock:
            now = self._now()
            day = int(now // _DAY)
            self._shares = {key: share for key, share in self._shares.items() if share[1] > now}
            leased = sum(usd for key, (usd, _) in self._shares.items() if key[:2] == (label, day))
            granted = max(0.0, min(wanted, limit - self._spent.get((label, day), 0.0) - leased))
            held, _ = self._shares.get((label, day, owner), (0.0, 0.0))
            self._shares[label, day, owner] = (held + granted, now + ttl)
            return Share(label, day, granted, now + ttl)

    def settle(self, share: Share, owner: str, spent: float, returned: float) -> None:
        """Book what was spent, give back what was not."""
        with self._lock:
            key = (share.label, share.day, owner)
            if key in self._shares:
                held, expires = self._shares[key]
                self._shares[key] = (max(0.0, held - spent - returned), expires)
            self._spent[key[:2]] = self._spent.get(key[:2], 0.0) + spent

    def spent(self, label: str) -> float:
        """What was booked today."""
        with self._lock:
            return self._spent.get((label, int(self._now() // _DAY)), 0.0)
