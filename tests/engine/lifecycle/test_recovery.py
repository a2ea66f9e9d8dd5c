"""`kill -9` at every instant: nothing is lost, nothing is done twice, the outcome is the undisturbed one.

The controls at the end are the same crashes with a ledger that forgets effects, or notes an intent only afterwards:
they must lose or double effects, or these tests could not fail.
"""

from collections import Counter
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from random import Random

import pytest

from orchestrator import InputError, Orchestrator, Status, Tool
from orchestrator.store.rows import RunRow
from tests.engine.crashing import WINDOWS, Death, World, crash_and_resume
from tests.support import forked

RECORDS = 24
"""A life writes about so many records: with a failing end and what it undoes, a few more than without."""


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    return forked.processes()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> str:
    """Where the runs are: a database's URL, or "" for a file in the test's folder."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres")


def check(world: World, outcome: dict[str, object], *, fails: bool, died: int = 1) -> None:
    if fails:
        assert outcome["status"] == "escalated"
        assert outcome["compensated"] == ["pay", "book"]
    else:
        assert (outcome["status"], outcome["value"]) == ("reached", 45)
        assert not [line for line in world.lines() if line.startswith("undo")]
    assert outcome["uncompensated"] == []
    assert outcome["verified"]
    assert outcome["replayed"] == []
    assert not lost_or_doubled(world, fails=fails), world.lines()
    reads = Counter(line for line in world.lines() if line.startswith("read"))
    assert sum(count - 1 for count in reads.values()) <= died, "more than the reads in flight were repeated"


def lost_or_doubled(world: World, *, fails: bool) -> list[str]:
    """Effects that do not stand exactly as the outcome says, or were made more than once on the way."""
    net, made = world.net(), Counter(line.split()[1] for line in world.lines() if line.startswith("do "))
    return [name for name in ("book", "pay") if net[name] != (0 if fails else 1) or made[name] != 1]


def crash(
    processes: ForkServerContext,
    folder: Path,
    deaths: Sequence[Death],
    *,
    fails: bool,
    all_die: bool = True,
    store: str = "",
) -> None:
    world, outcome, died = crash_and_resume(processes, folder, deaths, fails=fails, store=store)
    assert not all_die or died == len(deaths), "a process did not die as it was told"
    if not outcome:
        happened = [line for line in world.lines() if not line.startswith("read ")]
        assert not happened, "it died before its run was on record, and yet it wrote"
        return
    check(world, outcome, fails=fails, died=died)


@pytest.mark.parametrize("window", [*WINDOWS, "in_reconcile"])
def test_a_process_that_dies(window: str, store: str, tmp_path: Path, processes: ForkServerContext) -> None:
    crash(processes, tmp_path, [Death(window, "pay")], fails=window == "in_compensation", store=store)


def test_a_process_that_dies_again_while_it_recovers(tmp_path: Path, processes: ForkServerContext) -> None:
    deaths = [Death("in_call", "pay"), Death(record=3, flushed=True), Death(record=2)]
    crash(processes, tmp_path, deaths, fails=False)


@pytest.mark.campaign
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("number", range(36))
def test_many_processes_that_die(
    window: str, number: int, store: str, tmp_path: Path, processes: ForkServerContext
) -> None:
    death = Death(window, "book" if number % 2 else "pay")
    crash(processes, tmp_path, [death], fails=window == "in_compensation", store=store)


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(120))
def test_a_process_that_dies_at_any_moment(
    number: int, store: str, tmp_path: Path, processes: ForkServerContext
) -> None:
    rng = Random(number)
    fails = rng.random() < 0.5
    crash(processes, tmp_path, [Death(after=rng.uniform(0.05, 0.6))], fails=fails, all_die=False, store=store)


@pytest.mark.campaign
@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("record", range(1, RECORDS + 1))
@pytest.mark.parametrize("fails", [False, True])
def test_a_process_that_dies_before_any_record(
    record: int, flushed: bool, fails: bool, store: str, tmp_path: Path, processes: ForkServerContext
) -> None:
    crash(processes, tmp_path, [Death(record=record, flushed=flushed)], fails=fails, all_die=False, store=store)


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(120))
def test_a_process_that_dies_again_and_again(
    number: int, store: str, tmp_path: Path, processes: ForkServerContext
) -> None:
    rng = Random(number)
    first = Death(rng.choice([*WINDOWS, "in_reconcile", ""]), rng.choice(("book", "pay")), record=rng.choice((0, 9)))
    later = [Death(record=rng.randint(1, 8), flushed=rng.random() < 0.7) for _ in range(rng.randint(1, 3))]
    fails = first.window == "in_compensation" or rng.random() < 0.5
    crash(processes, tmp_path, [first, *later], fails=fails, all_die=False, store=store)


@pytest.mark.parametrize("keeps", ["no effects", "late intents"])
def test_without_the_ledger_an_effect_is_done_twice(keeps: str, tmp_path: Path, processes: ForkServerContext) -> None:
    world, _, died = crash_and_resume(processes, tmp_path, [Death("in_call", "pay")], fails=False, keeps=keeps)
    assert died == 1
    assert "pay" in lost_or_doubled(world, fails=False)


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("keeps", "window"),
    [
        *(("no effects", window) for window in WINDOWS),
        ("late intents", "in_call"),
        ("late intents", "effect_to_result"),
    ],
)
def test_without_the_ledger_many_effects_are_lost_or_doubled(
    keeps: str, window: str, tmp_path: Path, processes: ForkServerContext
) -> None:
    fails = window == "in_compensation"
    wrong = 0
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        death = Death(window, "book" if number % 2 else "pay")
        world, _, _ = crash_and_resume(processes, folder, [death], fails=fails, keeps=keeps)
        wrong += bool(lost_or_doubled(world, fails=fails))
    assert wrong >= 6


async def test_a_run_without_a_record_says_how_to_run_it_again(tmp_path: Path) -> None:
    tools = [Tool(lambda: 1, name="x", gives="x")]
    row = RunRow(
        run_id="r",
        parent=None,
        goal="x",
        status=Status.RUNNING,
        policy="balanced",
        started=0.0,
        ended=None,
        head="",
        count=0,
        trace_id="",
        summary={},
    )
    async with Orchestrator(tools, store=tmp_path / "runs.db") as orc:
        assert orc.store.begin(row, "another-machine|1|1|x", 0.0) is None
        for ask in (orc.resume, orc.cancel):
            with pytest.raises(InputError, match="run its goal again"):
                await ask("r")
        outcome = await orc.run("x", run_id="r")
        assert (outcome.value, orc.verify("r").ok) == (1, True)
