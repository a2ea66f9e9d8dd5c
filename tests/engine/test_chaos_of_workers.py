"""Workers that are killed and stopped at random: no run is lost, no payment is made twice, every chain is whole."""

import asyncio
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Status, Tool
from orchestrator.store import SqlStore
from orchestrator.store.ledger.verify import verify_store
from tests import forked
from tests.engine.owning import bank, work_for_ever


def a_worker(store: str, world: str) -> BaseProcess:
    process: BaseProcess = forked.processes().Process(target=work_for_ever, args=(store, world))
    process.start()
    return process


async def submit(store: str, runs: int) -> None:
    async with Orchestrator([Tool(lambda order: order, name="pay", gives="receipt")], store=store) as orc:
        for number in range(runs):
            await orc.submit("receipt", {"order": str(number)}, run_id=f"order-{number}", work_here=False)


def disturb(workers: list[BaseProcess], draw: random.Random, store: str, world: str) -> None:
    """Kill a worker and start another in its place, or stop one past its lease."""
    place = draw.randrange(len(workers))
    pid = workers[place].pid
    assert pid is not None
    if draw.random() < 0.3:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(pid, signal.SIGCONT)
        return
    os.kill(pid, signal.SIGKILL)
    workers[place].join(30)
    workers[place] = a_worker(store, world)


def chaos(store: str, world: str, runs: int, kills: int, seed: int) -> None:
    asyncio.run(submit(store, runs))
    draw = random.Random(seed)
    workers = [a_worker(store, world) for _ in range(4)]
    opened = SqlStore(store)
    for _ in range(kills):
        time.sleep(draw.uniform(0.05, 0.6))
        disturb(workers, draw, store, world)
        for row in opened.runs(status=Status.QUEUED, limit=runs):
            if row.wake is None:  # so often killed that it was set aside: somebody looks, and tries again
                opened.queue.retry(row.run_id)
    deadline = time.monotonic() + 60 + runs
    while opened.count_runs(status=Status.REACHED, parent=None) < runs:
        assert time.monotonic() < deadline
        for row in opened.runs(status=Status.QUEUED, limit=runs):
            if row.wake is None:
                opened.queue.retry(row.run_id)
        time.sleep(0.2)
    for process in workers:
        process.terminate()
    for process in workers:
        process.join(60)
    paid = [line.split()[1] for line in Path(world).read_text().splitlines()]
    assert sorted(paid) == sorted(f"order-{number}" for number in range(runs))
    assert verify_store(opened).ok
    opened.close()


def test_a_few_kills(postgres: str, tmp_path: Path) -> None:
    chaos(postgres, str(bank(str(tmp_path / "bank.txt"))), runs=12, kills=3, seed=1)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
def test_a_thousand_kills(postgres: str, tmp_path: Path) -> None:
    kills = int(os.environ.get("ORCHESTRATOR_KILLS", "1000"))
    chaos(postgres, str(bank(str(tmp_path / "bank.txt"))), runs=5 * kills, kills=kills, seed=2)
