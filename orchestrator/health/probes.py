"""`ProbeLeases`: which process may probe a tool whose circuit is half open."""

from collections.abc import Callable
from typing import Final

from .entry import Entry

Lease = Callable[[str, str, float], bool]
"""(tool, owner, seconds) -> whether `owner` now holds the one probe among all processes."""
Unlease = Callable[[str, str], None]
"""(tool, owner): gives that probe back."""
ASK_AGAIN: Final = 2.0
"""Seconds after which a process that did not get the probe asks for it again."""
_ALONE_AFTER: Final = 5.0
"""Seconds without an answer of the store after which a process probes without asking."""


class ProbeLeases:
    """One process per probe window holds a lease in the store.

    If the store is unreachable for some seconds, each process probes on its own, so a store that is down never keeps
    a tool excluded.
    """

    def __init__(self, lease: Lease | None, unlease: Unlease | None) -> None:
        self._lease = lease
        self._unlease = unlease

    def refused(self, label: str, entry: Entry, owner: str, seconds: float, now: float) -> str:
        """Why this process does not get the probe; empty when it does."""
        if self._lease is None:
            return ""
        try:
            leased = self._lease(label, owner, seconds)
        except Exception:  # all processes may be asking at once: ask again before deciding alone
            entry.unanswered_since = now if entry.unanswered_since is None else entry.unanswered_since
            alone = now - entry.unanswered_since >= _ALONE_AFTER
            return "" if alone else "the store does not say whether another process is probing it"
        entry.unanswered_since = None
        return "" if leased else "another process is probing it"

    def give_back(self, label: str, owner: str) -> None:
        """End a lease early."""
        if self._unlease is None:
            return
        try:
            self._unlease(label, owner)
        except Exception:  # it ends by itself
            return
