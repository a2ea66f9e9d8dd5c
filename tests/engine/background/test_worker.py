"""Submitted runs belong to nobody: any process drives them, and what a dead one left goes on elsewhere."""

import asyncio
import hashlib
import math
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest

from orchestrator import DefinitionError, Goal, InputError, Orchestrator, Status, Tool, tool
from orchestrator.engine.background import worker as work
from orchestrator.engine.background.worker import WorkerOptions
from orchestrator.store import MemoryStore, SqlStore
from orchestrator.store.ledger.verify import verify_store
from tests.engine.owning import bank, work_for_ever
from tests.support import forked


@tool(gives="y")
def double(x: int) -> int:
    return 2 * x


@tool(gives="z", effect="write", approval=True)
def act(y: int) -> str:
    return f"did {y}"


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process or thread does."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - a store says nothing by itself
            await asyncio.sleep(0.02)


@pytest.fixture(params=["memory", "sqlite"])
def embedded(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "runs.db" if request.param == "sqlite" else None


async def test_a_submitted_run_is_driven_by_this_process(embedded: Path | None) -> None:
    async with Orchestrator([double], store=embedded) as orc:
        run_id = await orc.submit("y", {"x": 4}, run_id="one", labels={"customer": "7"})
        assert run_id == "one"
        outcome = await orc.wait(run_id)
        assert (outcome.status, outcome.value) == (Status.REACHED, 8)
        assert [row.run_id for row in orc.store.runs(labels={"customer": "7"})] == ["one"]
        assert await orc.submit("y", {"x": 4}, run_id="one") == "one"
        assert (await orc.run("y", {"x": 4}, run_id="one")).value == 8
        with pytest.raises(InputError, match="other inputs"):
            await orc.submit("y", {"x": 5}, run_id="one")
        with pytest.raises(InputError, match="no run"):
            await orc.wait("none")
        assert orc.verify("one").ok


async def test_many_submitted_runs_are_driven_at_once(embedded: Path | None) -> None:
    async with Orchestrator([double], store=embedded) as orc:
        ids = [await orc.submit("y", {"x": number}) for number in range(30)]
        outcomes = await asyncio.gather(*(orc.wait(run_id) for run_id in ids))
        assert [outcome.value for outcome in outcomes] == [2 * number for number in range(30)]


async def test_a_question_ends_the_work_and_its_answer_is_new_work(embedded: Path | None) -> None:
    async with Orchestrator([double, act], store=embedded) as orc:
        run_id = await orc.submit("z", {"x": 4})
        assert (await orc.wait(run_id)).status is Status.WAITING
        assert orc.store.owner(run_id) == ""
        assert orc.store.queue.answer(run_id, '{"answer": "yes", "by": "ann"}')
        await until(lambda: orc.store.run(run_id).status is Status.REACHED)  # type: ignore[union-attr]
        assert (await orc.wait(run_id)).values["z"] == "did 8"


async def test_who_leaves_wait_changes_nothing(embedded: Path | None) -> None:
    @tool(gives="w")
    async def slow() -> int:
        await asyncio.sleep(0.4)
        return 1

    async with Orchestrator([slow], store=embedded) as orc:
        run_id = await orc.submit("w")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(orc.wait(run_id), 0.2)
        assert (await orc.wait(run_id)).value == 1


async def test_a_run_starts_at_its_time() -> None:
    now = 1000.0
    async with Orchestrator([double], store=MemoryStore(clock=lambda: now)) as orc:
        run_id = await orc.submit("y", {"x": 1}, at=1060.0)
        later = await orc.submit("y", {"x": 2}, delay=30.0)
        assert await orc.worker().until_idle() == 0
        now = 1030.0
        assert await orc.worker().until_idle() <= 1
        assert (await orc.wait(later)).value == 4
        now = 1060.0
        assert (await orc.wait(run_id)).value == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("delay", -1.0),
        ("delay", math.nan),
        ("delay", math.inf),
        ("at", math.nan),
        ("at", math.inf),
        ("priority", 2**31),
    ],
)
async def test_a_time_that_never_comes_and_a_priority_that_no_store_holds_are_refused(
    option: Literal["delay", "at", "priority"], value: Any
) -> None:
    async with Orchestrator([double]) as orc:
        with pytest.raises(InputError, match=option):
            await orc.submit("y", {"x": 1}, **{option: value})
        assert orc.store.runs() == []


