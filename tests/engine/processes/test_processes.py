"""Calls in worker processes: real crashes, real memory, real endless loops."""

import asyncio
import ctypes
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import DefinitionError, FailureKind, Orchestrator, Outcome, Refused, RunContext, Status, Tool, tool
from orchestrator.core.errors import WorkerCrashed
from orchestrator.engine.processes import processes


def own_pid(x: int) -> int:
    return os.getpid()


def crash(x: int) -> str:
    ctypes.string_at(0)
    return "never"


def leave(x: int) -> str:
    os._exit(3)


def eat(x: int) -> int:
    return len(bytearray(400_000_000))


def decline(x: int) -> str:
    raise Refused("no seats")


def stumble(x: int) -> str:
    raise KeyError("somewhere")


def parse(x: int) -> object:
    return statistics.mean([])


def spin(marker: Path) -> str:
    marker.write_text(str(os.getpid()))
    while True:
        pass


def delegate(marker: Path) -> str:
    with subprocess.Popen(["sleep", "60"]) as program:
        marker.write_text(str(program.pid))
    return "never"


def ended(pid: int) -> bool:
    """Whether a process is gone within some seconds; one that nobody has reaped yet counts as gone."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def written(marker: Path) -> None:
    """Wait for a file that says something."""
    while not (marker.exists() and marker.read_text()):
        time.sleep(0.02)


async def outcome_of(call: Callable[..., object], **options: Any) -> Outcome:
    async with Orchestrator([Tool(call, gives="out", isolation="process", retries=0, **options)]) as orc:
        return await orc.run("out", {"x": 1})


async def test_it_runs_in_another_process_which_is_kept() -> None:
    first = await outcome_of(own_pid)
    assert first.value != os.getpid()
    assert (await outcome_of(own_pid)).value == first.value


SCRIPT = """
import dataclasses

from pydantic import BaseModel

from orchestrator import Orchestrator, Tool

class Quote(BaseModel):
    usd: int

@dataclasses.dataclass
class Parcel:
    kilos: int

class Carrier:
    factor = 3

    def price(self, parcel: Parcel) -> Quote:
        assert isinstance(parcel, Parcel)
        return Quote(usd=self.factor * parcel.kilos)

def price(parcel: Parcel) -> Quote:
    return Carrier().price(parcel)

for call in (price, Carrier().price, lambda parcel: price(parcel)):
    tool = Tool(call, name="price", gives="quote", isolation="process")
    orc = Orchestrator([tool])
    value = orc.run_sync("quote", {"parcel": Parcel(kilos=2)}).value
    orc.close()
    print(value.usd, type(value) is Quote)
