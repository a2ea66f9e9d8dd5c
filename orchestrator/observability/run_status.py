"""The status of a run that has not ended: how long and for whom it waits, and whether its process exists."""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.core.enums import Status
from orchestrator.core.text import duration
from orchestrator.store.owner import owner_died
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow


def waiting_text(row: RunRow, now: float) -> str:
    """Such as `for 3 min, on a person (ask_human)`; empty for a run that does not wait, or of an earlier version.

    `now` is in seconds since the epoch.
    """
    waits: Any = row.summary.get("waits")
    if row.status is not Status.WAITING or not isinstance(waits, Mapping):
        return ""
    asked, rung, number = (waits.get(name) for name in ("asked_at", "rung", "questions"))  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    since = f"for {duration(max(0.0, now - asked))}, " if isinstance(asked, int | float) else ""
    whom = f"on a person ({rung})" if rung else "on a person"
    more = f", {number} questions" if isinstance(number, int) and number > 1 else ""
    return f"{since}{whom}{more}"


def only_here_text(row: RunRow) -> str:
    """Why no other process could continue after an answer; empty if any can."""
    waits: Any = row.summary.get("waits")
    if row.status is not Status.WAITING or not isinstance(waits, Mapping):
        return ""
    keys: Any = waits.get("not_storable")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(keys, list) or not keys:
        return ""
    names = ", ".join(map(str, keys))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return f"cannot be resumed elsewhere: {names} cannot be stored"


def lost_runs(store: Store, rows: Iterable[RunRow]) -> set[str]:
    """The ids of the runs whose process is gone; `recover` or a worker continues them.

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
