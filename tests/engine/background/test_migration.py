"""A store that is migrated while workers use it: they are noticed, and those of the older version stop."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from orchestrator import Orchestrator, Status, Tool
from orchestrator.engine.background import worker as work
from orchestrator.store import SqlStore
from orchestrator.store.sql.maintenance import live_owners
from tests.support.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres") if request.param == "postgres" else str(tmp_path / "runs.db")


def set_version(store: SqlStore, version: int) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE orchestrator_meta SET value = {version} WHERE name = 'schema'"))


async def test_a_worker_whose_store_is_moved_stops_says_so_and_hands_back(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "SWEEP_SECONDS", 0.05)
    begun = asyncio.Event()

    async def slow() -> int:
        begun.set()
        await asyncio.sleep(60)
        return 1

    async with Orchestrator([Tool(slow, gives="w", timeout=90)], store=where, monitors=()) as orc:
        problems: list[str] = []
        orc.store.on_problem = problems.append
        assert isinstance(orc.store, SqlStore)
        await orc.submit("w", run_id="r", work_here=False)
        worker = orc.worker()
        working = asyncio.create_task(worker.run())
        await begun.wait()
        set_version(orc.store, 99)
        async with asyncio.timeout(20):
            await working
        set_version(orc.store, 2)
        said = [problem for problem in problems if "schema version 99" in problem]
        assert len(said) == 1
        assert "this worker stops and hands its runs back" in said[0]
        assert worker.moved
    store = SqlStore(where)
    assert store.owner("r") == ""

    async def quick() -> int:
        return 2

    async with Orchestrator([Tool(quick, name="slow", gives="w")], store=where, monitors=()) as orc:
        await orc.worker().until_idle()
        assert (await orc.wait("r")).value == 2
    row = store.run("r")
    store.close()
    assert row is not None
    assert row.status is Status.REACHED


async def test_an_idle_worker_counts_as_a_user_of_its_store(where: str) -> None:
    async with Orchestrator([Tool(lambda: 1, name="one", gives="w")], store=where, monitors=()) as orc:
        assert isinstance(orc.store, SqlStore)
        worker = orc.worker()
        working = asyncio.create_task(worker.run())
        async with asyncio.timeout(20):
            while True:
                with orc.store.reader.connect() as connection:
                    if live_owners(connection):
                        break
                await asyncio.sleep(0.05)
        worker.stop()
        await working
