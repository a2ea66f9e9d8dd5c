"""The store in memory: a record says what it said when it was added; it is chained and sealed when it is read."""

from typing import Any

from orchestrator.core.enums import Status
from orchestrator.store import MemoryStore
from orchestrator.store.ledger.chain import GENESIS
from orchestrator.store.ledger.verify import verify_run, verify_store
from tests.store.rows import run_row


def test_a_record_says_what_it_said_when_it_was_added() -> None:
    store = MemoryStore()
    store.begin(run_row("one"))
    body: dict[str, Any] = {"facts": {"price": 1.5}, "names": ["a"]}
    store.append("one", "Decided", body, 1.0)
    body["facts"]["price"] = 99.0
    body["names"].append("b")
    assert [record.body for record in store.records("one")] == [{"facts": {"price": 1.5}, "names": ["a"]}]
    store.append("one", "Decided", body, 2.0)
    first, second = store.records("one")
    assert (first.prev, second.prev, second.seq) == (GENESIS, first.hash, 2)
    assert verify_run(store, "one").ok


def test_what_is_no_plain_data_is_reported_when_it_is_added() -> None:
    problems: list[str] = []
    store = MemoryStore(on_problem=problems.append)
    store.begin(run_row("one"))
    store.append("one", "Decided", {"odd": object(), "n": 1}, 1.0)
    assert len(problems) == 1 and "object" in problems[0]
    assert store.records("one")[0].body["n"] == 1
    assert verify_run(store, "one").ok


def test_seals_are_in_the_order_in_which_the_runs_ended() -> None:
    store = MemoryStore()
    for name in ("one", "two", "three"):
        store.begin(run_row(name))
        store.append(name, "Decided", {"of": name}, 1.0)
    for name in ("two", "one"):
        store.set_status(name, Status.REACHED, ended=2.0, summary={"cost": 1.0})
    assert [seal.run_id for seal in store.seals()] == ["two", "one"]
    store.set_status("three", Status.REACHED, ended=3.0)
    assert [seal.run_id for seal in store.seals()] == ["two", "one", "three"]
    assert verify_store(store).ok