async def test_an_input_that_cannot_be_stored_is_an_error_at_once(tmp_path: Path) -> None:
    @tool(gives="w")
    def use(thing: Any) -> int:
        return 1

    async with Orchestrator([use], store=tmp_path / "runs.db") as orc:
        with pytest.raises(InputError, match="'thing' cannot be stored"):
            await orc.submit("w", {"thing": object()})
        with pytest.raises(InputError, match="label"):
            await orc.submit("w", {"thing": 1}, labels={"bad\nname": "x"})


@pytest.mark.parametrize("where", ["memory", "file"])
async def test_a_submitted_goal_that_no_tool_gives_ends_as_a_run_of_it_would(tmp_path: Path, where: str) -> None:
    store = None if where == "memory" else tmp_path / "runs.db"
    shown = Tool(lambda thing: thing, name="shown", needs=["thing"])  # nothing gives the thing
    async with Orchestrator([double, shown], store=store) as orc:
        for goal, inputs, status in (
            (Goal("thing", demotions=["y"]), {"x": 3}, Status.DEMOTED),
            ("thing", {}, Status.ESCALATED),
            (Goal(["y", "thing"]), {"x": 3}, Status.ESCALATED),
            ("thing", {"thing": 1}, Status.REACHED),
        ):
            submitted = await orc.submit(goal, inputs)
            assert (await asyncio.wait_for(orc.wait(submitted), 20)).status is status
            assert (await orc.run(goal, inputs)).status is status


async def test_a_worker_leaves_what_it_cannot_do_to_others(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    async with Orchestrator([double], store=store) as able:
        await able.submit("y", {"x": 3}, run_id="r", delay=0.3)
        await able._background._stop_working()  # pyright: ignore[reportPrivateUsage]
        async with Orchestrator([act], store=store) as unable:
            problems: list[str] = []
            unable.store.on_problem = problems.append
            working = unable.worker()
            task = asyncio.create_task(working.run())
            await until(lambda: bool(problems))
            working.stop()
            await task
            assert problems == ["runs of goal 'y' are left to other workers: no tool here gives it"]
        worker = able.worker()
        task = asyncio.create_task(worker.run())
        assert (await asyncio.wait_for(able.wait("r"), 20)).value == 6
        worker.stop()
        await task


async def test_inputs_that_a_worker_cannot_read_are_left_to_one_that_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "ELSEWHERE_SECONDS", 30.0)

    @tool(gives="y")
    def of_text(x: str) -> str:
        return x + x

    async with Orchestrator([of_text], store=tmp_path / "runs.db") as able:
        await able.submit("y", {"x": "a"}, run_id="r", work_here=False)
        async with Orchestrator([double], store=tmp_path / "runs.db") as unable:
            problems: list[str] = []
            unable.store.on_problem = problems.append
            assert await unable.worker().until_idle() == 0
            assert "run 'r' is left to another worker" in problems[0]
            row = able.store.run("r")
            assert row is not None
            assert row.summary["left"].startswith("the input 'x' is not of the type that it has here: Input should be")
            assert "'a'" not in row.summary["left"]
        assert await able.worker().until_idle() == 1  # at once: nobody else waits
        assert (await able.wait("r")).value == "aa"


def endless() -> tuple[Tool, asyncio.Event]:
    """A tool that gives `w` after a minute, and the event that it has begun."""
    begun = asyncio.Event()

    @tool(gives="w", timeout=60)
    async def slow() -> int:
        begun.set()
        await asyncio.sleep(60)
        return 1

    return slow, begun


