"""A process that could not renew its lease in time takes nothing from others that could not either."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, tool
from orchestrator.engine.background import heartbeat
from orchestrator.engine.background.heartbeat import LEASE_SECONDS, STRAY_SECONDS, Heartbeat
from orchestrator.errors import StoreError
from orchestrator.store import MemoryStore
from orchestrator.store.rows import FIRST_TOKEN
from tests.store.rows import run_row


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


class Live:
    """A live run."""

    token, released = FIRST_TOKEN, False

    def cancel(self, reason: str) -> None:
        """Nothing to cancel."""

    def fence(self) -> None:
        """Nothing to fence."""


def test_a_run_that_is_owned_and_not_executed_is_released_after_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr(heartbeat, "time", time)
    store, problems, turns = MemoryStore(), list[str](), {"in turn"}
    beating = Heartbeat(store, {"live": Live()}, problems.append, turns.__contains__)
    for run_id in ("live", "in turn", "stray"):
        store.begin(run_row(run_id), beating.owner, 1000.0)
    store.begin(run_row("of another"), "another|1|1|x", 1000.0)
    beating.beat()
    time.now += STRAY_SECONDS - 0.1
    beating.beat()
    assert store.owner("stray")
    time.now += 0.1
    beating.beat()
    owners = {run_id: store.owner(run_id) for run_id in ("live", "in turn", "stray", "of another")}
    assert owners == {"live": beating.owner, "in turn": beating.owner, "stray": "", "of another": "another|1|1|x"}
    assert problems == ["run 'stray' is released: this process owns it and does not execute it"]


async def test_a_claim_whose_answer_was_lost_is_released_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "STRAY_SECONDS", 0.2)
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 0.1)

    @tool(gives="y")
    def double(x: int) -> int:
        return 2 * x

    async with Orchestrator([double], store=tmp_path / "runs.db", monitors=()) as orc:
        take = orc.store.queue.take
        lost: list[Any] = []

        def lose_one(*args: Any, **kwargs: Any) -> Any:
            taken = take(*args, **kwargs)
            if taken and not lost:
                lost.extend(taken)
                raise StoreError("the store did not answer")
            return taken

        monkeypatch.setattr(orc.store.queue, "take", lose_one)
        async with asyncio.timeout(30):
            assert (await orc.wait(await orc.submit("y", {"x": 2}))).value == 4
        assert len(lost) == 1
