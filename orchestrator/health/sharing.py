"""Health shared by processes: counts are added up in the store, circuits are hints, decisions stay in memory.

Every process publishes what it alone has observed since it last did, and merges what the others have: no process
overwrites what another one counted. A store that is down closes nothing and opens nothing.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from orchestrator.core.enums import CircuitState

from .entry import Entry
from .registry import HealthRegistry


class HealthStore(Protocol):
    """The store through which processes share health; every `Store` is one."""

    def merge_health(self, deltas: Mapping[str, Mapping[str, Any]], merge: "Merge") -> None:
        """Enqueue that what is stored of each label becomes `merge(stored, delta)`, atomically with respect to other
        writers.
        """
        ...

    def load_health(self) -> dict[str, dict[str, Any]]:
        """What is stored, by name."""
        ...


class Merge(Protocol):
    """How a delta is added to what is stored."""

    def __call__(self, stored: Mapping[str, Any] | None, delta: Mapping[str, Any], /) -> dict[str, Any]:
        """The two as one."""
        ...


def publish(health: HealthRegistry, store: HealthStore) -> None:
    """Enqueue what this process has observed since it last published."""
    deltas = health.entries.pending_deltas()
    if deltas:
        store.merge_health(deltas, partial(merged, half_life=health.policy.circuit.half_life))


def refresh(health: HealthRegistry, store: HealthStore) -> None:
    """Merge what the other processes have published. Raises `StoreError` when the store cannot be read."""
    snapshot_count = health.entries.published
    health.merge_remote(store.load_health(), snapshot_count)


def merged(stored: Mapping[str, Any] | None, delta: Mapping[str, Any], half_life: float) -> dict[str, Any]:
    """What is stored and what is new as one: counts added at the later of the two times, the later turn of the circuit.

    Something stored that cannot be read is replaced.
    """
    try:
        assert stored is not None
        before = Entry.from_json(dict(stored), float(stored["time"]), half_life)
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return {**delta, "writes": 1}
    now = max(float(stored["time"]), float(delta["time"]))
    fresh = Entry.from_json(dict(delta), float(delta["time"]), half_life)
    before.add(fresh)
    before.voices = before.voices.merged(fresh.voices, now)
    opener = fresh.turn == before.turn and before.circuit.state is CircuitState.CLOSED
    if fresh.turn > before.turn or opener:
        before.circuit, before.hand_at, before.turned_at = fresh.circuit, fresh.hand_at, fresh.turned_at
    return {
        "version": 2,
        "target": delta["target"],
        "time": now,
        **before.to_json(now),
        "declaration": fresh.declaration,
        "writes": before.writes + 1,
    }
