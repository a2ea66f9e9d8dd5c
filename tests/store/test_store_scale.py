"""Lists of runs are answered from indexes, and batches stay batches."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from orchestrator.core.enums import Status
from orchestrator.store import SqlStore
from orchestrator.store.rows import SummaryHints
from tests.store.rows import run_row


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "orchestrator_runs_started"),
        ({"search": "label"}, "orchestrator_runs_started"),
        ({"status": Status.WAITING}, "orchestrator_runs_status"),
        ({"status": Status.WAITING, "search": "x"}, "orchestrator_runs_status"),
        ({"parent": None}, "orchestrator_runs_parent"),
        ({"parent": "p"}, "orchestrator_runs_parent"),
        ({"hints": SummaryHints(names=("nobody",))}, "orchestrator_runs_started"),
        ({"hints": SummaryHints(since=5.0), "parent": None}, "orchestrator_runs_parent"),
    ],
)
def test_a_list_of_runs_is_read_in_the_order_of_an_index(tmp_path: Path, filters: dict[str, Any], index: str) -> None:
    store = SqlStore(tmp_path / "runs.db")
    said: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: object) -> None:
        said.append((statement, parameters))

    event.listen(store.reader, "before_cursor_execute", note)
    store.runs(**filters)
    statement, parameters = said[-1]
    connection = sqlite3.connect(tmp_path / "runs.db")
    plan = " ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement, parameters))
    connection.close()
    assert index in plan
    assert "TEMP B-TREE" not in plan
    store.close()


def test_many_writes_are_few_transactions(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "runs.db")
    store.begin(run_row())
    commits: list[int] = []

    def count(_connection: object) -> None:
        commits.append(1)

    event.listen(store.engine, "commit", count)
    for number in range(4000):
        store.append("run-1", "x", {"n": number}, 1.0)
    store.flush(timeout=60)
    assert len(store.records("run-1")) == 4000
    assert len(commits) < 400
    store.close()
