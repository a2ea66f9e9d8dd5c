"""The error for a run id of which nothing is on record, with the nearest of the latest ids."""

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, StoreError, nearest

from .protocol import Store

LATEST = 200
"""Runs whose ids are compared with the one that was asked for."""


def unknown_run(store: Store, run_id: str) -> InputError:
    """An `InputError` that names the run, and those among the latest whose ids are near. Reads the store."""
    try:
        row = store.run(run_id)
        if row is not None and row.status is Status.QUEUED:
            return InputError(f"The run {run_id!r} is queued: nothing of it is on record until a worker begins it.")
        if row is not None:
            return InputError(
                f"Nothing of the run {run_id!r} is on record: it is just being begun, or its process died before it "
                "was. In the second case run its goal again, with its inputs and this run_id: no write was made."
            )
        hint = nearest(run_id, [row.run_id for row in store.runs(limit=LATEST)])
    except StoreError:
        hint = ""
    return InputError(f"There is no run {run_id!r} in this store.{hint}")


__all__ = ["unknown_run"]
