"""Signals between the processes of a database, and the queue engines that can carry runs to workers."""

import asyncio
import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import StoreError
from orchestrator.store import SqlStore
from orchestrator.store.signals import HEALTH, QUEUE
from orchestrator.store.sql import watchdog
from tests.engine.background.proxy import Proxy
from tests.engine.background.server import Server
from tests.store.rows import run_row

ENGINES = ("pgqueuer", "procrastinate")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server("signals")
    yield server
    server.close()


def heard(store: SqlStore, *topics: str) -> list[threading.Event]:
    events = [threading.Event() for _ in topics]
    for topic, event in zip(topics, events, strict=True):
        store.signals.subscribe(topic, event.set)
    for event in events:
        assert event.wait(20), "nobody listens"  # every subscriber is called once when the connection stands
        event.clear()
    return events


def test_a_signal_reaches_every_process_after_what_it_is_about_is_durable(postgres: str) -> None:
    here, there = SqlStore(postgres), SqlStore(postgres)
    queue, health = heard(there, QUEUE, HEALTH)
    assert there.signals.live
    here.queue.submit(run_row("a"), "{}")
    assert queue.wait(10)
    assert not health.is_set()
    here.merge_health({"x": {"n": 1}}, lambda _, new: dict(new))
    here.signals.send(HEALTH)
    assert health.wait(10)
    assert there.load_health() == {"x": {"n": 1}}
    here.close()
    there.close()


def test_a_lost_connection_is_made_again_and_says_that_something_may_have_been_missed(server: Server) -> None:
    proxy = Proxy(server.folder)
    store = SqlStore(proxy.url(), on_problem=lambda _: None)
    (event,) = heard(store, QUEUE)
    proxy.reset()
    assert event.wait(20)
    assert store.run("nothing") is None  # a read is asked again on a new connection
    event.clear()
    server.restart()
    assert store.run("nothing") is None
    assert event.wait(20)
    store.close()
    proxy.close()


def test_a_file_and_an_unknown_engine_have_none(tmp_path: Path, postgres: str) -> None:
    store = SqlStore(tmp_path / "runs.db")
    assert not store.signals.live
    store.close()
    with pytest.raises(StoreError, match=r"pgqueuer or procrastinate.*Did you mean 'pgqueuer'"):
        SqlStore(f"{postgres}&queue=pgqueue")
    with pytest.raises(StoreError, match="only on PostgreSQL"):
        SqlStore(f"sqlite:///{tmp_path / 'runs.db'}?queue=pgqueuer")


@pytest.mark.parametrize("engine", ENGINES)
async def test_an_engine_carries_the_id_of_a_run_that_became_runnable(postgres: str, engine: str) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    store = await asyncio.to_thread(SqlStore, f"{postgres}&queue={engine}")
    assert store.transport is not None
    came: asyncio.Queue[str] = asyncio.Queue()
    receiving = asyncio.create_task(store.transport.receive(came.put_nowait))
    submit = store.queue.submit
    assert await asyncio.to_thread(submit, run_row("now"), "{}") is None
    assert await asyncio.to_thread(submit, run_row("later"), "{}", delay=60.0) is None
    async with asyncio.timeout(30):
        assert await came.get() == "now"
        (run,) = await asyncio.to_thread(store.queue.take, "w", 10.0, 5)
        assert await asyncio.to_thread(store.queue.requeue, "now", run.token)
        assert await came.get() == "now"
    assert came.empty()
    receiving.cancel()
    await asyncio.wait([receiving])
    await asyncio.to_thread(store.close)


def test_a_server_that_says_nothing_is_given_up_and_asked_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(server.folder)
    store = SqlStore(proxy.url(), on_problem=lambda _: None)
    monkeypatch.setattr(watchdog, "ANSWER_SECONDS", 0.5)
    assert store.run("a") is None
    store.queue.submit(run_row("a"), "{}")
    proxy.swallow()
    assert store.queue.submit(run_row("b"), "{}") is None
    proxy.swallow()
    assert store.run("b") is not None
    store.close()
    proxy.close()
