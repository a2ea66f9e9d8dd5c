"""Closes open stores at the end of the process, and renews them in a forked child.

Registered when the package is imported: exit handlers run in reverse order, so handlers that are registered later can
still read a store. `store/sql` is imported later, where a database is used.
"""

import atexit
from typing import Protocol
from weakref import WeakSet


class Closes(Protocol):
    """A store that must be closed at the end, and opened again in a forked child."""

    def close(self, timeout: float = 10.0) -> None:
        """Write what is enqueued, for at most `timeout` seconds."""
        ...

    def after_fork(self) -> None:
        """Drop the parent's connections and threads."""
        ...


OPEN: "WeakSet[Closes]" = WeakSet()
"""Every store that is open."""


def _close_all() -> None:
    for store in list(OPEN):
        store.close(timeout=2.0)


atexit.register(_close_all)
