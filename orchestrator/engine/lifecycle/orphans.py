"""Child runs of a process that died, for which the repeated call does not reach again.

They end when the run above ends: their effects are undone or listed there, as for any unused child.
"""

from collections import Counter
from functools import partial

from orchestrator.core.enums import Status
from orchestrator.core.outcome import Outcome
from orchestrator.engine.run import Run
from orchestrator.engine.state import RunState
from orchestrator.engine.steps.children import ChildRuns
from orchestrator.store.rows import Record, RunRow

from .driver import join, start, stop_waiting
from .phases import Phase
from .recovery import fold, outcome_on_record, recover

MOST = 100_000
"""Maximum number of children of one run that are examined."""


async def end_orphans(run: Run) -> None:
    """End the recorded children that a recovered run does not know of, and add them to its record."""
    runtime, run_id = run.runtime, run.state.run_id
    rows = await runtime.threads.run(partial(runtime.store.runs, parent=run_id, limit=MOST))
    known = {*run.state.children, *run.children}
    orphans = sorted((row for row in rows if row.run_id not in known and row.count), key=lambda row: row.started)
    if not orphans:
        return
    own = await runtime.threads.run(partial(runtime.store.records, run_id))
    tools = {record.body["call_id"]: record.body["tool"] for record in own if record.kind == "CallStarted"}
    for row in orphans:
        records = await runtime.threads.run(partial(runtime.store.records, row.run_id))
        found = await _ended(run, row, records)
        if found is not None:
            call = str(records[0].body.get("parent_call") or "")
            ChildRuns(run, tools.get(call, ""), call, Counter()).take(*found)


async def _ended(run: Run, row: RunRow, records: list[Record]) -> tuple[Outcome[object], RunState] | None:
    """The outcome of a child that has ended or is ended now; `None` while another process drives it."""
    runtime = run.runtime
    if row.status.ended:
        outcome = await outcome_on_record(runtime, row.run_id)
        return outcome, fold(row.run_id, records)
    child = await recover(runtime, row.run_id, parent=run, to_stop=True)
    if child is None:
        return None
    child.scope.cancel("the run that reached for it has ended")
    if child.state.status is Status.WAITING:
        await stop_waiting(child)
    start(child, Phase.ESCALATE)
    outcome = await join(child)
    run.ended_children[row.run_id] = child
    return outcome, child.state


__all__ = ["end_orphans"]
