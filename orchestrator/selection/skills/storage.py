"""`Keeper`: keeps what a selector learned in a store, in step with every other process that learns there."""

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
"""Versions of the document that stay in the store."""
TRIES: Final = 20
"""How often a version is made again because another process was quicker, before the next time is waited for."""


def stored_handbook(store: Store) -> Handbook | None:
    """The handbook of a store; `None` where there is none yet. Raises `DefinitionError` when it makes no sense."""
    return _read(store.document(DOCUMENT))


def keep_handbook(store: Store, handbook: Handbook) -> None:
    """Put a handbook in place of the store's; processes that learn there continue from it."""
    store.put_document(DOCUMENT, handbook.model_dump(mode="json"))


def change_handbook(store: Store, change: Callable[[Handbook], Handbook]) -> Handbook:
    """Put what `change` makes of the store's handbook in its place, also while processes learn there; returns it.

    `change` is called again when another process was quicker. Raises what it raises, and `StoreError`.
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
    """Put a handbook in place of version number `after`; `False` if another process was quicker."""
    return store.swap_document(DOCUMENT, handbook.model_dump(mode="json"), after, KEPT_VERSIONS)


def _read(data: dict[str, Any] | None) -> Handbook | None:
    return None if data is None else Handbook.from_json(json.dumps(data))


@dataclass(frozen=True)
class _Offered:
    """A version that was given to the store, where it is not known whether it took it."""

    number: int
    data: dict[str, Any]
    steps: int


class Keeper:
    """Reads the handbook when it begins, and with each `sync` stores what was learned and takes in what others did.

    No outcomes are lost: what was learned here is learned again on top of the store's newest version, which is swapped
    only for the version that was read. A handbook that the selector was given before is where an empty store begins; of
    a store that has one it is taken what that does not know.
    """

    def __init__(self, selector: Selector, store: Store) -> None:
        self._selector = selector
        self._store = store
        self._lock = new_lock()
        self._given = selector.handbook
        self._seen = -1
        """Number of the version that the selector's handbook is made of; -1 before the first."""
        self._offered: _Offered | None = None
        selector.keep_journal()

    def begin(self) -> None:
        """Take the store's handbook in. Raises `StoreError`, and `DefinitionError` for one that makes no sense."""
        with self._lock:
            number, base = self._newest()
            if number:
                self._selector.onto(base)
            self._seen = number

    def sync(self) -> None:
        """Learn from what waits, store it, and apply what others stored; not for the path of a call.

        Raises `StoreError` when the store cannot be reached, and `DefinitionError` when its handbook makes no sense;
        nothing is lost by either.
        """
        self._selector.apply_pending()
        with self._lock:
            self._settle()
            for _ in range(TRIES):
                if self._synced():
                    return
            raise StoreError("other processes store what they learn so fast that this one does not get its turn")

    def _synced(self) -> bool:
        """Whether the store has everything now; `False` if another process was quicker."""
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