"""


def test_functions_and_classes_of_the_main_program(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    said = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, timeout=60)
    assert said.stdout == "6 True\n" * 3, said.stderr


async def test_closures_are_handed_over_by_value() -> None:
    seen = 41

    def add(x: int) -> int:
        return seen + x

    assert (await outcome_of(add)).value == 42


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (crash, FailureKind.BUG, r"its worker process crashed (SIGSEGV)"),
        (leave, FailureKind.BUG, "its worker process ended with status 3"),
        (decline, FailureKind.REFUSAL, "no seats"),
    ],
)
async def test_how_a_call_failed_is_told(call: Callable[..., object], kind: FailureKind, message: str) -> None:
    outcome = await outcome_of(call)
    assert outcome.status is Status.ESCALATED
    (failure,) = outcome.failures
    assert failure.kind is kind
    assert message in failure.message
    assert kind is not FailureKind.BUG or "(test_processes.py:" in failure.message
    assert (await outcome_of(own_pid)).ok


async def test_crashes_in_a_row_are_counted_for_each_function(tmp_path: Path) -> None:
    rows: list[int] = []

    def note(error: BaseException) -> None:
        rows.append(getattr(error, "in_a_row", 0))

    def crash_at(x: int) -> int:
        return crash(x) if x else x  # type: ignore[return-value]

    async with Orchestrator([Tool(crash_at, gives="out", isolation="process", retries=0, classify=note)]) as orc:
        for x in (1, 2, 0, 3):
            await orc.run("out", {"x": x})
    assert rows == [1, 2, 1]


async def test_memory_is_limited() -> None:
    outcome = await outcome_of(eat, memory=100)
    assert "it needs more than 100 MB (test_processes.py:" in outcome.failures[0].message
    assert (await outcome_of(eat, memory=600)).value == 400_000_000


async def test_a_bug_names_its_place() -> None:
    (failure,) = (await outcome_of(stumble)).failures
    assert failure.kind is FailureKind.BUG
    assert "test_processes.py" in failure.traceback
    assert "in stumble" in failure.traceback


async def test_a_bug_in_a_library_names_the_line_that_called_it() -> None:
    (failure,) = (await outcome_of(parse)).failures
    assert "StatisticsError" in failure.message
    assert "(test_processes.py:" in failure.message


@pytest.mark.parametrize("call", [spin, delegate])
async def test_a_time_out_ends_the_process_and_what_it_started(call: Callable[..., str], tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    await outcome_of(own_pid)  # the time-out is for the call, not for the start of the first worker
    orc = Orchestrator([Tool(call, gives="out", isolation="process", timeout=2, retries=0)])
    outcome = await orc.run("out", {"marker": marker})
    assert [failure.kind for failure in outcome.failures] == [FailureKind.TRANSIENT]
    assert ended(int(marker.read_text()))
    await orc.aclose()


async def test_a_cancellation_ends_the_process(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    orc = Orchestrator([Tool(spin, gives="out", isolation="process", timeout=60)])
    run = asyncio.create_task(orc.run("out", {"marker": marker}))
    await asyncio.to_thread(written, marker)
    run.cancel()
    await asyncio.wait([run])
    assert await asyncio.to_thread(ended, int(marker.read_text()))
    await orc.aclose()


async def test_a_write_whose_process_died_is_in_doubt() -> None:
    outcome = await outcome_of(crash, effect="write")
    assert [failure.kind for failure in outcome.failures] == [FailureKind.AMBIGUOUS]


async def test_no_more_calls_at_once_than_there_are_workers() -> None:
    def nap(x: int) -> tuple[float, float]:
        began = time.monotonic()
        time.sleep(0.05)
        return began, time.monotonic()

    async with Orchestrator([Tool(nap, gives="out", isolation="process")]) as orc:
        outcomes = await asyncio.gather(*(orc.run("out", {"x": x}) for x in range(8)))
    spans = [outcome.value for outcome in outcomes]
    at_once = [sum(began <= start < end for began, end in spans) for start, _ in spans]
    assert max(at_once) <= processes().size


async def test_a_pool_that_was_closed_starts_again() -> None:
    first = (await outcome_of(own_pid)).value
    processes().close()
    second = (await outcome_of(own_pid)).value
    assert first != second
    assert await asyncio.to_thread(ended, first)


async def test_a_pool_that_is_closed_while_a_worker_starts_starts_again() -> None:
    processes().close()
    starting = asyncio.create_task(asyncio.to_thread(processes().take, object()))
    await asyncio.sleep(0.05)
    processes().close()
    with pytest.raises(WorkerCrashed, match="no worker process could be started"):
        await starting
    worker = await asyncio.to_thread(processes().take, object())
    assert worker.pid
    processes().put_back(worker)


def test_what_cannot_be_isolated_is_an_error_where_it_is_written() -> None:
    with pytest.raises(DefinitionError, match="is for sync calls"):

        @tool(isolation="process")
        async def later(x: int) -> int:
            return x

    with pytest.raises(DefinitionError, match="takes no RunContext"):

        @tool(isolation="process")
        def asks(x: int, ctx: RunContext) -> int:
            return x


async def test_a_worker_that_retires_fails_nobody() -> None:
    def grow(x: int) -> int:
        kept.append(bytearray(350_000_000))
        return os.getpid()

    kept: list[bytearray] = []
    async with Orchestrator([Tool(grow, gives="out", isolation="process", retries=0)]) as orc:
        outcomes = [await orc.run("out", {"x": x}) for x in range(4)]
    assert [outcome.status for outcome in outcomes] == [Status.REACHED] * 4
