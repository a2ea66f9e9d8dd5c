"""Monitors run beside the work; a slow, blocking or broken one hurts nobody."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from orchestrator.core.clock import SystemClock
from orchestrator.core.enums import FailureKind
from orchestrator.core.events import Progressed, SignalRaised
from orchestrator.core.policy import Policy
from orchestrator.errors import DefinitionError
from orchestrator.graph.tool import Tool
from orchestrator.health.monitors import WHOLE_RUN, MonitorFacts, Risk, RunFacts, Signal, SignalAction, default_monitors
from orchestrator.health.monitors.hub import MAX_BACKLOG, check_monitors
from orchestrator.testing import FakeClock
from tests.health.monitors.stage import Company, began, ended, run_ended, run_started, tool


class Recorder:
    """Keeps what it saw."""

    interval = 60.0

    def __init__(self, name: str = "recorder") -> None:
        self.name = name
        self.seen: list[MonitorFacts] = []

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Says that `t` is dearer, each time there was an event."""
        self.seen.append(facts)
        return [Signal("t", "seen", 0.5, SignalAction.REWEIGHT, 2.0)] if facts.events else ()


class Raising(Recorder):
    """Breaks."""

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Breaks."""
        self.seen.append(facts)
        raise RuntimeError("my own bug")


class Slow(Recorder):
    """Never comes back."""

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Hangs."""
        self.seen.append(facts)
        await asyncio.Event().wait()
        return ()


class Lying(Recorder):
    """Gives something else."""

    async def watch(self, facts: MonitorFacts) -> Any:
        """No signal."""
        return ["forbid t!"]


async def until(holds: Callable[[], bool]) -> None:
    """Wait, in real time, until something holds; fails after ten seconds."""
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came")


