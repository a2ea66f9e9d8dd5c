"""Applies writes to a run: pure, the same for every store. It assigns numbers and hashes and guards the states."""

import json
import math
from dataclasses import dataclass, field, replace
from typing import Final, Self

from orchestrator.core.enums import Status
from orchestrator.core.errors import StoreError
from orchestrator.store.rows import RunRow

from .chain import GENESIS, canonical_text, link_text, row_digest
from .encoding import CLOSED, encode_body, finite_time, plain_text

_LONGEST_ID: Final = 600


@dataclass(slots=True)
class Append:
    """A record to be added; `text` is its body, as `encoding.encode` gives it."""

    run_id: str
    token: int | None
    kind: str
    at: float
    text: str


@dataclass(slots=True)
class PutValue:
    """A value to be kept, as JSON text."""

    run_id: str
    token: int | None
    name: str
    text: str


@dataclass(slots=True)
class DropValues:
    """All values of a run to be deleted."""

    run_id: str
    token: int | None


@dataclass(slots=True)
class SetStatus:
    """A run's next state; `summary` is text of `encoding.encode`, `None` leaves the one there is."""

    run_id: str
    token: int | None
    status: Status
    ended: float | None
    summary: str | None
    wake: float | None = None


Write = Append | PutValue | DropValues | SetStatus


@dataclass(slots=True)
class StoredRecord:
    """A record as it is stored: the body as canonical text."""

    seq: int
    kind: str
    at: float
    text: str
    prev: str
    hash: str


@dataclass(slots=True)
class LedgerState:
    """A run while writes are applied: its row and fencing `token`, and the new data."""

    row: RunRow
    token: int
    head: str
    count: int
    status: Status
    ended: float | None
    summary: str
    records: list[StoredRecord] = field(default_factory=list[StoredRecord])
    values: dict[str, str] = field(default_factory=dict[str, str])
    wake: float | None = None
    summary_changed: bool = False
    dropped: bool = False
    sealed: bool = False

    @classmethod
    def of(cls, row: RunRow, token: int = 0) -> Self:
        """The state of a row, with nothing new."""
        return cls(
            row,
            token,
            row.head,
            row.count,
            row.status,
            row.ended,
            canonical_text(row.summary) if row.summary else "{}",
            wake=row.wake,
        )

    def add(self, kind: str, at: float, text: str) -> None:
        """Add a record to a run that accepts it; `text` is its body, as `encoding.encode_body` returns it."""
        self.count += 1
        self.link(self.count, kind, at, text)

    def close(self, at: float) -> None:
        """Add the closing record."""
        self.ended = at
        self.add(CLOSED, at, closing_text(self, self.count + 1))
        self.sealed = True

    def link(self, seq: int, kind: str, at: float, text: str) -> None:
        """Append a record to the chain of hashes."""
        prev = self.head
        self.head = link_text(prev, self.row.run_id, seq, kind, at, text)
        self.records.append(StoredRecord(seq, kind, at, text, prev, self.head))

    def now(self) -> RunRow:
        """The row as it is now."""
        return replace(
            self.row,
            head=self.head,
            count=self.count,
            status=self.status,
            ended=self.ended,
            summary=json.loads(self.summary),
            wake=self.wake,
        )


@dataclass(frozen=True)
class RefusedWrite:
    """A write that was not made, with the reason; `lost`: its run must not rely on it.

    `fenced`: the token was not the run's, so another owner has it.
    """

    run_id: str
    token: int | None
    problem: str
    lost: bool
    fenced: bool = False


def apply(state: LedgerState | None, write: Write) -> RefusedWrite | None:
    """Fold one write into its run; returns the refusal when it must not be made."""
    if state is None:
        return RefusedWrite(write.run_id, write.token, f"run {write.run_id!r} was never begun in this store", lost=True)
    if write.token is not None and write.token != state.token:
        problem = f"run {write.run_id!r} is owned by another worker now (token {state.token}, not {write.token})"
        return RefusedWrite(write.run_id, write.token, problem, lost=True, fenced=True)
    match write:
        case Append():
            return _append(state, write)
        case PutValue():
            return _put_value(state, write)
        case DropValues():
            state.values.clear()
            state.dropped = True
        case SetStatus():
            return _set_status(state, write)
    return None


def _put_value(state: LedgerState, write: PutValue) -> RefusedWrite | None:
    if plain_text(write.text) != write.text:
        problem = f"run {write.run_id!r}: the value of {write.name!r} is no text that a database can hold"
        return RefusedWrite(write.run_id, write.token, problem, lost=True)
    state.values[plain_text(write.name)] = write.text
    return None


def _append(state: LedgerState, write: Append) -> RefusedWrite | None:
    if state.status.ended:
        problem = f"run {write.run_id!r} is closed ({state.status}); its record {write.kind!r} was not added"
        return RefusedWrite(write.run_id, write.token, problem, lost=False)
    if write.kind == CLOSED:
        problem = f"run {write.run_id!r}: the record {CLOSED!r} is added by the store when the run ends, not by hand"
        return RefusedWrite(write.run_id, write.token, problem, lost=False)
    state.add(plain_text(write.kind), write.at, write.text)
    return None


def _set_status(state: LedgerState, write: SetStatus) -> RefusedWrite | None:
    if state.status.ended:
        if write.status is state.status:
            return None
        problem = f"run {write.run_id!r} ended as {state.status}, which never changes; {write.status} was not set"
        return RefusedWrite(write.run_id, write.token, problem, lost=False)
    state.status = write.status
    state.wake = write.wake if write.status is Status.WAITING else None
    if write.summary is not None:
        state.summary, state.summary_changed = write.summary, True
    if write.status.ended:
        state.close(state.row.started if write.ended is None else write.ended)
    return None


def fresh_row(row: RunRow) -> RunRow:
    """The row of a run that begins: an empty ledger, and text that any database can hold.

    Raises:
        StoreError: the run's id cannot be used.
    """
    texts = "".join(
        (row.run_id, row.parent or "", row.goal, row.policy, row.trace_id, *row.labels, *row.labels.values())
    )
    if 0 < len(row.run_id) <= _LONGEST_ID and texts.isascii() and "\0" not in texts and not row.summary:
        started = row.started if math.isfinite(row.started) else 0.0
        return replace(row, started=started, head=GENESIS, count=0, ended=None, attempts=0)
    if not 0 < len(row.run_id) <= _LONGEST_ID or plain_text(row.run_id) != row.run_id:
        raise StoreError(f"{row.run_id[:50]!r} cannot be a run's id: give 1 to {_LONGEST_ID} characters of plain text")
    return replace(
        row,
        parent=None if row.parent is None else plain_text(row.parent),
        goal=plain_text(row.goal),
        policy=plain_text(row.policy),
        trace_id=plain_text(row.trace_id),
        started=finite_time(row.started),
        summary=json.loads(encode_body(row.summary)[0]),
        head=GENESIS,
        count=0,
        ended=None,
        labels={plain_text(name): plain_text(value) for name, value in sorted(row.labels.items())},
        attempts=0,
    )


def closing_text(state: LedgerState, count: int) -> str:
    """The body of the closing record: how many records there are, itself counted, how the run ended, and the digest of
    its row.
    """
    return canonical_text({"count": count, "status": str(state.status), "row": row_digest(LedgerState.now(state))})
