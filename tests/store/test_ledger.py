"""The ledger: what its hashes are over, and that whatever is done to a record is found and named."""

import json
import random
import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.enums import Status
from orchestrator.errors import InputError
from orchestrator.graph.revision import GraphRevision, ToolSpec
from orchestrator.graph.tool import Tool
from orchestrator.store import MemoryStore, Record, RunRow, SqlStore
from orchestrator.store.ledger.chain import canonical_text
from orchestrator.store.ledger.encoding import decode_body
from orchestrator.store.ledger.verify import (
    GENESIS,
    canonical,
    check_chain,
    export,
    link,
    verify_export,
    verify_run,
    verify_store,
)
from tests.store.rows import body, ended_run, run_row

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def ledger(records: int = 199) -> tuple[list[Record], RunRow]:
    """A closed run of that many records and its closing record."""
    store = MemoryStore()
    ended_run(store, records=records)
    row = store.run("run-1")
    assert row is not None
    return store.records("run-1"), row


RECORDS, ROW = ledger()
BASE = check_chain(RECORDS, ROW)


# -------------------------------------------------------------------- hashes


def test_canonical_json_is_sorted_utf8_without_spaces() -> None:
    assert canonical({"b": [1, 2.5, None], "a": "é", "\u00e9": True}) == '{"a":"é","b":[1,2.5,null],"é":true}'.encode()
    assert canonical({"x": 1e16, "y": 0.1 + 0.2, "z": -0.0}) == b'{"x":1e+16,"y":0.30000000000000004,"z":-0.0}'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_has_not_are_rejected(number: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"x": number})


def test_a_link_is_the_sha256_of_the_one_before_and_all_a_record_says() -> None:
    text = '["p","run",7,"retry",1.5,{"a":1}]'
    assert link("p", "run", 7, "retry", 1.5, {"a": 1}) == sha256(text.encode()).hexdigest()


@given(JSON)
def test_canonical_json_reads_back_as_itself(thing: Any) -> None:
    assert canonical(json.loads(canonical(thing))) == canonical(thing)


# -------------------------------------------------------------------- a sound ledger


def test_a_sound_ledger_has_no_problems() -> None:
    assert len(RECORDS) == 200
    assert BASE == []
    assert RECORDS[0].prev == GENESIS
    assert RECORDS[-1].body["count"] == 200


def test_an_open_run_needs_no_closing_record() -> None:
    store = MemoryStore()
    store.begin(run_row())
    assert verify_run(store, "run-1").ok
    store.append("run-1", "x", {}, 1.0)
    assert verify_run(store, "run-1").ok


def test_an_unknown_run_is_one_clear_error() -> None:
    with pytest.raises(InputError, match="no run 'nope'"):
        verify_run(MemoryStore(), "nope")
    with pytest.raises(InputError, match="no run 'nope'"):
        next(export(MemoryStore(), "nope"))


# -------------------------------------------------------------------- every byte of every record


def flips(record: Record, bits: tuple[int, ...] = (0x01, 0x20)) -> Iterator[Record]:
    """The record with each byte of each of its columns flipped, as a store would read it back.

    Flipped by the first of the bits (by default the one that makes another character), in bodies also by the others
    (the one that changes the case of a letter).
    """
    for column in ("run_id", "kind", "prev", "hash"):
        for text in flipped_texts(getattr(record, column), bits[0]):
            change: dict[str, Any] = {column: text}
            yield replace(record, **change)
    for bit in bits:
        for text in flipped_texts(canonical_text(record.body), bit):
            yield replace(record, body=decode_body(text))
    for index in range(8):
        moment = bytearray(struct.pack("<d", record.at))
        moment[index] ^= bits[0]
        yield replace(record, at=struct.unpack("<d", moment)[0])
        yield replace(record, seq=record.seq ^ (bits[0] << 8 * index))


def flipped_texts(text: str, bit: int) -> Iterator[str]:
    """The text with each of its bytes flipped; what is no UTF-8 any more is read as the store reads it."""
    data = text.encode()
    for index in range(len(data)):
        yield (data[:index] + bytes([data[index] ^ bit]) + data[index + 1 :]).decode("utf-8", "surrogateescape")