async def settle() -> None:
    """Let every task go on until nothing is left to do."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_monitors_see_what_happened_and_their_signals_act() -> None:
    recorder = Recorder()
    company = Company([recorder])
    company.hub.start()
    await settle()
    company.hub.on_event(run_started())
    company.hub.on_event(began())
    await settle()
    assert [len(facts.events) for facts in recorder.seen] == [0, 2]
    run = recorder.seen[-1].runs["run-1"]
    assert (run.calls, run.in_flight["t"], run.goal) == (1, 1, "b")
    assert company.health.pressure("t") == 2.0
    assert [(signal.monitor, signal.kind) for signal in company.signals] == [("recorder", "seen")]
    company.hub.on_event(run_ended())
    await settle()
    assert recorder.seen[-1].runs == {}
    await company.hub.stop()


async def test_broken_slow_and_lying_monitors_hurt_nobody() -> None:
    good, slow, broken = Recorder(), Slow("slow"), Raising("broken")
    company = Company([broken, slow, Lying("lying"), good], patience=5.0)
    company.hub.start()
    await settle()
    for _ in range(3):
        company.hub.on_event(ended())
        await settle()
    assert len(good.seen) == 4
    assert len(broken.seen) == 4
    assert len(slow.seen) == 1
    assert company.problems == [("broken", "RuntimeError"), ("lying", "DefinitionError")]
    assert isinstance(company.clock, FakeClock)
    company.clock.advance(5)
    await settle()
    assert ("slow", "TimeoutError") in company.problems
    assert len(slow.seen) == 2
    await company.hub.stop()


async def test_one_that_works_again_is_reported_again_when_it_breaks() -> None:
    class Flapping(Recorder):
        async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
            self.seen.append(facts)
            if len(self.seen) % 3:
                raise RuntimeError
            return ()

    company = Company([Flapping()])
    company.hub.start()
    for _ in range(6):
        await settle()
        company.hub.on_event(ended())
    await settle()
    assert company.problems == [("recorder", "RuntimeError")] * 3
    await company.hub.stop()


async def test_time_alone_wakes_a_monitor() -> None:
    recorder = Recorder()
    company = Company([recorder])
    company.hub.start()
    await settle()
    assert isinstance(company.clock, FakeClock)
    for _ in range(3):
        company.clock.advance(60)
        await settle()
    assert [facts.now for facts in recorder.seen] == [0, 60, 120, 180]
    await company.hub.stop()


async def test_monitors_do_not_make_a_fake_clock_run() -> None:
    company = Company([Recorder()])
    company.hub.start()
    await asyncio.sleep(0.02)
    assert company.clock.monotonic() == 0
    await company.hub.stop()


async def test_a_blocking_monitor_is_written_def_and_runs_in_a_thread() -> None:
    gate = threading.Event()

    class Blocking:
        name, interval = "blocking", 60.0
        threads: list[str] = []  # noqa: RUF012

        def watch(self, facts: MonitorFacts) -> list[Signal]:
            self.threads.append(threading.current_thread().name)
            gate.wait(10)
            return [Signal("t", "late", 0.5, SignalAction.REWEIGHT, 3.0)]

    company = Company([Blocking()], clock=SystemClock())
    company.hub.start()
    await until(lambda: bool(Blocking.threads))
    assert company.signals == []
    assert Blocking.threads[0] != threading.main_thread().name
    gate.set()
    await until(lambda: bool(company.signals))
    assert company.health.pressure("t") == 3.0
    await company.hub.stop()


async def test_a_thread_that_hangs_is_not_started_again() -> None:
    gate = threading.Event()

    class Hanging:
        name, interval = "hanging", 0.01
        calls = 0

        def watch(self, facts: MonitorFacts) -> None:
            type(self).calls += 1
            gate.wait(10)

    company = Company([Hanging()], clock=SystemClock(), patience=0.02)
    company.hub.start()
    await until(lambda: bool(company.problems))
    for _ in range(10):
        company.hub.on_event(ended())
        await asyncio.sleep(0.005)
    assert (Hanging.calls, company.problems) == (1, [("hanging", "TimeoutError")])
    gate.set()
    await until(lambda: Hanging.calls > 1)
    await company.hub.stop()


async def test_a_monitor_chooses_what_wakes_it_and_still_sees_the_rest() -> None:
    class Choosy(Recorder):
        def wakes(self, event: object) -> bool:
            return getattr(event, "tool", "") == "u"

    choosy = Choosy()
    company = Company([choosy])
    company.hub.start()
    await settle()
    company.hub.on_event(ended("t"))
    await settle()
    assert len(choosy.seen) == 1
    company.hub.on_event(ended("u"))
    await settle()
    assert [getattr(event, "tool", "") for event in choosy.seen[-1].events] == ["t", "u"]
    await company.hub.stop()


async def test_a_backlog_is_bounded() -> None:
    slow = Slow()
    company = Company([slow], patience=5.0)
    company.hub.start()
    await settle()
    for _ in range(3 * MAX_BACKLOG):
        company.hub.on_event(ended())
    assert isinstance(company.clock, FakeClock)
    company.clock.advance(5)
    await settle()
    assert len(slow.seen[-1].events) == MAX_BACKLOG
    await company.hub.stop()


async def test_it_starts_once_and_stops_whenever() -> None:
    recorder = Recorder()
    company = Company([recorder])
    await company.hub.stop()
    company.hub.start()
    company.hub.start()
    await settle()
    assert len(recorder.seen) == 1
    await company.hub.stop()
    await company.hub.stop()


def test_it_moves_to_the_loop_that_starts_it() -> None:
    recorder = Recorder()
    company = Company([recorder], clock=SystemClock())

    async def once() -> None:
        company.hub.start()
        company.hub.on_event(ended())
        await settle()
        await company.hub.stop()

    for _ in range(2):
        asyncio.run(once())
    assert sum(len(facts.events) for facts in recorder.seen) == 2


def test_gates_are_asked_in_time_and_may_break() -> None:
    class BrokenGate(Recorder):
        def gate(self, tool: Tool, values: object, run: RunFacts, policy: Policy) -> Signal | None:
            raise RuntimeError

    company = Company([BrokenGate("broken"), Risk(limit=100.0)])
    company.hub.on_event(run_started())
    write = tool("u", effect="write", needs={"a": "amount"})
    (signal,) = company.hub.gate(write, "run-1", {"a": 250})
    assert (signal.monitor, signal.run_id, signal.action) == ("risk", "run-1", SignalAction.APPROVE)
    assert "250" not in signal.reason
    assert company.hub.gate(write, "run-1", {"a": 50}) == ()
    assert company.hub.gate(write, "no such run", {"a": 250}) == ()
    assert company.problems == [("broken", "RuntimeError")] * 2


def test_signals_that_stand_hold_for_runs_that_begin_later() -> None:
    company = Company([])
    halt = Signal(WHOLE_RUN, "budget", 1.0, SignalAction.HALT, monitor="m")
    approve = Signal("u", "risk", 0.9, SignalAction.APPROVE, monitor="m")
    other = Signal(WHOLE_RUN, "loop", 1.0, SignalAction.HALT, monitor="m", run_id="run-7")
    dear = Signal("t", "slow", 0.5, SignalAction.REWEIGHT, 2.0, monitor="m")
    company.hub.post([halt, approve, other, dear])
    assert company.hub.active_signals("run-1") == (halt, approve)
    assert company.hub.active_signals("run-7") == (halt, approve, other)
    company.hub.on_event(run_started())
    assert company.hub.gate(tool("u", effect="write"), "run-1", {}) == (halt, approve)
    assert company.hub.gate(tool("v", effect="write"), "run-1", {}) == (halt,)


async def test_monitors_do_not_wake_each_other() -> None:
    recorder = Recorder()
    company = Company([recorder])
    company.hub.start()
    await settle()
    said = SignalRaised(run_id="run-1", at=0.0, target="t", kind="k", action="none", priority=0.1, reason="")
    company.hub.on_event(said)
    company.hub.on_event(Progressed(run_id="run-1", at=0.0, tool="t", progress="token"))
    await settle()
    assert len(recorder.seen) == 1
    company.hub.on_event(ended())
    await settle()
    assert [type(event).__name__ for event in recorder.seen[-1].events] == ["SignalRaised", "CallEnded"]
    await company.hub.stop()


class Nameless:
    """No name."""

    interval = 1.0

    async def watch(self, facts: MonitorFacts) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("monitors", "words"),
    [
        ([object()], "watch"),
        ([Nameless()], "name"),
        ([Recorder("a"), Recorder("a")], "Two monitors are called 'a'"),
        ([Recorder], "name"),
    ],
)
def test_what_is_no_monitor_is_a_clear_error(monitors: list[Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        check_monitors(monitors)


@pytest.mark.parametrize("interval", [0, -1, "5", True, None, float("nan")])
def test_an_interval_is_a_number_of_seconds(interval: Any) -> None:
    recorder = Recorder()
    recorder.interval = interval
    with pytest.raises(DefinitionError, match="interval"):
        check_monitors([recorder])


async def test_the_shipped_ones_work_together() -> None:
    company = Company(default_monitors())
    company.hub.start()
    company.hub.on_event(run_started())
    for _ in range(6):
        company.hub.on_event(began())
        company.hub.on_event(ended("t", FailureKind.OUTAGE))
    await settle()
    assert company.problems == []
    assert {signal.kind for signal in company.signals} == {"outage"}
    assert company.health.pressure("t") == 2
    await company.hub.stop()
