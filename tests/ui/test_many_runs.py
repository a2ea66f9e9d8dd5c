"""Every page over 200 varied runs, in a browser; and over 100,000, within half a second each."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator import Orchestrator, Status
from orchestrator.store import MemoryStore, Store, open_store
from orchestrator.store.sql.reads import SqlReads
from orchestrator.ui import create_app
from orchestrator.ui.render_pages import run_path
from tests.support.random_runs import random_orchestrator, random_run
from tests.ui.test_browser import Served, browser, in_thread, open_tab, pytestmark  # noqa: F401  # pyright: ignore[reportUnusedImport]
from tests.ui.worlds import HERE, TOKEN, world

RUNS = 200
MOST_SECONDS = 0.5


async def varied(store: Store) -> Orchestrator:
    """Runs of forty random programs in one store; returns the last program."""
    orc: Orchestrator | None = None
    for seed in range(RUNS // 5):
        random = Random(seed)
        orc = random_orchestrator(random, store=store)
        for _ in range(5):
            await random_run(random, orc)
    assert orc is not None
    return orc


@pytest.fixture(scope="module")
def many() -> Orchestrator:
    """An orchestrator whose store has them."""
    return in_thread(varied(MemoryStore()))


def test_every_run_has_its_page_and_every_decision_too(many: Orchestrator) -> None:
    client = TestClient(create_app(many, token=TOKEN), base_url=HERE)
    client.get(f"/?token={TOKEN}")
    rows = many.store.runs(limit=1000)
    assert len({row.status for row in rows}) >= 3
    for number, row in enumerate(rows):
        page = client.get(run_path(row.run_id))
        assert page.status_code == 200, row.run_id
        assert "record changed" not in page.text
        if number % 10 == 0:
            for link in {part.split('"')[0] for part in page.text.split('href="')[1:] if "/decisions/" in part[:200]}:
                assert client.get(link).status_code == 200, link
    for status in Status:
        assert client.get(f"/?status={status}&children=1").status_code == 200
    for path in (
        "/overview",
        "/health",
        "/agents",
        "/?healed=1",
        "/?failure=outage",
        "/?since=1h",
        "/backtest?policy=fastest",
    ):
        assert client.get(path).status_code == 200


def test_a_browser_opens_a_sample_of_them_without_a_complaint(browser: object, many: Orchestrator) -> None:  # noqa: F811
    rows = many.store.runs(limit=1000)
    sample = [next((row for row in rows if row.status is status), None) for status in Status]
    served = Served(many)
    try:
        for tab in open_tab(browser, served):  # type: ignore[arg-type]
            for row in (row for row in sample if row is not None):
                assert tab.open(run_path(row.run_id)).locator("h1").count() == 1
            for path in ("/", "/overview", "/health", "/agents", "/?failure=outage", "/backtest?policy=cheapest"):
                assert tab.open(path).locator("h1").count() == 1
            assert tab.problems == []
    finally:
        served.close()


def test_a_page_reads_the_store_a_few_times_however_many_runs_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = tmp_path / "runs.db"
    in_thread(world(where)).orc.close()
    in_thread(varied(open_store(where))).store.close()
    store, reads = open_store(where), [0]
    read = SqlReads._read  # pyright: ignore[reportPrivateUsage]

    def counted(self: SqlReads, query: Any) -> Any:
        reads[0] += id(self) == id(store)  # a thread of another test may still read another store
        return read(self, query)

    monkeypatch.setattr(SqlReads, "_read", counted)
    client = TestClient(create_app(store, token=TOKEN), base_url=HERE)
    client.get(f"/?token={TOKEN}")
    found: dict[str, int] = {}
    for path in (
        "/",
        "/overview",
        "/health",
        "/agents",
        "/runs/healed",
        "/tools/carrier_api",
        "/tools/t1",
        "/?tool=t1",
    ):
        reads[0] = 0
        assert client.get(path).status_code == 200
        found[path] = reads[0]
    store.close()
    assert max(found.values()) <= 10, found


@pytest.mark.campaign
def test_every_page_opens_within_half_a_second_at_100_000_runs(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    with closing(sqlite3.connect(where)) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(orchestrator_runs)")]
        row = database.execute("SELECT * FROM orchestrator_runs WHERE run_id = 'healed'").fetchone()
        base, now = dict(zip(columns, row, strict=True)), time.time()
        copies = (
            {**base, "run_id": f"r{n}", "started": now - n * 0.8, "ended": now - n * 0.8 + 0.5} for n in range(100_000)
        )
        places = ", ".join("?" * len(columns))
        database.executemany(
            f"INSERT INTO orchestrator_runs VALUES ({places})", (tuple(copy.values()) for copy in copies)
        )
    store = open_store(where)
    client = TestClient(create_app(store, token=TOKEN), base_url=HERE)
    client.get(f"/?token={TOKEN}")
    slow: dict[str, float] = {}
    paths = ("/", "/overview", "/health", "/agents", "/runs/healed", "/tools/carrier_api", "/?healed=1&since=24h")
    rare = ("/tools/letter", "/?tool=letter", "/?tool=nobody", "/?failure=bug")
    for path in (*paths, *rare, "/?q=r99999", "/?page=1900", "/backtest?policy=fastest"):
        client.get(path)
        began = time.perf_counter()
        assert client.get(path).status_code == 200
        took = time.perf_counter() - began
        if took > MOST_SECONDS:
            slow[path] = round(took, 2)
    store.close()
    assert slow == {}