def names(problems: list[str], seq: int) -> bool:
    """Whether a problem names the record."""
    return any(f"record {seq} " in problem or f"record {seq}:" in problem for problem in problems)


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(part, marks=pytest.mark.campaign) for part in range(2, 8))])
def test_every_flipped_byte_is_found_and_its_record_named(part: int) -> None:
    """One record and its neighbour at a time. In the first part whether a record was only moved is searched, too.

    That is tried for few free numbers only, and the other parts have so many.
    """
    count, free = 0, 100 if part else 0
    for index in range(25 * part, 25 * part + 25):
        record, after = RECORDS[index], RECORDS[index + 1 : index + 2]
        row = replace(ROW, count=max(free, index + 1 + len(after)))
        sound = set(check_chain([record, *after], row))
        for flipped in flips(record):
            window = sorted([flipped, *after], key=lambda each: each.seq)
            found = [problem for problem in check_chain(window, row) if problem not in sound]
            assert names(found, record.seq), flipped
            count += 1
    assert count > 10_000


def test_flipped_bytes_are_found_in_the_whole_ledger() -> None:
    draw = random.Random(7)
    for index in draw.sample(range(200), 40):
        for flipped in draw.sample(list(flips(RECORDS[index])), 5):
            records = sorted([*RECORDS[:index], flipped, *RECORDS[index + 1 :]], key=lambda each: each.seq)
            assert names(check_chain(records, ROW), RECORDS[index].seq), flipped


# -------------------------------------------------------------------- every record


def test_every_dropped_duplicated_or_swapped_record_is_found() -> None:
    for seq in range(1, 201):
        assert f"record {seq} is missing" in check_chain(RECORDS[: seq - 1] + RECORDS[seq:], ROW)
        assert f"record {seq} is there twice" in check_chain([*RECORDS[:seq], *RECORDS[seq - 1 :]], ROW)
        other = (seq + seq % 7) % 200 + 1
        swapped = list(RECORDS)
        swapped[seq - 1], swapped[other - 1] = RECORDS[other - 1], RECORDS[seq - 1]
        assert f"record {min(seq, other)} is out of order" in "\n".join(check_chain(swapped, ROW))


def test_all_records_that_exchange_their_numbers_are_found() -> None:
    for seq in range(1, 201):
        other = (seq + seq % 7) % 200 + 1
        swapped = list(RECORDS)
        swapped[seq - 1] = replace(RECORDS[other - 1], seq=seq)
        swapped[other - 1] = replace(RECORDS[seq - 1], seq=other)
        problems = check_chain(swapped, ROW)
        assert f"record {seq} was moved: it was record {other}" in problems
        assert f"record {other} was moved: it was record {seq}" in problems


def test_an_inserted_record_is_found_wherever_it_is() -> None:
    for index in range(0, 200, 20):
        before = RECORDS[index - 1].hash if index else GENESIS
        digest = link(before, "run-1", index + 1, "x", 1.0, {})
        forged = Record("run-1", index + 1, "x", 1.0, {}, before, digest)
        shifted = [replace(record, seq=record.seq + 1) for record in RECORDS[index:]]
        problems = check_chain([*RECORDS[:index], forged, *shifted], ROW)
        assert "record 201 was inserted: the run has 200 records" in problems
        assert names(problems, index + 2)


def test_a_record_of_another_run_is_found() -> None:
    problems = check_chain([*RECORDS[:5], replace(RECORDS[5], run_id="other"), *RECORDS[6:]], ROW)
    assert "record 6 belongs to run 'other'" in problems


@settings(max_examples=60)
@given(st.permutations(range(12)), st.integers(0, 12))
def test_any_other_order_or_length_is_found(order: list[int], length: int) -> None:
    records, row = ledger(11)
    given_records = [records[index] for index in order][:length]
    assert (check_chain(given_records, row) == []) == (given_records == records)


# -------------------------------------------------------------------- in full


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bit", range(8))
def test_every_bit_of_every_byte_of_every_record_is_found(bit: int) -> None:
    for index, record in enumerate(RECORDS):
        after = RECORDS[index + 1 : index + 2]
        row = replace(ROW, count=index + 1 + len(after))
        sound = set(check_chain([record, *after], row))
        for flipped in flips(record, (1 << bit,)):
            window = sorted([flipped, *after], key=lambda each: each.seq)
            assert names([problem for problem in check_chain(window, row) if problem not in sound], record.seq), flipped


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_any_two_records_that_exchange_their_places_are_found() -> None:
    for one, other in combinations(range(200), 2):
        swapped = list(RECORDS)
        swapped[one], swapped[other] = RECORDS[other], RECORDS[one]
        assert check_chain(swapped, ROW)
        swapped[one], swapped[other] = replace(RECORDS[other], seq=one + 1), replace(RECORDS[one], seq=other + 1)
        assert names(check_chain(swapped, ROW), one + 1)


# -------------------------------------------------------------------- what a forger does who can hash


