"""`RunHistory`: a run read from its records: events, rows of the timeline, failures with answers, escalations."""

import gc
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, fields, replace
from threading import Lock
from typing import Final

from orchestrator.core.decision import Decision
from orchestrator.core.enums import IMPASSE_KINDS
from orchestrator.core.events import CallEnded, CallStarted, Decided, Event, RunStarted
from orchestrator.core.failure import Failure
from orchestrator.engine.fold import apply
from orchestrator.engine.state import RunState
from orchestrator.graph.revision import GraphRevision
from orchestrator.observability.explain.model import AnsweringDecision, EntryKind, ExplainedEscalation
from orchestrator.observability.explain.sentences import EventDescriber
from orchestrator.observability.explain.story import answers_of
from orchestrator.store.ledger.encoding import CLOSED, readable_event
from orchestrator.store.ledger.verify import Verification, check_chain
from orchestrator.store.protocol import Store
from orchestrator.store.rows import Record, RunRow

MOST_VERIFIED: Final = 5000
"""Number of records that are verified when a page is built; more are verified on request."""
BETWEEN: Final = 2000
"""Events between two checkpoints."""
KEPT: Final = 4
"""Number of cached histories, so that stepping through a run reads it once."""


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One line of the timeline: a call with its bar, a decision, or something else that happened."""

    record: int
    kind: str
    """`call`, or a kind of entry: `decision`, `person`, `signal` ..."""
    at: float
    """Seconds since the run began."""
    until: float | None = None
    """For a call, when it ended; `None` while it is in progress."""
    text: str = ""
    tool: str = ""
    attempt: int = 1
    state: str = ""
    """For a call: `ok`, `failed`, `cancelled`, `asked` or `running`."""
    cost: float = 0.0
    decision: str = ""
    decided: str = ""
    failure: Failure | None = None


@dataclass(frozen=True)
class RunHistory:
    """The history of a run."""

    row: RunRow
    events: tuple[tuple[int, Event], ...]
    """Record numbers and events."""
    rows: tuple[TimelineRow, ...]
    decisions: tuple[tuple[int, Decision], ...]
    """Indices in `events`, and the decisions."""
    answers: dict[str, AnsweringDecision]
    escalations: tuple[ExplainedEscalation, ...]
    inputs: tuple[str, ...]
    state: RunState
    """The current or final state of the run."""
    checkpoints: tuple[tuple[int, RunState], ...]
    """States before some of the events, so that a decision late in a long run does not fold all events."""
    damaged: int
    """Records that could not be read."""
    verification: Verification | None = None
    """The verification of these records; `None` for a long run, which is verified on request."""

    @property
    def ending(self) -> str:
        """Why the run reached no goal, from its last decision; empty if unknown."""
        last = self.decisions[-1][1] if self.decisions else None
        return last.reason if last is not None and last.kind in IMPASSE_KINDS else ""

    def position(self, decision: str) -> int | None:
        """The index of a decision among the decisions."""
        return next((n for n, (_, each) in enumerate(self.decisions) if each.id == decision), None)

    def state_before(self, position: int) -> RunState:
        """The state before a decision: the fold of the events before it."""
        end = self.decisions[position][0]
        start, kept = max((each for each in self.checkpoints if each[0] <= end), key=lambda each: each[0])
        state = _copied(kept)
        for _, event in self.events[start:end]:
            apply(state, event)
        return state


class Library:
    """RunHistories by run; one is read again when its run has more records."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, int, str], RunHistory] = OrderedDict()
        self._lock = Lock()

    def history(self, row: RunRow) -> RunHistory:
        """The current history of a run."""
        key = (row.run_id, row.count, row.head)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return replace(found, row=row)
        with _not_collecting():
            made = self._read(row)
        self._keep(key, made)
        return made

    def _read(self, row: RunRow) -> RunHistory:
        records = self._store.records(row.run_id)
        if not row.status.ended and len(records) > row.count:  # it continued meanwhile
            records = records[: row.count]
        made = read_history(row, records)
        if row.count <= MOST_VERIFIED:
            made = replace(made, verification=verified(row, records, self._store))
        return made

    def verification(self, row: RunRow) -> Verification:
        """Verify the record of a run of any length."""
        found = self.history(row)
        if found.verification is not None:
            return found.verification
        made = verified(row, self._store.records(row.run_id), self._store)
        self._keep((row.run_id, row.count, row.head), replace(found, verification=made))
        return made

    def _keep(self, key: tuple[str, int, str], made: RunHistory) -> None:
        with self._lock:
            self._kept[key] = made
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)


