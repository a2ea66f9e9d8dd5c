"""Health shared by processes: counts are added up in the store, circuits are hints, decisions stay in memory.

Every process tells the store what it alone has seen since it last did, and takes over what the others have: no process
overwrites what another one counted. A store that is down closes nothing and opens nothing.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from orchestrator.core.enums import CircuitState

from .entry import Entry
from .registry import HealthRegistry


class HealthStore(Protocol):
    """Where processes meet; every `Store` is one."""

    def merge_health(self, news: Mapping[str, Mapping[str, Any]], merge: "Merge") -> None:
        """Enqueue that what is stored of each name becomes `merge(stored, its news)`, whoever else writes meanwhile."""
        ...

    def load_health(self) -> dict[str, dict[str, Any]]:
        """What is stored, by name."""
        ...


class Merge(Protocol):
    """How news are added to what is stored."""

    def __call__(self, stored: Mapping[str, Any] | None, news: Mapping[str, Any], /) -> dict[str, Any]:
        """The two as one."""
        ...


def tell(health: HealthRegistry, store: HealthStore) -> None:
    """Enqueue the news of this process."""
    news = health.news()
    if news:
        store.merge_health(news, partial(merged, half_life=health.policy.circuit.half_life))


def learn(health: HealthRegistry, store: HealthStore) -> None:
    """Take over what the other processes have seen. Raises `StoreError` when the store cannot be read."""
    tellings = health.tellings
    health.take(store.load_health(), tellings)


def merged(stored: Mapping[str, Any] | None, news: Mapping[str, Any], half_life: float) -> dict[str, Any]:
    """What is stored and what is new as one: counts added at the later of the two times, the later turn of the circuit.

    Something stored that cannot be read is replaced.
    """
    try:
        assert stored is not None
        before = Entry.from_json(dict(stored), float(stored["time"]), half_life)
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError):
        return {**news, "writes": 1}
    now = max(float(stored["time"]), float(news["time"]))
    fresh = Entry.from_json(dict(news), float(news["time"]), half_life)
    before.add(fresh, half_life)
    opener = fresh.turn == before.turn and before.circuit.state is CircuitState.CLOSED
    if fresh.turn > before.turn or opener:
        before.circuit, before.hand_at, before.turned_at = fresh.circuit, fresh.hand_at, fresh.turned_at
    return {
        "version": 1,
        "target": news["target"],
        "time": now,
        **before.to_json(now),
        "writes": before.writes + 1,
    }
