"""Runs and ledgers for tests of stores."""

from typing import Any

from orchestrator.core.enums import Status
from orchestrator.store import RunRow, Store


def run_row(run_id: str = "run-1", **changes: Any) -> RunRow:
    """The row of a run that begins."""
    facts: dict[str, Any] = {
        "parent": None,
        "goal": "label",
        "status": Status.RUNNING,
        "policy": "balanced",
        "started": 1000.0,
        "ended": None,
        "head": "",
        "count": 0,
        "trace_id": f"trace-{run_id}",
        "summary": {},
    }
    return RunRow(run_id=run_id, **{**facts, **changes})


def body(number: int) -> dict[str, Any]:
    """The body of a decision, unlike any other."""
    return {
        "chosen": f"tool-{number}",
        "candidates": [f"tool-{number}", "rate_table"],
        "prices": [0.25 + number / 7, 1e22],
        "reason": "cheapest feasible route – ε",
        "answers": None,
        "final": number % 2 == 0,
    }


def ended_run(store: Store, run_id: str = "run-1", records: int = 199) -> None:
    """A run with that many records and its closing record."""
    store.begin(run_row(run_id))
    for number in range(records):
        store.append(run_id, "decision" if number % 3 else "failure", body(number), 1000.0 + number / 8)
    store.set_status(run_id, Status.REACHED, 2000.0, {"cost": 0.012})
    store.flush()
