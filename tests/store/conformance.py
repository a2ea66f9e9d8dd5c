"""What every store must do. A subclass gives the fixture `store`; its tests are these."""

import asyncio
import json
import math
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.core.enums import Status
from orchestrator.errors import StoreError
from orchestrator.store import Store
from orchestrator.store.ledger.encoding import LIMIT, NOTE
from orchestrator.store.ledger.verify import GENESIS, export, verify_export, verify_run, verify_store
from orchestrator.store.retention import Erasure, erase_values
from orchestrator.store.rows import SummaryHints
from tests.store.rows import body, ended_run, run_row


class Moment:
    """The time of a store under test."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class StoreConformance:
    """The kit."""

    @pytest.fixture
    def clock(self) -> Moment:
        return Moment()

    # ---------------------------------------------------------------- runs

    def test_a_run_begins_once(self, store: Store) -> None:
        assert store.begin(run_row("a", goal="first", summary={"x": 1})) is None
        there = store.begin(run_row("a", goal="second"))
        assert there is not None
        assert (there.goal, there.head, there.count, there.summary) == ("first", GENESIS, 0, {"x": 1})
        assert store.run("a") == there
        assert store.run("b") is None

    def test_begin_in_many_threads_creates_one(self, store: Store) -> None:
        answers: list[Any] = []
        threads = [threading.Thread(target=lambda: answers.append(store.begin(run_row("a")))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 8
        assert answers.count(None) == 1

    @pytest.mark.parametrize("run_id", ["", "x" * 601, "nul\0", "\ud800"])
    def test_an_id_that_no_database_holds_is_one_clear_error(self, store: Store, run_id: str) -> None:
        with pytest.raises(StoreError, match="cannot be a run's id"):
            store.begin(run_row(run_id))

    def test_hostile_text_in_a_row_is_kept_readable(self, store: Store) -> None:
        store.begin(run_row("a", goal="'; DROP TABLE x; --\0\ud800 % _ \\", policy="\x1b[31m"))
        store.set_status("a", Status.REACHED, 2.0)
        row = store.run("a")
        assert row is not None
        assert row.goal == "'; DROP TABLE x; --\\x00\\ud800 % _ \\"
        assert verify_run(store, "a").ok

    # ---------------------------------------------------------------- the ledger

    def test_records_come_back_in_order_and_verify(self, store: Store) -> None:
        ended_run(store, records=20)
        records = store.records("run-1")
        assert [record.seq for record in records] == list(range(1, 22))
        assert [record.body for record in records[:20]] == [body(number) for number in range(20)]
        assert records[-1].kind == "closed"
        assert records[-1].body["count"] == 21
        assert records[-1].at == 2000.0
        assert store.records("run-1", after=19) == records[19:]
        assert store.records("run-1", after=99) == []
        row = store.run("run-1")
        assert row is not None
        assert (row.head, row.count, row.ended, row.summary) == (records[-1].hash, 21, 2000.0, {"cost": 0.012})
        assert verify_run(store, "run-1").ok

    def test_a_caller_may_change_its_body_afterwards(self, store: Store) -> None:
        store.begin(run_row())
        mutable: dict[str, Any] = {"list": [1]}
        store.append("run-1", "x", mutable, 1.0)
        mutable["list"].append(2)
        assert store.records("run-1")[0].body == {"list": [1]}

    def test_threads_append_to_one_unbroken_chain(self, store: Store) -> None:
        store.begin(run_row())

        def work(name: str) -> None:
            for number in range(50):
                store.append("run-1", name, {"n": number}, 1.0)

        threads = [threading.Thread(target=work, args=(f"t{index}",)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        records = store.records("run-1")
        assert len(records) == 200
        for index in range(4):
            assert [record.body["n"] for record in records if record.kind == f"t{index}"] == list(range(50))
        assert verify_run(store, "run-1").ok

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ({"price": math.inf, "other": -math.inf, "no": math.nan}, {"price": "inf", "other": "-inf", "no": "nan"}),
            ({"tuple": (1, 2), "set": {3, 1}}, {"tuple": [1, 2], "set": [1, 3]}),
            ({10: "ten", 2: "two"}, {"10": "ten", "2": "two"}),
            ({"nul": "\0", "half": "\ud83d", "two": "\ud83d\ude00"}, {"nul": "\0", "half": "\ud83d", "two": "😀"}),
            ({"minus": -0.0, "small": 5e-324, "big": 2**70}, {"minus": -0.0, "small": 5e-324, "big": 2**70}),
            ({"status": Status.REACHED}, {"status": "reached"}),
            ({"é": 1, "z": 2, "a": {"y": [], "x": {}}}, {"a": {"x": {}, "y": []}, "z": 2, "é": 1}),
        ],
    )
    def test_whatever_is_appended_is_kept_as_json_and_verifies(self, store: Store, given: Any, kept: Any) -> None:
        store.begin(run_row())
        store.append("run-1", "odd \0 kind", given, math.nan)
        record = store.records("run-1")[0]
        assert record.body == kept
        assert (record.kind, record.at) == ("odd \\x00 kind", 0.0)
        assert verify_run(store, "run-1").ok

    def test_an_object_leaves_its_type_and_nothing_it_says(self, store: Store) -> None:
        problems: list[str] = []
        store.on_problem = problems.append
        store.begin(run_row())
        store.append("run-1", "x", {"error": ValueError("secret")}, 1.0)
        assert store.records("run-1")[0].body == {"error": "<ValueError>"}
        assert len(problems) == 1
        assert "ValueError" in problems[0]
        assert "secret" not in problems[0]

    def test_a_body_too_large_is_cut_with_a_note(self, store: Store) -> None:
        problems: list[str] = []
        store.on_problem = problems.append
        store.begin(run_row())
        store.append("run-1", "x", {"message": "é" * LIMIT, "tool": "pypdf"}, 1.0)
        kept = store.records("run-1")[0].body
        assert kept["tool"] == "pypdf"
        assert kept["message"].startswith("éé")
        assert len(json.dumps(kept)) < LIMIT
        assert str(2 * LIMIT)[:3] in kept[NOTE]
        assert len(problems) == 1
        assert verify_run(store, "run-1").ok

    def test_a_broken_problem_handler_changes_nothing(self, store: Store) -> None:
        def broken(problem: str) -> None:
            raise RuntimeError(problem)

        store.on_problem = broken
        store.append("no such run", "x", {"o": object()}, 1.0)
        store.begin(run_row())
        store.append("run-1", "x", {}, 1.0)
        assert len(store.records("run-1")) == 1

    def test_a_run_never_begun_takes_nothing_and_says_so(self, store: Store) -> None:
        problems: list[str] = []
        store.on_problem = problems.append
        store.append("ghost", "x", {}, 1.0)
        store.flush()
        with pytest.raises(StoreError, match="never begun"):
            store.flush(run_id="ghost")
        assert store.records("ghost") == []
        assert len(problems) == 1

    # ---------------------------------------------------------------- states

    def test_states_only_move_forward(self, store: Store) -> None:
        problems: list[str] = []
        store.on_problem = problems.append
        store.begin(run_row())
        for status in (Status.WAITING, Status.RUNNING, Status.WAITING, Status.DEMOTED):
            store.set_status("run-1", status, 5.0 if status.ended else None)
            row = store.run("run-1")
            assert row is not None
            assert row.status is status
        before = store.run("run-1")
        store.set_status("run-1", Status.RUNNING)
        store.set_status("run-1", Status.REACHED, 6.0, {"x": 1})
        store.set_status("run-1", Status.DEMOTED, 7.0, {"x": 1})
        store.append("run-1", "late", {}, 8.0)
        assert store.run("run-1") == before
        assert len(store.records("run-1")) == 1
        assert len(problems) == 3
        assert verify_run(store, "run-1").ok

    def test_the_closing_record_is_the_stores_own(self, store: Store) -> None:
        problems: list[str] = []
        store.on_problem = problems.append
        store.begin(run_row())
        store.append("run-1", "closed", {"count": 1}, 1.0)
        assert store.records("run-1") == []
        assert len(problems) == 1

    def test_a_summary_is_replaced_while_the_run_goes_on(self, store: Store) -> None:
        store.begin(run_row())
        store.set_status("run-1", Status.RUNNING, summary={"calls": 1})
        store.set_status("run-1", Status.WAITING)
        row = store.run("run-1")
        assert row is not None
        assert row.summary == {"calls": 1}

    # ---------------------------------------------------------------- seals, export

    def test_ended_runs_are_sealed_in_a_chain(self, store: Store) -> None:
        for name in "abc":
            ended_run(store, name, records=3)
        store.begin(run_row("open"))
        seals = store.seals()
        assert [(seal.n, seal.run_id) for seal in seals] == [(1, "a"), (2, "b"), (3, "c")]
        assert [seal.prev for seal in seals] == [GENESIS, seals[0].hash, seals[1].hash]
        assert store.seals(after=2) == seals[2:]
        assert store.seals(run_id="b") == seals[1:2]
        assert verify_store(store).ok

    def test_an_export_verifies_by_itself(self, store: Store) -> None:
        ended_run(store, "a", records=5)
        ended_run(store, "b", records=5)
        lines = list(export(store, "b"))
        assert len(lines) == 1 + 6 + 1
        assert verify_export(lines).ok
        assert verify_export(line + "\n" for line in lines).ok

    # ---------------------------------------------------------------- values

    def test_values_are_kept_replaced_and_dropped(self, store: Store) -> None:
        store.begin(run_row())
        store.put_value("run-1", "b", '"1"')
        store.put_value("run-1", "a", '{"x":1}')
        store.put_value("run-1", "b", '"2"')
        assert store.values("run-1") == {"a": '{"x":1}', "b": '"2"'}
        assert list(store.values("run-1")) == ["a", "b"]
        store.drop_values("run-1")
        store.put_value("run-1", "c", "3")
        assert store.values("run-1") == {"c": "3"}
        assert store.values("other") == {}

    def test_the_values_below_an_ended_run_are_dropped_and_no_others(self, store: Store) -> None:
        store.begin(run_row("root"))
        for run_id, parent in (("a", "root"), ("b", "a"), ("c", "b"), ("root/other", None)):
            store.begin(run_row(run_id, parent=parent))
        for run_id in ("root", "a", "b", "c", "root/other"):
            store.put_value(run_id, "v", "1")
        store.drop_values_below("root")
        assert store.values("c") == {"v": "1"}, "the run goes on"
        store.set_status("root", Status.REACHED, ended=2.0)
        store.drop_values_below("root")
        assert [run_id for run_id in ("root", "a", "b", "c", "root/other") if store.values(run_id)] == [
            "root",
            "root/other",
        ]

    def test_a_value_no_database_holds_is_lost_loudly(self, store: Store) -> None:
        store.begin(run_row())
        store.put_value("run-1", "bad", '"\ud800"')
        store.put_value("run-1", "good", "1")
        with pytest.raises(StoreError, match="'bad'"):
            store.flush(run_id="run-1")
        assert store.values("run-1") == {"good": "1"}

    # ---------------------------------------------------------------- lists of runs

    def test_runs_are_listed_filtered_and_searched(self, store: Store) -> None:
        for number in range(10):
            store.begin(run_row(f"r{number}", started=float(number), goal=f"Goal {number % 3} 50%_"))
        store.begin(run_row("child", parent="r1", started=20.0, goal="label"))
        store.set_status("r3", Status.REACHED, 30.0)
        assert [row.run_id for row in store.runs(limit=3)] == ["child", "r9", "r8"]
        assert [row.run_id for row in store.runs(limit=2, offset=2)] == ["r8", "r7"]
        assert [row.run_id for row in store.runs(parent="r1")] == ["child"]
        assert len(store.runs(parent=None)) == store.count_runs(parent=None) == 10
        assert [row.run_id for row in store.runs(status=Status.REACHED)] == ["r3"]
        assert [row.run_id for row in store.runs(search="gOAL 2")] == ["r8", "r5", "r2"]
        assert store.count_runs(search="50%_") == 10
        assert store.count_runs(search="5%0") == 0
        assert store.count_runs(search="trace-r4") == 1
        assert store.count_runs(status=Status.RUNNING, search="goal 0") == 3
        assert store.count_runs() == 11
        assert store.count_by_status() == {**dict.fromkeys(Status, 0), Status.RUNNING: 10, Status.REACHED: 1}
        assert store.count_by_status("goal 0", None)[Status.RUNNING] == 3
        assert store.runs(offset=50) == []

    def test_hints_leave_out_no_run_that_fits_them(self, store: Store) -> None:
        odd = 'päck "100%_\\'
        for n, (tools, failures) in enumerate((([odd], 1), (["a"], 0), (["a", odd], 10))):
            summary = {"tools": tools, "failed": ["bug"] * failures, "failures": failures, "seconds": 1.0}
            store.begin(run_row(f"r{n}", started=1000.0 + n, summary=summary))
            store.set_status(f"r{n}", Status.REACHED, 2000.0)
        assert {row.run_id for row in store.runs(hints=SummaryHints(names=(odd, "bug"), healed=True))} >= {"r0", "r2"}
        assert {row.run_id for row in store.runs(hints=SummaryHints(since=1001.0))} >= {"r1", "r2"}
        assert {row.run_id for row in store.runs(hints=SummaryHints(until=1001.0))} >= {"r0"}
        assert {row.run_id for row in store.runs(hints=SummaryHints())} == {"r0", "r1", "r2"}

    def test_runs_of_one_moment_are_listed_in_one_order(self, store: Store) -> None:
        for name in "bac":
            store.begin(run_row(name))
        assert [row.run_id for row in store.runs()] == ["c", "b", "a"]

    # ---------------------------------------------------------------- what outlives a run

    def test_a_graph_is_kept_once_under_its_digest(self, store: Store) -> None:
        store.put_graph("d1", {"tools": [{"name": "a", "price": math.inf}]})
        store.put_graph("d1", {"tools": []})
        assert store.graph("d1") == {"tools": [{"name": "a", "price": "inf"}]}
        assert store.graph("d2") is None
        store.put_graph("d3", {"tools": [1]})
        assert store.graphs(["d3", "d2", "d1"]) == {"d1": store.graph("d1"), "d3": {"tools": [1]}}
        assert store.graphs([]) == {}

    def test_records_of_several_runs_are_read_at_once(self, store: Store) -> None:
        for name in ("a", "b", "c"):
            store.begin(run_row(name))
        for n in range(3):
            store.append("a", "odd" if n % 2 else "even", {"n": n}, 10.0 + n)
            store.append("b", "even", {"n": n}, 10.0 + n)
        assert store.records_of(["b", "a", "c", "none", "\ud800"]) == {"a": store.records("a"), "b": store.records("b")}
        assert [(r.run_id, r.body["n"]) for r in store.records_of(["a"], ("odd",)).get("a", ())] == [("a", 1)]
        assert store.records_of(["b"], ("odd",)) == store.records_of([]) == {}

    def test_health_is_added_to_by_name(self, store: Store) -> None:
        def add(stored: Mapping[str, Any] | None, news: Mapping[str, Any]) -> dict[str, Any]:
            return {"n": (stored or {"n": 0})["n"] + news["n"]}

        store.merge_health({"a": {"n": 1}, "b": {"n": 2}}, add)
        store.merge_health({"b": {"n": 3}}, add)
        assert store.load_health() == {"a": {"n": 1}, "b": {"n": 5}}

    def test_documents_have_versions(self, store: Store) -> None:
        assert store.document("policy") is None
        assert [store.put_document("policy", {"v": number}) for number in range(3)] == [1, 2, 3]
        assert store.put_document("other", {}) == 1
        assert store.document("policy") == {"v": 2}
        assert store.document("policy", 1) == {"v": 0}
        assert store.document("policy", 0) is None
        assert store.document("policy", 9) is None
        assert store.document_versions("policy") == [1, 2, 3]
        assert store.document_versions("none") == []
        with pytest.raises(StoreError, match="'policy' is not JSON"):
            store.put_document("policy", {"price": math.inf})

    def test_a_document_is_swapped_only_for_the_version_that_was_read(self, store: Store) -> None:
        assert store.swap_document("book", {"v": 1}, after=0, keep=3)
        assert not store.swap_document("book", {"v": 2}, after=0, keep=3)
        assert not store.swap_document("book", {"v": 2}, after=2, keep=3)
        assert [store.swap_document("book", {"v": n + 1}, after=n, keep=3) for n in (1, 2, 3)] == [True] * 3
        assert store.document("book") == {"v": 4}
        assert store.document_versions("book") == [2, 3, 4]
        assert store.document("book", 1) is None
        assert store.put_document("book", {"v": 5}) == 5

    def test_a_lease_has_one_winner_until_it_is_over(self, store: Store, clock: "Moment") -> None:
        assert store.try_lease("probe", "me", seconds=10)
        clock.now += 5.0
        assert not store.try_lease("probe", "me", seconds=10)
        assert store.try_lease("other", "you", seconds=10)
        clock.now += 4.9
        store.release_lease("probe", "you")
        assert not store.try_lease("probe", "you", seconds=10)
        clock.now += 0.2
        assert store.try_lease("probe", "you", seconds=10)
        store.release_lease("probe", "you")
        assert store.try_lease("probe", "me", seconds=10)

    # ---------------------------------------------------------------- labels, keys

    def test_runs_are_found_by_their_labels(self, store: Store) -> None:
        store.begin(run_row("a", labels={"customer": "7", "session": "x"}))
        store.begin(run_row("b", labels={"customer": "7"}))
        store.begin(run_row("c"))
        found = store.run("a")
        assert found is not None
        assert found.labels == {"customer": "7", "session": "x"}
        assert [row.run_id for row in store.runs(labels={"customer": "7"})] == ["b", "a"]
        assert store.count_runs(labels={"customer": "7", "session": "x"}) == 1
        store.set_status("a", Status.REACHED, 2.0)
        assert verify_run(store, "a").ok

    def test_values_of_children_are_erased_with_their_root(self, store: Store) -> None:
        for run_id, parent in (("root", None), ("child", "root"), ("below", "child")):
            store.begin(run_row(run_id, parent=parent, labels={"customer": "7"}))
            store.put_value(run_id, "v", "1")
        store.set_status("child", Status.REACHED, 2.0)
        store.set_status("below", Status.REACHED, 2.0)
        assert erase_values(store, {"customer": "7"}) == Erasure((), ("root",))
        assert all(store.values(run_id) for run_id in ("root", "child", "below")), "the root needs them to go on"
        store.set_status("root", Status.REACHED, 3.0)
        assert set(erase_values(store, {"customer": "7"}).erased) == {"root", "child", "below"}
        assert not any(store.values(run_id) for run_id in ("root", "child", "below"))

    def test_values_of_an_open_run_below_an_ended_root_are_not_erased(self, store: Store) -> None:
        for run_id, parent in (("root", None), ("ended", "root"), ("open", "root"), ("below", "open")):
            store.begin(run_row(run_id, parent=parent, labels={"customer": "7"} if parent is None else {}))
            store.put_value(run_id, "v", "1")
        for run_id in ("ended", "below", "root"):
            store.set_status(run_id, Status.REACHED, 2.0)
        assert erase_values(store, {"customer": "7"}) == Erasure(("root",), ("open",))
        assert [run_id for run_id in ("root", "ended", "open", "below") if store.values(run_id)] == ["open", "below"]

    def test_the_key_of_digests_stays(self, store: Store) -> None:
        assert len(store.digest_key()) == 32
        assert store.digest_key() == store.digest_key()

    # ---------------------------------------------------------------- durability

    async def test_settled_from_many_tasks(self, store: Store) -> None:
        store.begin(run_row())

        async def work(number: int) -> None:
            store.append("run-1", "x", {"n": number}, 1.0)
            await store.settled(run_id="run-1")

        await asyncio.gather(*(work(number) for number in range(50)))
        assert len(store.records("run-1")) == 50
        await store.settled()

    def test_closing_twice_is_allowed(self, store: Store) -> None:
        store.close()
        store.close()