@contextmanager
def _not_collecting() -> Generator[None]:
    """Disable garbage collection while many long-lived objects are created: it would take half of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def verified(row: RunRow, records: Sequence[Record], store: Store) -> Verification:
    """Verify that these records are complete and unchanged, and that their graphs have the recorded digests."""
    problems = check_chain(records, row)
    digests = {digest for record in records if isinstance(digest := record.body.get("graph"), str) and digest}
    problems += [f"the graph {digest[:12]!r} {wrong}" for digest in sorted(digests) if (wrong := _wrong(store, digest))]
    return Verification(row.run_id, tuple(problems), row.head, row.count)


def _wrong(store: Store, digest: str) -> str:
    data = store.graph(digest)
    if data is None:
        return "is missing"
    try:
        return "" if GraphRevision.from_json(data).digest == digest else "was changed"
    except (AttributeError, KeyError, TypeError, ValueError):
        return "was changed"


def read_history(row: RunRow, records: Sequence[Record]) -> RunHistory:
    """The history from a run's records; unreadable records are counted and left out."""
    known = [(record.seq, readable_event(record)) for record in records if record.kind != CLOSED]
    events = tuple((seq, event) for seq, event in known if event is not None)
    state, describer = RunState(row.run_id), EventDescriber()
    decisions: list[tuple[int, Decision]] = []
    inputs: tuple[str, ...] = ()
    checkpoints: list[tuple[int, RunState]] = []
    for index, (seq, event) in enumerate(events):
        if index % BETWEEN == 0:
            checkpoints.append((index, _copied(state)))
        apply(state, event)
        if not isinstance(event, CallStarted | CallEnded):  # calls have their own rows
            describer.take(seq, event, state)
        if isinstance(event, Decided):
            decisions.append((index, event.decision))
        elif isinstance(event, RunStarted):
            inputs = event.inputs
    return RunHistory(
        row=row,
        events=events,
        rows=_rows(events, describer, state.started_at),
        decisions=tuple(decisions),
        answers=answers_of(state.decisions),
        escalations=tuple(describer.escalations),
        inputs=inputs,
        state=state,
        checkpoints=tuple(checkpoints),
        damaged=len(known) - len(events),
    )


def _copied(state: RunState) -> RunState:
    """A copy of the state with its own containers, whose elements are immutable."""
    made = copy(state)
    for each in fields(state):
        value = getattr(state, each.name)
        if isinstance(value, dict | list | set):
            setattr(made, each.name, copy(value))  # pyright: ignore[reportUnknownArgumentType]
    return made


def _rows(events: Sequence[tuple[int, Event]], describer: EventDescriber, began: float) -> tuple[TimelineRow, ...]:
    rows: list[TimelineRow] = []
    calls: dict[tuple[str, int], int] = {}
    """Calls in flight -> their row."""
    for seq, event in events:
        if isinstance(event, CallStarted):
            calls[event.call_id, event.attempt] = len(rows)
            rows.append(
                TimelineRow(
                    seq, "call", max(0.0, event.at - began), None, "", event.tool, event.attempt, state="running"
                )
            )
        elif isinstance(event, CallEnded):
            place = calls.pop((event.call_id, event.attempt), None)
            if place is not None:
                rows[place] = _ended(rows[place], event, began)
    rows += [
        TimelineRow(
            e.record,
            str(e.kind),
            e.at,
            None,
            e.text,
            e.tool or "",
            decision=e.decision or "",
            decided=str(e.decided or ""),
        )
        for e in describer.entries
        if e.kind not in (EntryKind.CALL, EntryKind.FAILURE)
    ]
    return tuple(sorted(rows, key=lambda row: row.record))


def _ended(row: TimelineRow, event: CallEnded, began: float) -> TimelineRow:
    state = "cancelled" if event.cancelled else "asked" if event.asked else "ok" if event.ok else "failed"
    until = max(row.at, event.at - began)
    return replace(row, until=until, state=state, cost=event.cost, failure=event.failure)