def test_a_record_rewritten_with_its_hash_breaks_the_next() -> None:
    old = RECORDS[99]
    new = replace(old, body={"chosen": "mine"}, hash=link(old.prev, "run-1", 100, old.kind, old.at, {"chosen": "mine"}))
    problems = check_chain([*RECORDS[:99], new, *RECORDS[100:]], ROW)
    assert problems == ["record 101 does not follow record 100: one of them was replaced"]


def forged() -> tuple[list[Record], RunRow]:
    """The ledger with record 100 rewritten and all after it hashed anew, head and count in the row too."""
    records, prev = list(RECORDS[:99]), RECORDS[98].hash
    for record in RECORDS[99:]:
        content = {"chosen": "mine"} if record.seq == 100 else record.body
        digest = link(prev, "run-1", record.seq, record.kind, record.at, content)
        records.append(replace(record, body=content, prev=prev, hash=digest))
        prev = digest
    return records, replace(ROW, head=prev)


def test_a_tail_hashed_anew_has_another_head() -> None:
    records, row = forged()
    assert check_chain(records, ROW) == ["the head of the run is not that of record 200"]
    # The stated limit: with the row rewritten too, only a head kept elsewhere (or the seal) tells.
    assert check_chain(records, row) == []
    assert row.head != ROW.head


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"goal": "other"}, "the run's row was changed"),
        ({"policy": "cheapest"}, "the run's row was changed"),
        ({"started": 999.0}, "the run's row was changed"),
        ({"ended": 2001.0}, "the run's row was changed"),
        ({"ended": float("nan")}, "the run's row was changed"),
        ({"parent": "p"}, "the run's row was changed"),
        ({"trace_id": "t"}, "the run's row was changed"),
        ({"summary": {"cost": 0.0}}, "the run's row was changed"),
        ({"status": Status.DEMOTED}, "the run is demoted, and was closed as reached"),
        ({"status": Status.RUNNING}, "the run is running, and was closed as reached"),
        ({"head": "0" * 64}, "the head of the run is not that of record 200"),
        ({"count": 199}, "record 200 was inserted"),
        ({"count": 201}, "record 201 is missing"),
    ],
)
def test_a_changed_row_is_found(change: dict[str, Any], problem: str) -> None:
    assert problem in "\n".join(check_chain(RECORDS, replace(ROW, **change)))


def test_records_cut_out_before_a_closing_record_hashed_anew_contradict_its_count() -> None:
    old = RECORDS[-1]
    digest = link(RECORDS[99].hash, "run-1", 101, old.kind, old.at, old.body)
    closing = replace(old, seq=101, prev=RECORDS[99].hash, hash=digest)
    problems = check_chain([*RECORDS[:100], closing], replace(ROW, count=101, head=digest))
    assert problems == ["record 101 closes a run of 200 records"]


def test_a_lost_closing_record_is_found_also_with_the_row_adjusted() -> None:
    row = replace(ROW, count=199, head=RECORDS[198].hash)
    assert check_chain(RECORDS[:199], row) == ["the run is reached, and no closing record says so"]


def test_a_lost_tail_of_an_open_run_with_its_row_adjusted_is_not_seen() -> None:
    """What the documentation says cannot be seen without the head kept elsewhere."""
    row = replace(ROW, status=Status.RUNNING, ended=None, count=50, head=RECORDS[49].hash)
    assert check_chain(RECORDS[:50], row) == []
    assert check_chain(RECORDS[:50], replace(row, count=51)) == ["record 51 is missing"]


def test_a_row_without_records_has_no_head() -> None:
    assert check_chain([], run_row(head=GENESIS)) == []
    assert check_chain([], run_row(head="f" * 64)) == ["the run has no records, and its head says that it had"]


# -------------------------------------------------------------------- in a database, through SQL

