"""The database goes away in each phase of a run, by a refused connection and by silence, and comes back."""

import asyncio
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from orchestrator import Orchestrator, Status
from orchestrator.core.errors import StoreError
from orchestrator.store import SqlStore
from orchestrator.store.ledger.verify import verify_store
from tests.support import forked

from .outages import HELD, Bank, Gate, tools, until, work
from .proxy import Proxy
from .server import Server

SECONDS: Final = float(os.environ.get("OUTAGE", "30"))
PHASES: Final = ("submitted", *HELD, "waiting", "answered")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server("outages")
    yield made
    made.close()


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_an_outage_in_each_phase_loses_and_doubles_nothing(kind: str, server: Server, tmp_path: Path) -> None:
    gate, bank, proxy, log = Gate(), Bank(), Proxy(server.folder), str(tmp_path / "log")
    direct = SqlStore(server.url, on_problem=lambda _: None)
    arguments = (gate.port, bank.port, log)
    processes = [
        forked.processes().Process(target=work, args=(proxy.url(), host, *arguments)) for host in ("one", "two")
    ]
    for process in processes:
        process.start()
    ids = {phase: f"{kind}-{phase}" for phase in PHASES}
    try:
        asyncio.run(_submit(server.url, gate.port, bank.port, ids))
        until(lambda: all(gate.came[phase] for phase in HELD), 60)
        until(lambda: all(_status(direct, ids[each]) is Status.WAITING for each in ("waiting", "answered")), 60)
        until(lambda: direct.owner(ids["waiting"]) == "", 60)
        _outage(kind, proxy, gate)
        back = time.monotonic()
        for each in ("waiting", "answered"):
            until(partial(direct.queue.answer, ids[each], '{"answer": true}'), 60)
        until(lambda: all(_status(direct, run_id).ended for run_id in ids.values()), 120)
        print(f"{kind}: all ended {time.monotonic() - back:.1f} s after the database was back")
        assert all(process.is_alive() for process in processes)
    finally:
        gate.open()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(30)
    wanted = {phase: Status.ESCALATED if phase == "compensation" else Status.REACHED for phase in PHASES}
    assert {phase: _status(direct, run_id) for phase, run_id in ids.items()} == wanted, Path(log).read_text()
    for phase in PHASES:
        for what in ("book", "pack"):
            assert len(bank.done[f"{what} {phase}"]) == 1, (phase, bank.done)
            assert bank.standing(f"{what} {phase}") == (phase != "compensation"), (phase, bank.undone)
    assert verify_store(direct).ok
    assert [process.exitcode for process in processes] == [0, 0]
    direct.close()
    proxy.close()
    bank.close()
    gate.close()


def _outage(kind: str, proxy: Proxy, gate: Gate) -> None:
    """The workers cannot reach the database for a while, and what was held continues in that time."""
    if kind == "refused":
        proxy.refuse(SECONDS)
    else:
        proxy.black_hole(SECONDS)
    back = time.monotonic() + SECONDS
    time.sleep(0.3)
    gate.open()
    with pytest.raises(StoreError, match="cannot be opened"):  # as a command that answers or looks would say
        SqlStore(proxy.url())
    assert time.monotonic() < back - SECONDS / 2
    time.sleep(max(0.0, back - time.monotonic()))


async def _submit(url: str, gate: int, bank: int, ids: dict[str, str]) -> None:
    async with Orchestrator(tools(gate, bank), store=url, monitors=()) as orc:
        for phase, run_id in ids.items():
            options: dict[str, Any] = {"delay": 25.0} if phase == "submitted" else {}
            await orc.submit("sent", {"phase": phase}, run_id=run_id, work_here=False, **options)


def _status(store: SqlStore, run_id: str) -> Status:
    row = store.run(run_id)
    assert row is not None
    return row.status
