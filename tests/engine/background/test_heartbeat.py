"""A process that could not renew its lease in time takes nothing from others that could not either."""

from typing import Any

import pytest

from orchestrator.engine.background import heartbeat
from orchestrator.engine.background.heartbeat import LEASE_SECONDS, Heartbeat
from orchestrator.errors import StoreError
from orchestrator.store import MemoryStore


class Away(MemoryStore):
    """A store that can be away."""

    away = False

    def renew(self, *args: Any, **kwargs: Any) -> frozenset[str]:
        if self.away:
            raise StoreError("away")
        return super().renew(*args, **kwargs)


class Time:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_lease_that_lapsed_says_so_until_the_others_had_time_to_renew_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr(heartbeat, "time", time)
    store, problems = Away(), list[str]()
    beating = Heartbeat(store, {}, problems.append)
    beating.beat()
    time.now += 100.0
    beating.beat()
    assert not beating.lapsed()  # it needs no lease
    beating.workers = 1
    beating.beat()
    for _ in range(20):
        time.now += LEASE_SECONDS
        beating.beat()
        assert not beating.lapsed()
    store.away = True
    time.now += LEASE_SECONDS + 0.1
    beating.beat()
    assert beating.lapsed()
    assert len(problems) == 1
    store.away = False
    time.now += 30.0
    assert beating.lapsed()
    beating.beat()
    time.now += LEASE_SECONDS - 0.1
    assert beating.lapsed()
    beating.beat()
    time.now += 0.2
    assert not beating.lapsed()


def test_a_worker_that_stops_needs_no_lease() -> None:
    beating = Heartbeat(MemoryStore(), {}, lambda _: None)
    beating.workers = 1
    beating.beat()
    beating.workers = 0
    beating.beat()
    assert not beating.lapsed()
