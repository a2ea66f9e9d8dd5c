"""Which process has a run: ownership of a run that waits, and the runs that this process has."""

import contextlib
from functools import partial

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, StoreError
from orchestrator.engine.background.heartbeat import LEASE_SECONDS
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.tree import OpenQuestion

from .recovery import recover


async def let_go(run: Run) -> None:
    """Release the ownership of a run that waits, so that any process may take its answer."""
    store, token = run.runtime.store, run.token
    if token is not None:

        def release() -> None:
            store.flush()
            run.release()  # first: else a heartbeat between the two steps would treat the released run as lost
            store.release(run.state.run_id, token)

        await run.runtime.threads.run(release)


async def own_again(run: Run) -> None:
    """Take ownership of a run that waited in this process again. Raises `InputError` when another process owns it."""
    runtime, run_id = run.runtime, run.state.run_id
    if not run.released:
        return
    token = await runtime.threads.run(lambda: runtime.store.claim(run_id, runtime.owner, LEASE_SECONDS))
    row = await runtime.threads.run(lambda: runtime.store.run(run_id))
    if token is None or row is None or row.status is not Status.WAITING:
        runtime.runs.leave(run_id)
        raise InputError(f"The run {run_id!r} has been answered by another process.")
    run.own(token)


def root_of(run: Run) -> Run:
    """The topmost run of the tree that this process drives."""
    return run if run.parent is None else root_of(run.parent)


def live_run(runtime: Runtime, run_id: str) -> Run | None:
    """The run with this id while this process owns it; `None` for one that another process has taken over."""
    found: Run | None = runtime.runs.live(run_id)
    if found is not None and found.fenced and (found.is_at_rest or not found.loop.is_running()):
        _forget(found)
        return None
    return found


async def live_here(runtime: Runtime, run_id: str) -> Run | None:
    """The run with this id while this process owns it; one that waited here and has another owner now is dropped."""
    run = live_run(runtime, run_id)
    if run is None or not (run.waits and run.released):
        return run
    with contextlib.suppress(StoreError):
        row = await runtime.threads.run(partial(runtime.store.run, run_id))
        if row is not None and row.status is not Status.WAITING:
            run.fence()
            _forget(run)
            return None
    return run


def _forget(run: Run) -> None:
    """Drop a run that another process owns, and the runs below it: their suspended calls end without a record."""
    for child in list(run.children.values()):
        _forget(child)
    run.runtime.runs.leave(run.state.run_id)
    if run.scheduler is not None:
        with contextlib.suppress(RuntimeError):  # its event loop is gone
            run.loop.call_soon_threadsafe(run.scheduler.abandon)


async def path_to(run: Run, asked: OpenQuestion) -> list[Run]:
    """The run that asked and the runs above it, up to the root as far as this process drives it."""
    runtime = run.runtime
    ids: list[str] = []
    current = asked.question.run or asked.impasse.run_id or run.state.run_id
    while current != run.state.run_id:
        ids.append(current)
        live = live_run(runtime, current)
        row = None if live is not None else await runtime.threads.run(partial(runtime.store.run, current))
        above = live.state.parent if live is not None else row.parent if row else None
        if above is None:
            raise InputError(f"The question was asked by {current!r}, which is no longer there.")
        current = above
    path, parent = [run], run
    for run_id in reversed(ids):
        found = live_run(runtime, run_id) or await recover(runtime, run_id, parent=parent)
        if found is None:
            raise InputError(f"The run {run_id!r} is being driven by another process.")
        path.insert(0, found)
        parent = found
    while path[-1].parent is not None:
        path.append(path[-1].parent)
    return path


__all__ = ["let_go", "live_here", "live_run", "own_again", "path_to", "root_of"]
