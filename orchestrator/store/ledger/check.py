"""Checks the ledger of one run for consistency: pure, for a store or an export."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from orchestrator.store.rows import Record, RunRow

from .chain import GENESIS, link, row_digest
from .encoding import CLOSED

_FEW: Final = 64
"""Pairs of a broken record and a free number that are tried, to distinguish a moved record from a changed one."""


def check_chain(records: Sequence[Record], row: RunRow) -> list[str]:
    """The problems of a run's ledger, record by record; an empty list if there are none.

    `records` are in the order in which they are stored. Changed, missing, inserted, duplicated and moved records are
    named by number; a run that has ended must end in its closing record.
    """
    by_seq = {record.seq: record for record in records}
    return [
        *_numbers(records, row),
        *_contents(records, row),
        *_links(by_seq),
        *_end(by_seq, row),
    ]


def _numbers(records: Sequence[Record], row: RunRow) -> Iterator[str]:
    """Missing, extra, repeated and misplaced numbers, and records of other runs."""
    seen: set[int] = set()
    highest = 0
    for record in records:
        if record.run_id != row.run_id:
            yield f"record {record.seq} belongs to run {record.run_id!r}"
        if record.seq in seen:
            yield f"record {record.seq} is there twice"
        elif record.seq < highest:
            yield f"record {record.seq} is out of order: it comes after record {highest}"
        elif not 1 <= record.seq <= row.count:
            yield f"record {record.seq} was inserted: the run has {row.count} records"
        seen.add(record.seq)
        highest = max(highest, record.seq)
    yield from (f"record {seq} is missing" for seq in range(1, row.count + 1) if seq not in seen)


def _contents(records: Sequence[Record], row: RunRow) -> Iterator[str]:
    """Records whose hash does not match their contents and number."""
    broken = [record for record in records if not _hashes_to_itself(record, record.seq)]
    if not broken:
        return
    sound = {record.seq for record in records} - {record.seq for record in broken}
    free = [seq for seq in range(1, row.count + 1) if seq not in sound]
    few = len(broken) * len(free) <= _FEW
    for record in broken:
        home = next((seq for seq in free if few and _hashes_to_itself(record, seq)), None)
        yield f"record {record.seq} was " + ("changed" if home is None else f"moved: it was record {home}")


def _hashes_to_itself(record: Record, seq: int) -> bool:
    try:
        return link(record.prev, record.run_id, seq, record.kind, record.at, record.body) == record.hash
    except (TypeError, ValueError):
        return False


def _links(by_seq: Mapping[int, Record]) -> Iterator[str]:
    """Records whose previous hash is not that of the record before."""
    for seq in sorted(by_seq):
        before = by_seq.get(seq - 1)
        prev = GENESIS if seq == 1 else None if before is None else before.hash
        if prev is not None and by_seq[seq].prev != prev:
            other = "the beginning" if seq == 1 else f"record {seq - 1}"
            yield f"record {seq} does not follow {other}: one of them was replaced"


def _end(by_seq: Mapping[int, Record], row: RunRow) -> Iterator[str]:
    """The head, and the closing record of a run that has ended."""
    last = by_seq.get(row.count)
    if row.count == 0 and row.head != GENESIS:
        yield "the run has no records, and its head says that it had"
    if last is not None and last.hash != row.head:
        yield f"the head of the run is not that of record {row.count}"
    for seq in sorted(by_seq):
        if by_seq[seq].kind == CLOSED and seq != row.count:
            yield f"record {seq} closes the run, and record {row.count} comes after it"
    if last is not None and last.kind == CLOSED:
        yield from _closing(last, row)
    elif row.status.ended:
        yield f"the run is {row.status}, and no closing record says so"


def _closing(record: Record, row: RunRow) -> Iterator[str]:
    if record.body.get("count") != record.seq:
        yield f"record {record.seq} closes a run of {record.body.get('count')} records"
    if record.body.get("status") != str(row.status):
        yield f"the run is {row.status}, and was closed as {record.body.get('status')}"
    elif record.body.get("row") != _digest(row):
        yield "the run's row was changed after it was closed: goal, policy, times, parent, trace id or summary"


def _digest(row: RunRow) -> str | None:
    try:
        return row_digest(row)
    except (TypeError, ValueError):
        return None
