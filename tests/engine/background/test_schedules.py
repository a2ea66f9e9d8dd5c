"""Schedules submit their goal once per time, whatever the number of workers."""

import asyncio
import datetime as dt
from pathlib import Path

import pytest

from orchestrator import DefinitionError, Orchestrator, Tool
from orchestrator.engine.background.schedules import Schedule, Timetable, schedules_of
from orchestrator.engine.background.worker import WorkerOptions
from orchestrator.testing import FakeClock


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def test_times_are_those_of_the_place() -> None:
    nightly = Schedule(name="nightly", cron="30 3 * * 1-5", goal="report", timezone="Europe/Zurich")
    assert nightly.last_time(at("2026-11-30T02:30:00+00:00")) == at("2026-11-30T02:30:00+00:00")
    assert nightly.last_time(at("2026-11-30T02:29:59+00:00")) == at("2026-11-27T02:30:00+00:00")
    assert nightly.last_time(at("2026-07-06T12:00:00+00:00")) == at("2026-07-06T01:30:00+00:00")
    assert nightly.run_id(at("2026-11-30T02:30:00+00:00")) == "nightly-20261130T023000Z"


@pytest.mark.parametrize(
    ("day", "cron", "times"),
    [
        ("2026-03-29", "30 2 * * *", 1),  # the hour that is left out
        ("2026-10-25", "30 2 * * *", 1),  # the hour that comes twice
        ("2026-03-29", "0 * * * *", 24),
        ("2026-10-25", "0 * * * *", 24),
        ("2026-10-25", "*/30 * * * *", 48),
        ("2026-03-29", "0 3 * * *", 1),
    ],
)
def test_clocks_that_change_neither_skip_nor_double(day: str, cron: str, times: int) -> None:
    schedule = Schedule(name="n", cron=cron, goal="y", timezone="Europe/Berlin")
    timetable, begin = Timetable([schedule]), dt.datetime.fromisoformat(f"{day}T00:00:00Z").timestamp()
    found: list[float] = []
    for minute in range(24 * 60):
        for each, at in timetable.due(begin + 60 * minute):
            found.append(at)
            timetable.submitted(each, at)
    within = [at for at in found if at >= begin]
    assert len(within) == len(set(within)) == times


def test_a_time_is_due_once_and_only_for_a_while() -> None:
    table = Timetable([Schedule(name="hourly", cron="0 * * * *", goal="g")])
    ((schedule, when),) = table.due(at("2026-11-30T10:00:20+00:00"))
    assert when == at("2026-11-30T10:00:00+00:00")
    table.submitted(schedule, when)
    assert table.due(at("2026-11-30T10:00:21+00:00")) == []
    assert table.due(at("2026-11-30T11:30:00+00:00")) == []  # nobody made up for it in time
    assert len(table.due(at("2026-11-30T12:00:00+00:00"))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('cron = "0 3 * *"\ngoal = "x"', "no cron expression"),
        ('cron = "0 25 * * *"\ngoal = "x"', "no cron expression"),
        ('cron = "0 3 * * *"\ngoal = "x"\ntimezone = "Mars/Base"', "no time zone"),
        ('cron = "0 3 * * *"\ngoal = "x"\nprioritty = 1', "prioritty"),
        ('cron = "0 3 * * *"', "goal"),
        ("cron = ", "nightly.toml"),
    ],
)
def test_a_wrong_schedule_is_an_error_that_names_its_file(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "nightly.toml").write_text(text)
    with pytest.raises(DefinitionError, match=r"nightly\.toml") as caught:
        schedules_of(tmp_path)
    assert said in str(caught.value)


async def test_two_workers_submit_one_run_per_time(tmp_path: Path) -> None:
    clock = FakeClock()
    (tmp_path / "tick.toml").write_text('cron = "* * * * *"\ngoal = "y"\ninputs = { x = 4 }\nlabels = { tenant = "a" }')
    options = WorkerOptions(schedules=schedules_of(tmp_path))
    store = tmp_path / "runs.db"
    tools = [Tool(lambda x: 2 * x, name="double", needs={"x": "x"}, gives={"y": int})]
    async with (
        Orchestrator(tools, store=store, clock=clock) as one,
        Orchestrator(tools, store=store, clock=clock) as two,
    ):
        for _ in range(3):
            await asyncio.gather(one.worker(options).until_idle(), two.worker(options).until_idle())
            clock.advance(60.0)
        await one.worker(options).until_idle()
        rows = one.store.runs()
        assert len(rows) == 4
        assert all(row.status == "reached" and row.labels == {"schedule": "tick", "tenant": "a"} for row in rows)
        assert one.outcome(rows[0].run_id).value == 8


async def test_a_schedule_that_asks_for_what_nobody_gives_stops_neither_the_others_nor_the_sweep(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.toml").write_text('cron = "* * * * *"\ngoal = ["y", "missing"]\ninputs = { x = 4 }')
    (tmp_path / "b.toml").write_text('cron = "* * * * *"\ngoal = ["y", "half"]\ninputs = { x = 4 }')
    tools = [
        Tool(lambda x: 2 * x, name="double", needs={"x": "x"}, gives={"y": int}),
        Tool(lambda x: x / 2, name="halve", needs={"x": "x"}, gives={"half": float}),
    ]
    async with Orchestrator(tools, store=tmp_path / "runs.db", clock=FakeClock()) as orc:
        problems: list[str] = []
        orc.store.on_problem = problems.append
        await orc.worker(WorkerOptions(schedules=schedules_of(tmp_path))).until_idle()
        (row,) = orc.store.runs()
        assert orc.outcome(row.run_id).value == {"y": 8, "half": 2.0}
        assert len(problems) == 1 and "'a'" in problems[0] and "'missing'" in problems[0]