async def test_stopping_a_worker_hands_its_runs_back(tmp_path: Path) -> None:
    slow, begun = endless()
    store = tmp_path / "runs.db"
    async with Orchestrator([slow], store=store) as orc:
        run_id = await orc.submit("w")
        await begun.wait()
    opened = SqlStore(store)
    assert opened.owner(run_id) == ""
    opened.queue.sweep(5)  # the worker itself may have swept last
    row = opened.run(run_id)
    assert row is not None
    assert (row.status, row.attempts) == (Status.QUEUED, 0)
    opened.close()

    async def quick() -> int:
        return 2

    async with Orchestrator([Tool(quick, name="slow", gives="w")], store=store) as orc:
        await orc.worker().until_idle()
        assert (await orc.wait(run_id)).value == 2


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_a_killed_worker_left_goes_on_elsewhere_within_five_seconds(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = str(tmp_path / "runs.db") if kind == "sqlite" else request.getfixturevalue("postgres")
    world = bank(str(tmp_path / "bank.txt"))

    async def submit() -> list[str]:
        async with Orchestrator([Tool(lambda order: order, name="pay", gives="receipt")], store=where) as orc:
            orc._background.work_on_queue = lambda: None  # type: ignore[method-assign]
            return [await orc.submit("receipt", {"order": str(n)}, run_id=f"order-{n}") for n in range(20)]

    ids = asyncio.run(submit())
    workers = [forked.processes().Process(target=work_for_ever, args=(where, str(world))) for _ in range(2)]
    for process in workers:
        process.start()
    store = SqlStore(where)
    while store.count_runs(status=Status.QUEUED) > 16:
        time.sleep(0.02)
    assert workers[0].pid
    os.kill(workers[0].pid, signal.SIGKILL)
    killed = time.monotonic()
    while any(store.run(run_id).status is not Status.REACHED for run_id in ids):  # type: ignore[union-attr]
        assert time.monotonic() - killed < 30
        time.sleep(0.05)
    workers[1].terminate()
    workers[1].join(30)
    orders = [line.split()[1] for line in world.read_text().splitlines()]
    assert sorted(orders) == sorted(f"order-{n}" for n in range(20))
    assert verify_store(store).ok
    store.close()


def test_options_of_a_worker() -> None:
    assert WorkerOptions(limits={"acme": 0}).most_attempts == 5
    wrong: list[dict[str, Any]] = [
        {"concurrency": 0},
        {"most_attempts": 0},
        {"drain_seconds": math.nan},
        {"limits": {"acme": -1}},
        {"tool_limits": {"act": 0}},
    ]
    for options in wrong:
        with pytest.raises(DefinitionError, match=f"{next(iter(options))}.* of a worker is [01] or more; it was"):
            WorkerOptions(**options)


async def test_records_of_a_newer_version_are_left_to_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "ELSEWHERE_SECONDS", 0.1)
    begun = asyncio.Event()

    async def slow() -> int:
        begun.set()
        await asyncio.sleep(60)
        return 1

    where = tmp_path / "runs.db"
    async with Orchestrator([Tool(slow, gives="w")], store=where) as newer:
        await newer.submit("w", run_id="r")
        await begun.wait()
    store = SqlStore(where)
    store.append("r", "EventOfTomorrow", {"new": 1}, time.time())
    store.close()
    async with Orchestrator([Tool(lambda: 2, name="slow", gives="w")], store=where) as older:
        problems: list[str] = []
        older.store.on_problem = problems.append
        worker = older.worker()
        working = asyncio.create_task(worker.run())
        await until(lambda: "EventOfTomorrow" in str(older.store.run("r").summary.get("left")))  # type: ignore[union-attr]
        await older.submit("w", run_id="another", work_here=False)
        assert (await older.wait("another")).value == 2
        worker.stop()
        await working
        row = older.store.run("r")
        assert row is not None
        assert (row.status, row.attempts) == (Status.QUEUED, 0)
        with pytest.raises(
            InputError, match=r"EventOfTomorrow\) is of a kind or a form that this version does not read"
        ):
            older.outcome("r")


async def test_a_record_with_a_field_of_a_newer_version_is_shown_and_not_continued(tmp_path: Path) -> None:
    slow, begun = endless()
    where = tmp_path / "runs.db"
    async with Orchestrator([slow], store=where) as newer:
        await newer.submit("w", run_id="r")
        await begun.wait()
    store = SqlStore(where)
    started = store.records("r")[0]
    store.append("r", started.kind, {**started.body, "child_ids_of_tomorrow": 3}, time.time())
    store.close()
    async with Orchestrator([Tool(lambda: 2, name="slow", gives="w")], store=where) as older:
        await older._background._stop_working()  # pyright: ignore[reportPrivateUsage]
        older.store.queue.sweep(5)
        assert await older.worker().until_idle() == 0
        row = older.store.run("r")
        assert row is not None
        assert row.status is Status.QUEUED
        assert "has fields that this version does not know (child_ids_of_tomorrow)" in row.summary["left"]
        assert older.outcome("r").run_id == "r"


