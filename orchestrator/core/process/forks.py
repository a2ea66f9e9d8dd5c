"""Renews state in a forked child: locks that a thread of the parent may hold, objects that belong to the parent.

A child has only the thread that forked, so it must not wait for locks, threads, queues or connections of others.
"""

import os
import threading
from typing import Any, Final, Protocol
from weakref import WeakSet


class RenewedAfterFork(Protocol):
    """Something that belongs to one process."""

    def after_fork(self) -> None:
        """Reset in the child: drop the parent's threads, connections and runs."""
        ...


class PausedAtFork(Protocol):
    """Something whose work must not be interrupted by a fork."""

    def before_fork(self) -> None:
        """Finish the current work and start no more, within a bounded time."""
        ...

    def after_fork_in_parent(self) -> None:
        """Continue."""
        ...


_LOCKS: Final[WeakSet[Any]] = WeakSet()
_QUIET: Final[WeakSet[Any]] = WeakSet()
_RENEWED: Final[WeakSet[Any]] = WeakSet()


def new_lock() -> threading.Lock:
    """A lock that is free in a forked child, even when a thread of the parent held it."""
    lock = threading.Lock()
    _LOCKS.add(lock)
    return lock


def new_rlock() -> "threading.RLock":
    """The same, for a lock that its holder may take again."""
    lock = threading.RLock()
    _LOCKS.add(lock)
    return lock


def renew_after_fork(thing: RenewedAfterFork) -> None:
    """Register `thing.after_fork()` to be called in every child, after the locks are free."""
    _RENEWED.add(thing)


def pause_at_fork(thing: PausedAtFork) -> None:
    """Register `thing` to finish its work before a fork, and to continue in the parent afterwards."""
    _QUIET.add(thing)


def _before() -> None:
    for thing in list(_QUIET):
        thing.before_fork()


def _in_parent() -> None:
    for thing in list(_QUIET):
        thing.after_fork_in_parent()


def _in_child() -> None:
    for lock in list(_LOCKS):
        lock._at_fork_reinit()
    for thing in list(_RENEWED):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