TAMPERINGS: list[tuple[str, str]] = [
    ("UPDATE orchestrator_records SET body = replace(body, 'tool-4', 'tool-X') WHERE seq = 5", "record 5 was changed"),
    ("UPDATE orchestrator_records SET body = body || ' ' WHERE seq = 5", "record 5 was changed"),
    ("UPDATE orchestrator_records SET body = 'no json' WHERE seq = 5", "record 5 was changed"),
    ("UPDATE orchestrator_records SET body = x'ff00' WHERE seq = 5", "record 5 was changed"),
    ("UPDATE orchestrator_records SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = 5", "record 5 was changed"),
    ("UPDATE orchestrator_records SET body = replace(body, '1e+22', '1E+22') WHERE seq = 5", "record 5 was changed"),
    ("UPDATE orchestrator_records SET at = at + 1 WHERE seq = 5", "record 5 was changed"),
    ("UPDATE orchestrator_records SET at = 'noon' WHERE seq = 5", "record 5 was changed"),
    ("UPDATE orchestrator_records SET kind = 'retry' WHERE seq = 5", "record 5 was changed"),
    ("UPDATE orchestrator_records SET seq = 'x' WHERE seq = 5", "record 5 is missing"),
    ("UPDATE orchestrator_records SET seq = 99 WHERE seq = 5", "record 99 was inserted"),
    ("UPDATE orchestrator_records SET run_id = 'b' WHERE seq = 5 AND run_id = 'a'", "record 5 is missing"),
    ("DELETE FROM orchestrator_records WHERE seq = 5", "record 5 is missing"),
    ("UPDATE orchestrator_runs SET goal = 'other'", "the run's row was changed"),
    ("UPDATE orchestrator_runs SET started = 'x'", "the run's row was changed"),
    ("UPDATE orchestrator_runs SET summary = '{'", "the run's row was changed"),
    ("UPDATE orchestrator_runs SET length = 'x'", "was inserted"),
    ("UPDATE orchestrator_runs SET status = 'nonsense'", "was closed as reached"),
]


@pytest.mark.parametrize(("statement", "problem"), TAMPERINGS)
def test_what_sql_does_to_a_ledger_is_found(tmp_path: Path, statement: str, problem: str) -> None:
    store = SqlStore(tmp_path / "runs.db")
    ended_run(store, "a", records=9)
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute(statement)
    connection.commit()
    connection.close()
    assert problem in "\n".join(verify_run(store, "a").problems)
    assert problem in "\n".join(verify_store(store).problems)
    store.close()


def test_a_byte_flipped_in_the_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = SqlStore(path)
    ended_run(store, "a", records=9)
    store.close()
    data = bytearray(path.read_bytes())
    position = data.index(b'"chosen":"tool-4"')
    data[position + 11] ^= 0x80
    path.write_bytes(data)
    store = SqlStore(path)
    assert verify_run(store, "a").problems == ("record 5 was changed",)
    store.close()


# -------------------------------------------------------------------- across runs


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM orchestrator_seals WHERE n = 2", "seal 2 is missing"),
        ("DELETE FROM orchestrator_seals WHERE n = 3", "run 'c' has ended and its seal is missing"),
        ("UPDATE orchestrator_seals SET head = 'x' WHERE n = 2", "seal 2 was changed"),
        ("UPDATE orchestrator_seals SET hash = 'x' WHERE n = 2", "seal 3 does not follow"),
        ("UPDATE orchestrator_seals SET run_id = 'z' WHERE n = 2", "run 'z' is sealed and is gone"),
        ("DELETE FROM orchestrator_runs WHERE run_id = 'b'", "run 'b' is sealed and is gone"),
        ("UPDATE orchestrator_runs SET head = 'x' WHERE run_id = 'b'", "run 'b' is not as it was sealed"),
    ],
)
def test_what_is_done_to_sealed_runs_is_found(tmp_path: Path, statement: str, problem: str) -> None:
    store = SqlStore(tmp_path / "runs.db")
    for name in "abc":
        ended_run(store, name, records=3)
    assert verify_store(store).ok
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute(statement)
    connection.commit()
    connection.close()
    assert problem in "\n".join(verify_store(store).problems)
    store.close()


def test_a_store_is_verified_while_its_runs_go_on() -> None:
    class Busy(MemoryStore):
        """A store in which each look at a run finds one more record."""

        def records(self, run_id: str, after: int = 0) -> list[Record]:
            self.append(run_id, "more", {}, 1.0)
            return super().records(run_id, after)

    store = Busy()
    store.begin(run_row())
    assert verify_store(store).ok
    assert verify_export(export(store, "run-1")).ok


# -------------------------------------------------------------------- graphs


def quote(parcel: str) -> str:
    """A tool."""
    return parcel


def decided_on_a_graph(store: MemoryStore) -> str:
    """A run whose record names a graph; returns the graph's digest."""
    view = GraphRevision([ToolSpec.of(Tool(quote, gives="quote"))])
    store.begin(run_row())
    store.put_graph(view.digest, view.to_json())
    store.append("run-1", "RunStarted", {"graph": view.digest}, 1.0)
    return view.digest


class Tampered(MemoryStore):
    """A store whose graphs were edited."""

    edit: dict[str, Any] | None = None
    gone = False

    def graph(self, digest: str) -> dict[str, Any] | None:
        data = super().graph(digest)
        return None if data is None or self.gone else {**data, **(self.edit or {})}


