"""Retention after the end of a run: its outcome without values in memory, and no values in the store.

The values of a child run's goal are kept until its root ends, for calls that are made again. A run whose id may be used
again (the caller chose it, or a person was asked about it) keeps the values of its goal, so that the id returns the
same outcome. The policy's `keep_values` keeps all values in the store.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from orchestrator.core.outcome import Outcome
from orchestrator.engine.run import Run

KEPT_BYTES: Final = 16 * 1024
KEPT_PARTS: Final = 100


def remember(run: Run, outcome: Outcome[Any]) -> None:
    """Keep the outcome of an ended run in memory, unless its values are large and in the store."""
    keys = outcome.goal.keys if run.parent is not None or _is_known(run) else ()
    kept = outcome.without_values(keys)
    if run.parent is None:
        _forget_children(run)
    if not run.durable or _is_small(kept.values):
        run.runtime.runs.remember(kept, run.state.inputs_digest, run.state.wanted)


def _forget_children(run: Run) -> None:
    """The root has ended: no call asks for a child again."""
    for child in run.ended_children.values():
        run.runtime.runs.forget_values(child.state.run_id)
        _forget_children(child)
    run.ended_children.clear()  # the children refer back to the run


def forget_values(run: Run) -> None:
    """Delete the stored values of an ended run and of all below it, unless they are to be kept."""
    store = run.runtime.store
    if run.runtime.policy.keep_values:
        return
    if run.state.children:
        store.drop_values_below(run.state.run_id)
    store.drop_values(run.state.run_id, run.token)
    if _is_known(run):
        run.values.store_again(run.state.goal, run.state.at_hand, run.view)


def _is_known(run: Run) -> bool:
    """Whether a caller without the outcome may use the run's id."""
    return run.named or run.state.waited > 0


def _is_small(values: Any) -> bool:
    """Whether values may stay in memory after the end of a stored run: at most 16 KiB and a hundred parts."""
    waiting, size, parts = [values], 0, 0
    while waiting and size <= KEPT_BYTES and parts <= KEPT_PARTS:
        part = waiting.pop()
        parts += 1
        size += sys.getsizeof(part, KEPT_BYTES)
        if isinstance(part, Mapping):
            waiting += cast(Mapping[object, object], part).values()
        elif isinstance(part, list | tuple | set | frozenset):
            waiting += cast(Iterable[object], part)
        elif not isinstance(part, str | bytes | int | float | bool | None):
            waiting += list(getattr(part, "__dict__", {}).values())
    return not waiting and size <= KEPT_BYTES


__all__ = ["forget_values", "remember"]
