"""How soon runs go on elsewhere when several things fail in the same moment."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from orchestrator import Orchestrator, Tool
from orchestrator.store import SqlStore
from orchestrator.store import owner as owners
from orchestrator.store.sql.tables import LEASES, RUNS
from tests.support import forked

from .server import Server

TAKEOVER_SECONDS = 5.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server("takeover")
    yield made
    made.close()


async def slow(n: int) -> int:
    await asyncio.sleep(600)
    return n


def made(url: str) -> Orchestrator:
    return Orchestrator([Tool(slow, gives="w", timeout=900)], store=url, monitors=())


def work(url: str, host: str) -> None:
    """A worker on a machine of its own, so that nobody can see whether its process runs."""
    owners._machine = lambda: host  # pyright: ignore[reportPrivateUsage]

    async def main() -> None:
        async with made(url) as orc:
            await orc.worker().run()

    asyncio.run(main())


async def submit(url: str, runs: int) -> None:
    async with made(url) as orc:
        for n in range(runs):
            await orc.submit("w", {"n": n}, work_here=False)


def hosts(store: SqlStore) -> list[str]:
    """The machine of the owner of each running run."""
    with store.reader.connect() as connection:
        found = connection.execute(select(RUNS.c.owner).where(RUNS.c.status == "running")).scalars()
        return [owner.split("|")[0] for owner in found]


def sweeper(store: SqlStore) -> str:
    """The machine that swept last."""
    with store.reader.connect() as connection:
        owner = connection.execute(select(LEASES.c.owner).where(LEASES.c.name == "sweep")).scalar() or ""
    return owner.split("|")[0]


@pytest.mark.campaign
@pytest.mark.timeout(300)
@pytest.mark.parametrize("restart", [False, True])
def test_owner_and_sweeper_die_at_once(server: Server, restart: bool) -> None:
    """Of three machines the one that sweeps and another one that owns runs are killed; the third has all soon."""
    store = SqlStore(server.url, on_problem=lambda _: None)
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM orchestrator_runs"))
    asyncio.run(submit(server.url, 30))
    processes = {host: forked.processes().Process(target=work, args=(server.url, host)) for host in ("a", "b", "c")}
    for process in processes.values():
        process.start()
    while len(hosts(store)) < 30:
        time.sleep(0.05)
    time.sleep(2.0)
    first = sweeper(store)
    others = [host for host in hosts(store) if host != first]
    second = others[0] if others else next(host for host in processes if host != first)
    for host in (first, second):
        pid = processes[host].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    if restart:
        server.restart()
    began = time.monotonic()
    (third,) = set(processes) - {first, second}
    while True:
        try:
            if set(hosts(store)) == {third} and len(hosts(store)) == 30:
                break
        except SQLAlchemyError:
            pass
        assert time.monotonic() - began < 60
        time.sleep(0.02)
    taken = time.monotonic() - began
    print(f"all 30 runs are the third machine's after {taken:.2f} s{' (from the restart)' if restart else ''}")
    for process in processes.values():
        process.kill()
        process.join()
    store.close(timeout=1.0)
    assert taken < TAKEOVER_SECONDS