@pytest.mark.parametrize(
    "answer", ["not json", "[]", '"x"', '{"answer": {"a": 1}}', '{"question": "none", "answer": true}']
)
async def test_an_answer_that_is_none_leaves_the_run_waiting(embedded: Path | None, answer: str) -> None:
    async with Orchestrator([double, act], store=embedded) as orc:
        run_id = await orc.submit("z", {"x": 4})
        assert (await orc.wait(run_id)).status is Status.WAITING
        problems: list[str] = []
        orc.store.on_problem = problems.append
        assert orc.store.queue.answer(run_id, answer)
        await until(lambda: any("was not taken" in problem for problem in problems))
        await until(lambda: orc.store.queue.answer(run_id, '{"answer": true}'))
        await until(lambda: orc.store.run(run_id).status is Status.REACHED)  # type: ignore[union-attr]


async def test_digests_of_inputs_are_keyed_by_the_store(tmp_path: Path) -> None:
    digests: set[str] = set()
    for name in ("a.db", "b.db"):
        async with Orchestrator([double], store=tmp_path / name) as orc:
            await orc.run("y", {"x": 736194}, run_id="r")
            assert (await orc.run("y", {"x": 736194}, run_id="r")).value == 2 * 736194
            digests.add(orc.store.records("r")[0].body["inputs_digest"])
    assert len(digests) == 2
    assert hashlib.sha256(b"x=736194").hexdigest() not in digests
    async with Orchestrator([double], store=tmp_path / "a.db") as orc:
        assert (await orc.run("y", {"x": 736194}, run_id="r")).value == 2 * 736194
        with pytest.raises(InputError, match="other inputs"):
            await orc.run("y", {"x": 736195}, run_id="r")


async def test_a_run_of_another_process_is_cancelled_from_here(tmp_path: Path) -> None:
    slow, begun = endless()
    store = tmp_path / "runs.db"
    async with Orchestrator([slow], store=store) as there, Orchestrator([slow], store=store) as here:
        running = asyncio.create_task(there.run("w", run_id="r"))
        await begun.wait()
        outcome = await asyncio.wait_for(here.cancel("r"), 20)
        assert outcome.status is Status.ESCALATED
        assert (await running).status is Status.ESCALATED
        queued = await here.submit("w", delay=60.0, work_here=False)
        assert (await here.cancel(queued)).status is Status.ESCALATED


@pytest.mark.parametrize("due", [{"at": time.time() + 1_000}, {"delay": 1_000.0}])
async def test_a_queued_run_is_cancelled_before_its_time_and_without_a_worker(embedded: Path | None, due: Any) -> None:
    async with Orchestrator([double], store=embedded) as orc:
        run_id = await orc.submit("y", {"x": 4}, **due)
        async with asyncio.timeout(10):
            outcome = await orc.cancel(run_id)
        assert (outcome.status, outcome.calls) == (Status.ESCALATED, ())
        assert orc.verify(run_id).ok
        assert (await orc.wait(run_id)).status is Status.ESCALATED
        assert (await orc.cancel(run_id)).status is Status.ESCALATED


async def test_a_run_that_was_set_aside_can_be_cancelled(tmp_path: Path) -> None:
    async with Orchestrator([double], store=tmp_path / "runs.db") as orc:
        run_id = await orc.submit("y", {"x": 4}, delay=1_000.0)
        with closing(sqlite3.connect(tmp_path / "runs.db")) as store, store:
            store.execute("UPDATE orchestrator_runs SET wake = NULL, attempts = 5")
        async with asyncio.timeout(10):
            assert (await orc.cancel(run_id)).status is Status.ESCALATED


async def test_a_run_whose_cancellation_was_asked_for_begins_nothing_where_it_is_taken(tmp_path: Path) -> None:
    begun: list[str] = []

    @tool(gives="w", effect="write")
    async def act() -> int:
        begun.append("act")
        return 1

    async with Orchestrator([act], store=tmp_path / "runs.db") as orc:
        run_id = await orc.submit("w", run_id="r", work_here=False)
        assert orc.store.queue.cancel(run_id)  # as a process does that cannot drive it
        assert orc.store.queue.take("dead|1|1|x", 0.0, 5)[0].cancel
        orc.store.queue.sweep(5)
        working = asyncio.create_task(orc.worker().run())
        async with asyncio.timeout(20):
            assert (await orc.wait(run_id)).status is Status.ESCALATED
        working.cancel()
        await asyncio.wait([working])
    assert begun == []
