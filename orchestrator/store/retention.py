"""Retention in a store: runs that are excluded from pruning, and erasure of values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.core.errors import StoreError

from .protocol import Store
from .rows import RunRow

KEPT: Final = "kept_runs"
"""The kind of the document with the ids of kept runs."""
_VERSIONS: Final = 5
_TRIES: Final = 20
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Erasure:
    """The result of `erase_values`."""

    erased: tuple[str, ...]
    """Runs whose values were erased."""
    open: tuple[str, ...]
    """Runs that have not ended and need their values and those of their children, which were not erased."""


def kept_runs(store: Store) -> frozenset[str]:
    """The runs that are excluded from pruning."""
    return frozenset((store.document(KEPT) or {}).get("runs", ()))


def keep_run(store: Store, run_id: str, *, keep: bool = True) -> None:
    """Exclude a run and its children from pruning, or include them again. Raises `StoreError`."""
    for _ in range(_TRIES):
        number = max(store.document_versions(KEPT), default=0)
        known = set((store.document(KEPT, number) or {}).get("runs", ())) if number else set[str]()
        made = known | {run_id} if keep else known - {run_id}
        if made == known or store.swap_document(KEPT, {"runs": sorted(made)}, number, _VERSIONS):
            return
    raise StoreError("other processes change what is kept so fast that this one does not get its turn")


def erase_values(store: Store, labels: Mapping[str, str]) -> Erasure:
    """Erase the values of every ended run that has these labels, and of the ended runs below it.

    A run below an ended root that has not ended itself keeps its values, with those of its own children. Records hold
    none, so that ledgers verify as before. Raises `StoreError`.
    """
    erased, still_open, offset = list[str](), list[str](), 0
    while page := store.runs(labels=labels, limit=_PAGE, offset=offset):
        offset += len(page)
        for row in page:
            if not row.status.ended:
                still_open.append(row.run_id)
            elif _root_ended(store, row):
                erased.append(row.run_id)
                store.drop_values(row.run_id)
                still_open += _erase_below(store, row.run_id)
    store.flush()
    return Erasure(tuple(erased), tuple(dict.fromkeys(still_open)))


def _erase_below(store: Store, run_id: str) -> list[str]:
    """Erase the values of the ended runs below one; returns those that have not ended."""
    still_open, above = list[str](), [run_id]
    while above:
        parent, offset = above.pop(), 0
        while page := store.runs(parent=parent, limit=_PAGE, offset=offset):
            offset += len(page)
            for row in page:
                if row.status.ended:
                    store.drop_values(row.run_id)
                    above.append(row.run_id)
                else:
                    still_open.append(row.run_id)
    return still_open


def _root_ended(store: Store, row: RunRow) -> bool:
    """Whether no run above has yet to end: a parent that has not ended uses the values of its children."""
    above: RunRow | None = row
    while above is not None and above.status.ended:
        if above.parent is None:
            return True
        above = store.run(above.parent)
    return above is None  # a parent that was pruned had ended


__all__ = ["Erasure", "erase_values", "keep_run", "kept_runs"]
