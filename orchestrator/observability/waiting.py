"""For how long, and for whom, a run waits, read from its row in the store."""

from collections.abc import Mapping
from typing import Any

from orchestrator.core.enums import Status
from orchestrator.core.text import duration
from orchestrator.store.protocol import RunRow


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
    """Why no other process could go on with an answer; empty where any can."""
    waits: Any = row.summary.get("waits")
    if row.status is not Status.WAITING or not isinstance(waits, Mapping):
        return ""
    keys: Any = waits.get("not_storable")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(keys, list) or not keys:
        return ""
    names = ", ".join(map(str, keys))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return f"cannot be resumed elsewhere: {names} cannot be stored"


__all__ = ["only_here_text", "waiting_text"]
