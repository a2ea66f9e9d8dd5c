"""The store behind PgBouncer in transaction mode: everything works but LISTEN, and no setting of ours is lost."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from orchestrator import Orchestrator, RunContext, Status, Tool, tool
from orchestrator.core.errors import StoreError
from orchestrator.engine.background.worker import WorkerOptions
from orchestrator.store import SqlStore, Store
from orchestrator.store.ledger.verify import verify_store
from orchestrator.store.sql.session import SETTINGS
from tests.store.conformance import Moment, StoreConformance
from tests.store.queue_conformance import QueueConformance
from tests.support.pgbouncer import pgbouncer

REFUSES, DROPS = "extra_float_digits", "extra_float_digits, options"


@pytest.fixture(scope="module", params=[REFUSES, DROPS], ids=["refuses-options", "drops-options"])
def pooler(request: pytest.FixtureRequest, postgres_server: str) -> Iterator[str]:
    with pgbouncer(Path(postgres_server.partition("host=")[2]), request.param) as url:
        yield url


@pytest.fixture
def pooled(pooler: str, postgres: str) -> str:
    """The URL of an empty database behind the pooler."""
    del postgres
    return pooler


def test_the_settings_of_a_session_hold_in_each_transaction(pooled: str) -> None:
    store = SqlStore(pooled)
    wanted = ", ".join(f"current_setting('{name}')" for name in SETTINGS)
    with store.engine.begin() as connection:
        found = connection.execute(text(f"SELECT {wanted}")).one()
    with store.reader.connect() as connection:  # the next one to use the session of the server
        others = connection.execute(text("SELECT current_setting('lock_timeout')")).scalar()
    assert (list(found), others) == (["on", "5s", "3s"], "0")
    assert store.durability() == "on"
    store.close()


def test_options_of_the_url_that_a_pooler_loses_are_an_error(pooled: str) -> None:
    with pytest.raises(StoreError, match=r"the pooler .* does not pass on options=-csearch_path=team of .*ALTER ROLE"):
        SqlStore(f"{pooled}?options=-csearch_path%3Dteam")


def test_a_connection_without_a_pooler_sets_nothing_in_its_transactions(postgres: str) -> None:
    store = SqlStore(postgres)
    statements: list[str] = []
    from sqlalchemy import event

    event.listen(store.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert store.durability() == "on"
    assert not [each for each in statements if "set_config" in each]
    store.close()


def double(x: int) -> int:
    return 2 * x


async def confirm(y: int, ctx: RunContext) -> str:
    return f"{y} {await ctx.wait('Is it right?', bool)}"


async def test_runs_questions_and_waiting_through_the_pooler(pooled: str) -> None:
    async with Orchestrator([Tool(double, gives="y"), Tool(confirm, gives="z")], store=pooled, monitors=()) as orc:
        ids = [await orc.submit("z", {"x": number}, work_here=False) for number in range(8)]
        workers = [orc.worker(WorkerOptions(concurrency=4, drain_seconds=5.0)) for _ in range(2)]
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        for run_id in ids:
            assert (await orc.wait(run_id)).status is Status.WAITING
            assert orc.store.queue.answer(run_id, '{"answer": true}')
        async with asyncio.timeout(30):
            while any(row.status is not Status.REACHED for row in orc.store.runs()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        outcomes = [await orc.wait(run_id) for run_id in ids]
        for worker in workers:
            worker.stop()
        await asyncio.gather(*tasks)
        assert [outcome.value for outcome in outcomes] == [f"{2 * number} True" for number in range(8)]
        await asyncio.to_thread(orc.store.flush)
        assert verify_store(orc.store).ok


async def test_a_submission_is_found_although_no_notification_arrives(pooled: str) -> None:
    @tool(gives="y")
    def now(x: int) -> float:
        return time.monotonic() - x

    async with Orchestrator([now], store=pooled, monitors=()) as orc:
        assert not orc.store.signals.live
        worker = orc.worker()
        task = asyncio.create_task(worker.run())
        began = time.monotonic()
        assert (await orc.wait(await orc.submit("y", {"x": 0}, work_here=False))).value - began < 5.0
        worker.stop()
        await task


@pytest.mark.campaign
class TestPooled(StoreConformance, QueueConformance):
    """The kits of every store, through the pooler."""

    @pytest.fixture
    def store(self, pooled: str, clock: Moment) -> Iterator[Store]:
        store = SqlStore(pooled, clock=clock)
        yield store
        store.close()
