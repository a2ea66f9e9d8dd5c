"""What runs teach: kept by the library in the store, shared by processes, off the path of calls; drift is told."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import Agent, Orchestrator, StoreError
from orchestrator.core.events import CallEnded, Event, SignalRaised
from orchestrator.health.monitors import Drift
from orchestrator.selection import DriftSignal, Handbook, Selector, Skill
from orchestrator.selection.skills.storage import DOCUMENT, Keeper, keep_handbook, stored_handbook
from orchestrator.store import MemoryStore, open_store
from tests.support import forked
from tests.support.summarisers import summarisers, two


def work(where: str, agent: str, runs: int) -> None:
    """A process of its own: runs, and feedback that only one agent does well."""

    async def runs_and_feedback() -> None:
        async with summarisers(where) as orc:
            for number in range(runs):
                outcome = await orc.run("summary", {"text": str(number)})
                orc.feedback(outcome.run_id, "summary", success=outcome.value.startswith(agent))

    asyncio.run(runs_and_feedback())


def in_processes(*arguments: tuple[str, str, int]) -> None:
    context = forked.processes()
    processes = [context.Process(target=work, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0


async def sync(orc: Orchestrator) -> None:
    """What the heartbeat does every few seconds."""
    await asyncio.to_thread(orc._background.learning.sync)  # pyright: ignore[reportPrivateUsage]


# -- the store -------------------------------------------------------------------------------------------------------


async def test_what_one_process_learns_the_next_one_knows(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    in_processes((where, "quick", 25))
    async with summarisers(where) as orc:
        assert orc.selector.handbook.profile("sound").general.total > 5
        assert (await orc.run("summary", {"text": "x"})).value == "quick x"
        assert orc.selector.turn().number > 25


async def test_processes_at_one_time_lose_nothing_of_each_other(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    in_processes(*((where, "sound", 8) for _ in range(3)))
    store = open_store(where)
    book = stored_handbook(store)
    store.close()
    assert book is not None
    seen = book.profile("sound")
    assert seen.usd.count == 24  # each run told what the call cost once
    assert seen.general.total == pytest.approx(24 * 1.25, rel=0.03)  # a check and a person's word each
    assert book.turns == 24


async def test_a_process_that_goes_on_takes_in_what_others_learn(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    one, other = summarisers(where), summarisers(where)
    async with one, other:
        for _ in range(3):
            await one.run("summary", {"text": "x"})
        await sync(one)
        await sync(other)
        assert other.selector.handbook.profile("sound").usd.count == 3
        await other.run("summary", {"text": "x"})
        await sync(other)
        await sync(one)
        assert one.selector.handbook.profile("sound").usd.count == 4
        assert one.selector.handbook == other.selector.handbook


def test_a_handbook_that_is_given_begins_an_empty_store_and_adds_to_a_full_one(tmp_path: Path) -> None:
    store = open_store(tmp_path / "runs.db")
    given = Selector(two(), handbook=Handbook.of([Skill(id="summarise", description="Make it short.")]))
    keeper = Keeper(given, store)
    keeper.begin()
    given.learn("quick", "summarise", True)
    keeper.sync()
    book = stored_handbook(store)
    assert book is not None
    assert book.skills["summarise"].description == "Make it short."
    later = Selector(two(), handbook=Handbook.of([Skill(id="summarise", description="Other."), Skill(id="new")]))
    Keeper(later, store).begin()
    assert later.handbook.skills["summarise"].description == "Make it short."
    assert "new" in later.handbook.skills
    assert later.handbook.profile("quick").general.total == 1
    store.close()


def test_nothing_is_written_where_nothing_was_learned(tmp_path: Path) -> None:
    store = open_store(tmp_path / "runs.db")
    keeper = Keeper(Selector(two()), store)
    keeper.begin()
    keeper.sync()
    assert store.document_versions(DOCUMENT) == []
    store.close()


def test_versions_do_not_pile_up(tmp_path: Path) -> None:
    store = open_store(tmp_path / "runs.db")
    selector = Selector(two())
    keeper = Keeper(selector, store)
    keeper.begin()
    for _ in range(30):
        selector.learn("quick", "summarise", True)
        keeper.sync()
    assert len(store.document_versions(DOCUMENT)) == 20
    store.close()


def test_an_import_while_a_process_learns_is_learned_on() -> None:
    store, selector = MemoryStore(), Selector(two())
    keeper = Keeper(selector, store)
    keeper.begin()
    selector.learn("quick", "summarise", True)
    keeper.sync()
    keep_handbook(store, Handbook.of([Skill(id="imported")]))
    selector.learn("quick", "summarise", True)
    keeper.sync()
    assert set(selector.handbook.skills) == {"imported", "summarise"}
    assert selector.handbook.profile("quick").general.total == 1


def test_a_version_that_was_stored_unconfirmed_is_not_stored_twice() -> None:
    class Interrupted(MemoryStore):
        broken = True

        def swap_document(self, *arguments: Any, **options: Any) -> bool:
            taken = super().swap_document(*arguments, **options)
            if self.broken:
                raise StoreError("no answer")
            return taken

    store, selector = Interrupted(), Selector(two())
    keeper = Keeper(selector, store)
    keeper.begin()
    selector.learn("quick", "summarise", True)
    with pytest.raises(StoreError):
        keeper.sync()
    store.broken = False
    selector.learn("quick", "summarise", True)
    keeper.sync()
    book = stored_handbook(store)
    assert book is not None
    assert book.profile("quick").general.total == pytest.approx(2, abs=0.01)


async def test_a_handbook_that_makes_no_sense_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = tmp_path / "runs.db"
    store = open_store(where)
    store.put_document(DOCUMENT, {"skills": 7})
    store.close()
    async with summarisers(where) as orc:
        assert (await orc.run("summary", {"text": "x"})).value == "sound x"
    assert "This is no handbook" in caplog.text
    store = open_store(where)
    assert store.document(DOCUMENT) == {"skills": 7}  # and it is not written over
    store.close()


async def test_learning_is_in_a_thread_and_done_when_the_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    learn = Selector.apply_pending

    def noted(self: Selector) -> int:
        threads.append(threading.current_thread())
        return learn(self)

    monkeypatch.setattr(Selector, "apply_pending", noted)
    async with summarisers() as orc:
        await orc.run("summary", {"text": "x"})
        assert orc.selector.handbook.profile("sound").usd.count == 1
    assert threads
    assert threading.main_thread() not in threads


async def test_learning_that_breaks_is_told_and_the_run_is_reached(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Selector) -> int:
        raise ArithmeticError("oops")

    monkeypatch.setattr(Selector, "apply_pending", broken)
    async with summarisers() as orc:
        assert (await orc.run("summary", {"text": "x"})).status == "reached"
    assert "learning failed: ArithmeticError: oops" in caplog.text


# -- drift -----------------------------------------------------------------------------------------------------------


class Signals:
    """A sink that keeps signals and what came before them."""

    def __init__(self) -> None:
        self.found: list[SignalRaised] = []
        self.calls = 0

    def on_event(self, event: Event) -> None:
        self.calls += isinstance(event, CallEnded)
        if isinstance(event, SignalRaised) and event.monitor == "drift":
            self.found.append(event)


async def test_an_agent_that_drifts_is_told_of_on_record_and_dearer_and_its_record_fades() -> None:
    good = [True]

    def work(text: str) -> str:
        return "good" if good[0] else "bad"

    told = Signals()
    async with Orchestrator(agents=[Agent(work, gives="summary", skills={"summarise": 0.9})]) as orc:
        orc.require_skills("summary", {"summarise": 1})
        orc.add_sink(told)

        async def runs(count: int) -> str:
            last = ""
            for number in range(count):
                outcome = await orc.run("summary", {"text": str(number)})
                orc.feedback(outcome.run_id, "summary", success=outcome.value == "good")
                last = outcome.run_id
            return last

        await runs(60)
        before = orc.selector.handbook.profile("work").general.total
        assert not [signal for signal in told.found if signal.kind == "drift: outcome"]
        good[0] = False
        await runs(40)
        last = await runs(1)
        kinds = {signal.kind for signal in told.found}
        assert "drift: outcome" in kinds
        signal = next(signal for signal in told.found if signal.kind == "drift: outcome")
        assert (signal.target, signal.action) == ("work", "reweight")
        assert "work has drifted: outcome" in signal.reason
        assert orc.selector.handbook.profile("work").general.total < before
        assert any(record.kind == "SignalRaised" for run in _runs(orc) for record in orc.store.records(run))
        assert orc.health.status("work").pressure > 1
        assert orc.replay(last).agrees


def _runs(orc: Orchestrator) -> list[str]:
    return [row.run_id for row in orc.store.runs(limit=1000)]


def one_piece_of_work(where: str, good: bool, number: int) -> list[SignalRaised]:
    """A process's whole life: one run, judged, and what was told of drift in it."""

    def work(text: str) -> str:
        return "good" if good else "bad"

    def judge(inputs: Any, output: Any) -> bool:
        return bool(output == "good")

    told = Signals()

    async def run() -> None:
        agents = [Agent(work, gives="summary", skills={"summarise": 0.9})]
        async with Orchestrator(agents=agents, store=where, judge=judge) as orc:
            orc.require_skills("summary", {"summarise": 1})
            orc.add_sink(told)
            await orc.run("summary", {"text": str(number)})

    asyncio.run(run())
    return [signal for signal in told.found if signal.kind == "drift: outcome"]