@pytest.mark.parametrize(
    ("edit", "gone", "problem"),
    [
        (None, False, None),
        (None, True, "is missing"),
        ({"tools": []}, False, "was changed"),
        ({"tools": 5}, False, "was changed"),
    ],
)
def test_a_graph_that_was_decided_on_must_be_the_one_there(
    edit: dict[str, Any] | None, gone: bool, problem: str | None
) -> None:
    store = Tampered()
    digest = decided_on_a_graph(store)[:12]
    store.edit, store.gone = edit, gone
    expected = () if problem is None else (f"the graph {digest!r} that was decided on {problem}",)
    assert verify_run(store, "run-1").problems == expected
    assert len(verify_store(store).problems) == len(expected)
    assert verify_export(export(store, "run-1")).problems == expected


def test_an_export_holds_the_graphs_and_no_others() -> None:
    store = MemoryStore()
    decided_on_a_graph(store)
    lines = list(export(store, "run-1"))
    assert len(lines) == 3
    more = [lines[0], canonical_text({"digest": "d", "graph": {}}), *lines[1:]]
    assert verify_export(more).problems == ("no record names the graph 'd'",)


def test_a_verification_carries_what_anchors_the_run() -> None:
    store = MemoryStore()
    ended_run(store, records=3)
    verification = verify_run(store, "run-1")
    assert verification.ok
    assert (verification.head, verification.count) == (store.records("run-1")[-1].hash, 4)


def test_a_verification_of_a_store_carries_what_anchors_all_its_runs() -> None:
    store = MemoryStore()
    assert (verify_store(store).head, verify_store(store).sealed, verify_store(store).runs) == (GENESIS, 0, 0)
    for name in "ab":
        ended_run(store, name, records=3)
    store.begin(run_row("c"))
    verification = verify_store(store)
    assert verification.ok
    assert (verification.sealed, verification.runs) == (2, 3)
    assert verification.head == store.seals()[-1].hash


def test_an_export_carries_what_anchors_its_run() -> None:
    store = MemoryStore()
    ended_run(store, records=3)
    verification = verify_export(export(store, "run-1"))
    assert verification == verify_run(store, "run-1")
    assert verification.count == 4


# -------------------------------------------------------------------- exports

Change = Callable[[list[str]], list[str]]


CHANGES: list[tuple[Change, str]] = [
    (lambda lines: [], "it is empty"),
    (lambda lines: lines[1:], "line 1 is not what an export holds there"),
    (lambda lines: [*lines[:4], *lines[5:]], "record 4 is missing"),
    (lambda lines: [*lines[:4], "junk", *lines[4:]], "line 5 is not what an export holds there"),
    (lambda lines: [*lines[:4], lines[3], *lines[4:]], "record 3 is there twice"),
    (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], "record 3 is out of order"),
    (lambda lines: lines[:-1], "it has 0 seals, and the run is reached"),
    (lambda lines: [lines[0].replace("label", "other"), *lines[1:]], "the run's row was changed"),
    (lambda lines: [*lines[:-1], lines[-1].replace('"n":1', '"n":2')], "seal 2 was changed"),
    (lambda lines: [*lines[:4], lines[4].replace(",", ", ", 1), *lines[5:]], "line 5 is not"),
]


@pytest.mark.parametrize(("change", "problem"), CHANGES)
def test_what_is_done_to_an_export_is_found(change: Change, problem: str) -> None:
    store = MemoryStore()
    ended_run(store, records=9)
    lines = list(export(store, "run-1"))
    assert problem in "\n".join(verify_export(change(lines)).problems)


def test_the_seal_of_another_run_is_found() -> None:
    store = MemoryStore()
    ended_run(store, "a", records=3)
    ended_run(store, "b", records=3)
    lines = [*list(export(store, "a"))[:-1], list(export(store, "b"))[-1]]
    assert verify_export(lines).problems == ("seal 2 is not that of the run",)


@settings(max_examples=200)
@given(st.data())
def test_any_flipped_byte_of_an_export_is_found(data: st.DataObject) -> None:
    store = MemoryStore()
    ended_run(store, records=5)
    lines = list(export(store, "run-1"))
    number = data.draw(st.integers(0, len(lines) - 1))
    flipped = list(flipped_texts(lines[number], 1 << data.draw(st.integers(0, 7))))
    lines[number] = flipped[data.draw(st.integers(0, len(flipped) - 1))]
    assert not verify_export(lines).ok


def test_bodies_differ() -> None:
    """The tampering above would prove little on equal records."""
    assert len({canonical(body(number)) for number in range(199)}) == 199


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "explanation" / "ledger.md"
    code = page.read_text().split("```python\n")[1].split("```")[0]
    exec(compile(code, str(page), "exec"), {})
    assert len(capsys.readouterr().out.strip()) == 64
