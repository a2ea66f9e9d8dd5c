"""Whether anybody still drives a run that is recorded as running."""

from collections.abc import Iterable

from orchestrator.core.enums import Status
from orchestrator.store.owner import owner_died
from orchestrator.store.protocol import RunRow, Store


def lost_runs(store: Store, rows: Iterable[RunRow]) -> set[str]:
    """The ids of those runs whose process is gone; `recover` or a worker picks them up.

    A child is driven by the owner of its root. An owner on another machine counts as alive: only the lease decides.
    """
    dead: dict[str, bool] = {}
    found: set[str] = set()
    for row in rows:
        if row.status is not Status.RUNNING:
            continue
        root = row.run_id if row.parent is None else _root(store, row)
        if root not in dead:
            owner = store.owner(root)
            dead[root] = not owner or owner_died(owner)
        if dead[root]:
            found.add(row.run_id)
    return found


def _root(store: Store, row: RunRow) -> str:
    seen = {row.run_id}
    while row.parent is not None and row.parent not in seen:
        seen.add(row.parent)
        above = store.run(row.parent)
        if above is None:
            return row.parent
        row = above
    return row.run_id


__all__ = ["lost_runs"]
