"""`Keeper`: stores what a selector has learned and merges it with the updates of other processes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.errors import StoreError
from orchestrator.core.process.forks import new_lock
from orchestrator.selection.choice.selector import Selector
from orchestrator.store.protocol import Store

from .handbook import Handbook

DOCUMENT: Final = "handbook"
"""The kind of the store's document."""
KEPT_VERSIONS: Final = 20
"""Number of versions of the document that the store keeps."""
TRIES: Final = 20
"""How often a version is rebuilt because another process was faster, before it is left to the next synchronisation."""


def stored_handbook(store: Store) -> Handbook | None:
    """The handbook of a store; `None` if there is none yet. Raises `DefinitionError` when it is invalid."""
    return _read(store.document(DOCUMENT))


def keep_handbook(store: Store, handbook: Handbook) -> None:
    """Replace the store's handbook; processes that use the store continue from it."""
    store.put_document(DOCUMENT, handbook.model_dump(mode="json"))


def change_handbook(store: Store, change: Callable[[Handbook], Handbook]) -> Handbook:
    """Replace the store's handbook by `change` of it, also while processes use the store; returns the new one.

    `change` is called again when another process was faster. Raises what it raises, and `StoreError`.
    """
    for _ in range(TRIES):
        number, handbook = numbered_handbook(store)
        made = change(handbook)
        if swap_handbook(store, made, number):
            return made
    raise StoreError("other processes change the handbook so fast that this one does not get its turn")


def numbered_handbook(store: Store) -> tuple[int, Handbook]:
    """The store's handbook with the number of its version, for `swap_handbook`; an empty one with 0 for none yet."""
    number = max(store.document_versions(DOCUMENT), default=0)
    return number, (_read(store.document(DOCUMENT, number)) if number else None) or Handbook()


def swap_handbook(store: Store, handbook: Handbook, after: int) -> bool:
    """Replace version number `after`; `False` if another process was faster."""
    return store.swap_document(DOCUMENT, handbook.model_dump(mode="json"), after, KEPT_VERSIONS)


def _read(data: dict[str, Any] | None) -> Handbook | None:
    return None if data is None else Handbook.from_json(json.dumps(data))


@dataclass(frozen=True)
class _Offered:
    """A version that was sent to the store without a confirmation."""

    number: int
    data: dict[str, Any]
    steps: int


class Keeper:
    """Reads the handbook at the start; each `sync` stores local updates and merges those of other processes.

    No outcomes are lost: local updates are repeated on the store's newest version, which is replaced by
    compare-and-swap. A handbook that the selector had before initialises an empty store; if the store has one, only
    what that lacks is added.
    """

    def __init__(self, selector: Selector, store: Store) -> None:
        self._selector = selector
        self._store = store
        self._lock = new_lock()
        self._given = selector.handbook
        self._seen = -1
        """Number of the version that the selector's handbook is based on; -1 before the first."""
        self._offered: _Offered | None = None
        selector.keep_journal()

    def begin(self) -> None:
        """Read the store's handbook. Raises `StoreError`, and `DefinitionError` for an invalid one."""
        with self._lock:
            number, base = self._newest()
            if number:
                self._selector.onto(base)
            self._seen = number

    def sync(self) -> None:
        """Learn from queued outcomes, store the result, and apply the updates of other processes; not on the path of a
        call.

        Raises `StoreError` when the store cannot be reached, and `DefinitionError` when its handbook is invalid; no
        update is lost by either.
        """
        self._selector.apply_pending()
        with self._lock:
            self._settle()
            for _ in range(TRIES):
                if self._synced():
                    return
            raise StoreError("other processes store what they learn so fast that this one does not get its turn")

    def _synced(self) -> bool:
        """Whether the store has everything now; `False` if another process was faster."""
        selector, number = self._selector, self._number()
        if number == self._seen or (number == 0 and self._seen < 0):
            if not selector.unstored:
                return True
            made, steps = selector.onto(None)
        else:
            number, base = self._newest()
            made, steps = selector.onto(base)
            self._seen = number
            if not steps:
                return True
        offered = _Offered(number + 1, made.model_dump(mode="json"), steps)
        self._offered = offered
        taken = self._store.swap_document(DOCUMENT, offered.data, number, KEPT_VERSIONS)
        self._offered = None
        if taken:
            selector.stored(steps)
            self._seen = number + 1
        return taken

    def _settle(self) -> None:
        """Find out whether the store took a version that it did not confirm."""
        offered = self._offered
        if offered is None:
            return
        if self._store.document(DOCUMENT, offered.number) == offered.data:
            self._selector.stored(offered.steps)
            self._seen = offered.number
        self._offered = None

    def _number(self) -> int:
        return max(self._store.document_versions(DOCUMENT), default=0)

    def _newest(self) -> tuple[int, Handbook]:
        number = self._number()
        stored = _read(self._store.document(DOCUMENT, number)) if number else None
        if stored is None:
            return number, self._given
        return number, stored.with_missing(self._given)


__all__ = [
    "DOCUMENT",
    "Keeper",
    "change_handbook",
    "keep_handbook",
    "numbered_handbook",
    "stored_handbook",
    "swap_handbook",
]
