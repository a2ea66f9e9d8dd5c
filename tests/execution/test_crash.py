"""`kill -9` at every instant: nothing is lost, nothing is done twice, the outcome is the undisturbed one."""

import multiprocessing
from collections import Counter
from multiprocessing.context import ForkServerContext
from pathlib import Path
from random import Random

import pytest

from tests.execution.crashing import WINDOWS, World, crash_and_resume


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["orchestrator", "tests.execution.crashing"])
    return context


def check(world: World, outcome: dict[str, object], *, fails: bool) -> None:
    net, reads = world.net(), Counter(line for line in world.lines() if line.startswith("read"))
    if fails:
        assert outcome["status"] == "escalated"
        assert net["book"] == net["pay"] == 0, world.lines()
        assert outcome["compensated"] == ["pay", "book"]
    else:
        assert (outcome["status"], outcome["value"]) == ("reached", 45)
        assert net["book"] == net["pay"] == 1, world.lines()
        assert not [line for line in world.lines() if line.startswith("undo")]
    assert outcome["uncompensated"] == []
    assert outcome["verified"]
    done = Counter(line for line in world.lines() if line.startswith("do "))
    assert all(count == 1 for count in done.values()), world.lines()
    assert sum(count - 1 for count in reads.values()) <= 1, "more than the read in flight was repeated"


def crash(processes: ForkServerContext, folder: Path, window: str, victim: str) -> None:
    fails = window == "in_compensation"
    world, outcome, died = crash_and_resume(processes, folder, window, victim, fails=fails)
    assert died, f"the process did not die {window}"
    check(world, outcome, fails=fails)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_process_that_dies(window: str, tmp_path: Path, processes: ForkServerContext) -> None:
    crash(processes, tmp_path, window, "pay")


@pytest.mark.campaign
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("number", range(36))
def test_many_processes_that_die(window: str, number: int, tmp_path: Path, processes: ForkServerContext) -> None:
    crash(processes, tmp_path, window, "book" if number % 2 else "pay")


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(120))
def test_a_process_that_dies_at_any_moment(number: int, tmp_path: Path, processes: ForkServerContext) -> None:
    rng = Random(number)
    fails = rng.random() < 0.5
    world, outcome, _ = crash_and_resume(processes, tmp_path, "", "", fails=fails, after=rng.uniform(0.05, 0.6))
    if not outcome:
        assert not world.lines(), "it died before its run was on record, and yet something happened"
        return
    check(world, outcome, fails=fails)
