"""`kill -9` over a tree with questions and a compensation: nothing is lost, doubled or unlisted, whoever answers."""

import asyncio
import itertools
import os
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator import NOT_DONE, Orchestrator, RunContext, Status, Tool, Unavailable
from tests.support import forked

RECORDS = 40
"""A life writes about so many records."""


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    return forked.processes()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "runs.db") if request.param == "sqlite" else request.getfixturevalue("postgres")


class Log:
    """The world outside: one line for each effect, whoever dies."""

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "effects.log"

    def add(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{line}\n")
            file.flush()

    def count(self, line: str) -> int:
        return self.path.read_text().splitlines().count(line) if self.path.exists() else 0


def workflow(folder: str, *, fails: bool) -> list[Tool]:
    """A write, two children that each ask and send, and an end that may fail."""
    log = Log(folder)

    def book() -> str:
        log.add("book")
        return "b"

    def undo(booking: str) -> None:
        log.add("undo book")

    def booked() -> Any:
        return "b" if log.count("book") > log.count("undo book") else NOT_DONE

    async def ask(payee: str, ctx: RunContext) -> str:
        return str(await ctx.wait(f"Account of {payee}?", str))

    def send(account: str, payee: str) -> str:
        log.add(f"send {payee}")
        return f"sent {payee} {account}"

    def was_sent(account: str, payee: str) -> Any:
        return f"sent {payee} {account}" if log.count(f"send {payee}") else NOT_DONE

    async def everybody(booking: str, ctx: RunContext) -> list[str]:
        outs = await asyncio.gather(*(ctx.reach("sent", {"payee": payee}) for payee in ("ann", "bob")))
        return [out.value for out in outs]

    def end(all_sent: list[str]) -> list[str]:
        if fails:
            raise Unavailable("the end is down")
        return all_sent

    return [
        Tool(book, gives={"booking": str}, effect="write", reconcile=booked, compensate=undo),
        Tool(ask, gives={"account": str}),
        Tool(send, gives={"sent": str}, effect="irreversible", reconcile=was_sent),
        Tool(everybody, gives={"all_sent": list[str]}),
        Tool(end, gives={"end": list[str]}),
    ]


def live(folder: str, store_at: str, fails: bool, record: int) -> None:
    """One life of the process: begin or pick up the run, and answer what is asked; it dies before a record."""

    async def go() -> None:
        async with Orchestrator(workflow(folder, fails=fails), store=store_at, monitors=()) as orc:
            store: Any = orc.store
            append, written = store.append, itertools.count(1)

            def dying(*given: Any) -> None:
                if next(written) == record:
                    store.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
                append(*given)

            store.append = dying
            out = await orc.run("end", {}, run_id="r")
            while out.status is Status.WAITING:
                out = await orc.resume("r", "1", question=out.questions[0].id)
            told = [str(out.status), orc.verify("r").ok, str(orc.replay("r").differences), *out.uncompensated]
            (Path(folder) / "outcome").write_text(repr(told))

    asyncio.run(go())


def crash(processes: ForkServerContext, folder: Path, store: str, deaths: list[int], *, fails: bool) -> list[Any]:
    for record in (*deaths, 0):
        process = processes.Process(target=live, args=(str(folder), store, fails, record))
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
        if (folder / "outcome").exists():
            break
    told: list[Any] = eval((folder / "outcome").read_text())
    return told


def check(folder: Path, told: list[Any], *, fails: bool) -> None:
    log = Log(str(folder))
    assert [log.count(f"send {payee}") for payee in ("ann", "bob")] == [1, 1]
    assert log.count("book") == 1
    assert log.count("undo book") == (1 if fails else 0)
    assert told[:3] == ["escalated" if fails else "reached", True, "()"]
    if fails:
        assert "book" not in told[3:]


@pytest.mark.parametrize("record", [8, 20])
def test_a_tree_with_questions_survives_its_process(
    record: int, store: str, tmp_path: Path, processes: ForkServerContext
) -> None:
    check(tmp_path, crash(processes, tmp_path, store, [record], fails=record == 20), fails=record == 20)


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(120))
def test_a_tree_with_questions_that_dies_at_any_moment(
    number: int, store: str, tmp_path: Path, processes: ForkServerContext
) -> None:
    rng = Random(number)
    deaths = [rng.randrange(1, RECORDS) for _ in range(rng.randrange(1, 4))]
    fails = rng.random() < 0.5
    check(tmp_path, crash(processes, tmp_path, store, deaths, fails=fails), fails=fails)