def lives(where: str, good: bool, numbers: range, found: Any) -> None:
    """Several such lives, one after another, in a process of the operating system."""
    for number in numbers:
        found.extend([(number, signal.reason) for signal in one_piece_of_work(where, good, number)])


def test_drift_is_found_over_many_short_lives_in_successive_processes(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    context = forked.processes()
    with context.Manager() as manager:
        found: Any = manager.list()
        for good, numbers in ((True, range(15)), (True, range(15, 30)), (False, range(30, 45)), (False, range(45, 60))):
            process = context.Process(target=lives, args=(where, good, numbers, found))
            process.start()
            process.join(120)
            assert process.exitcode == 0
        told = list(found)
    assert told
    number, reason = told[0]
    assert 30 < number < 60
    assert "work has drifted: outcome was" in reason
    store = open_store(where)
    book = stored_handbook(store)
    assert book is not None
    assert not [signal for signal in book.drifted if signal.metric == "outcome"]  # it is on record, and told no more
    assert book.profile("work").general.total < 30
    recorded = [record for row in store.runs(limit=100) for record in store.records(row.run_id)]
    assert len([record for record in recorded if record.kind == "SignalRaised"]) >= 1
    store.close()


def test_drift_that_one_orchestrator_finds_when_it_closes_is_told_by_the_next(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    for number in range(25):
        assert one_piece_of_work(where, True, number) == []
    number, told = 25, list[SignalRaised]()
    while not told:
        store = open_store(where)
        book = stored_handbook(store)
        store.close()
        assert book is not None
        waiting = [signal for signal in book.drifted if signal.metric == "outcome"]
        told = one_piece_of_work(where, False, number)
        assert bool(told) == bool(waiting)  # the run after it was found, and no other
        number += 1
    assert number < 45
    assert told[0].action == "reweight"


async def test_processes_at_one_time_find_drift_together(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    one, other = summarisers(where), summarisers(where)
    async with one, other:
        for orc, success in ((one, True), (other, True), (one, True), (one, False), (other, False), (one, False)):
            for _ in range(10):
                orc.selector.learn("sound", "summarise", success)
            await sync(orc)
            await sync(one if orc is other else other)
        assert one.selector.handbook.watched == other.selector.handbook.watched
        assert one.selector.handbook.watched["sound"]["outcome"].history.count < 60  # it began anew
        found = [each for each in one.selector.handbook.drifted if each.metric == "outcome"]
        assert [each.agent for each in found] == ["sound"]
        outcome = await other.run("summary", {"text": "x"})
        kinds = [r.body["kind"] for r in other.store.records(outcome.run_id) if r.kind == "SignalRaised"]
        assert "drift: outcome" in kinds
        await sync(other)
        await sync(one)
        assert not one.selector.handbook.drifted


async def test_costs_that_drift_are_told_and_change_nothing() -> None:
    found = [
        DriftSignal("work", "usd", 0.1, 0.9, 8),
        DriftSignal("work", "outcome", 0.5, 0.9, 8),
        DriftSignal("gone", "outcome", 0.9, 0.1, 8),
    ]

    class Learner:
        def signals(self) -> list[DriftSignal]:
            return found

    facts: Any = SimpleNamespace(tools={"work": None})
    signals = list(await Drift(Learner()).watch(facts))
    assert [(s.kind, str(s.action)) for s in signals] == [("drift: usd", "none"), ("drift: outcome", "none")]
    assert signals[0].priority > signals[1].priority  # what is for the worse matters more
