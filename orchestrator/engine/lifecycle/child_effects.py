"""Undoes the effects of child runs that a run does not use, when it ends; recorded in the run that decides it."""

from orchestrator.engine.fold import apply
from orchestrator.engine.run import Run
from orchestrator.engine.state import RunState
from orchestrator.engine.steps.compensate import can_be_undone, compensate_effect
from orchestrator.store.ledger.encoding import events_of


async def undo_below(run: Run, *, reached: bool) -> None:
    """Compensate the unused effects of child runs, the latest first; those that cannot be undone are listed."""
    for label in run.state.unused_below(reached=reached):
        run_id, _, name = label.rpartition("#")
        child = await find_child(run, run_id)
        tool = child.view.tools.get(name) or run.runtime.graph.view().tools.get(name)
        if tool is None or not can_be_undone(tool) or not child.values.has_output(name):
            continue
        await compensate_effect(
            run, tool, child.values.output(name), "nothing uses what the child run did", {"child": run_id}, of=child
        )


async def find_child(run: Run, run_id: str) -> Run:
    """An ended child run: from memory if this process drove it, else restored from the store."""
    found = _driven(run, run_id)
    return found if found is not None else await _restored(run, run_id)


def _driven(run: Run, run_id: str) -> Run | None:
    for child in run.ended_children.values():
        if child.state.run_id == run_id:
            return child
        if (below := _driven(child, run_id)) is not None:
            return below
    return None


async def _restored(run: Run, run_id: str) -> Run:
    """A run that ended in another process, with its values."""
    store = run.runtime.store
    records, rows = await run.runtime.threads.run(lambda: (store.records(run_id), store.values(run_id)))
    state = RunState(run_id)
    for event in events_of(records):
        apply(state, event)
    found = Run(run.runtime, state, durable=run.durable)
    found.values.restore(rows, state.at_hand, found.view)
    return found


__all__ = ["find_child", "undo_below"]
