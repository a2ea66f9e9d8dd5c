"""What each shipped monitor sees, and what it does not."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from orchestrator.core.enums import CircuitState, FailureKind
from orchestrator.core.events import RunWaiting
from orchestrator.core.policy import Policy
from orchestrator.errors import DefinitionError
from orchestrator.health.monitors import (
    WHOLE_RUN,
    BudgetLimits,
    BudgetMonitor,
    ErrorRate,
    HealthChecks,
    Latency,
    Outage,
    Progress,
    Quota,
    Risk,
    Signal,
    SignalAction,
)
from tests.health.monitors.stage import RUN, Stage, began, ended, run_ended, run_started, tool

HALT, FORBID, APPROVE = SignalAction.HALT, SignalAction.FORBID, SignalAction.APPROVE
REWEIGHT, NONE = SignalAction.REWEIGHT, SignalAction.NONE
OUTAGE, TRANSIENT, REFUSAL = FailureKind.OUTAGE, FailureKind.TRANSIENT, FailureKind.REFUSAL


def said(signals: Iterable[Signal]) -> list[tuple[Any, str, SignalAction]]:
    """The gist of signals."""
    return [(signal.target, signal.kind, signal.action) for signal in signals]


# ------------------------------------------------------------------ outage


async def test_outages_in_a_row_make_a_tool_dearer() -> None:
    stage, monitor = Stage(tool("t")), Outage()
    assert said(await monitor.watch(stage.facts(ended("t", OUTAGE)))) == []
    assert said(await monitor.watch(stage.facts(ended("t", OUTAGE)))) == [("t", "outage", REWEIGHT)]
    assert said(await monitor.watch(stage.facts())) == []
    await monitor.watch(stage.facts(ended("t")))
    assert said(await monitor.watch(stage.facts(ended("t", OUTAGE)))) == []


async def test_other_failures_are_no_outage() -> None:
    stage, monitor = Stage(tool("t")), Outage()
    assert said(await monitor.watch(stage.facts(*[ended("t", REFUSAL), ended("t", TRANSIENT)] * 5))) == []


async def test_open_circuits_and_wrong_credentials_are_told() -> None:
    stage, monitor = Stage(tool("t")), Outage()
    for _ in range(5):
        stage.health.record("t", False, TRANSIENT)
    found = await monitor.watch(stage.facts(ended("u", FailureKind.ACCOUNT, status=401)))
    assert said(found) == [("u", "configuration", NONE), ("t", "circuit", NONE)]


# ------------------------------------------------------------------ error rate


async def test_a_share_of_failures_makes_a_tool_dearer_with_evidence() -> None:
    stage, monitor = Stage(tool("t")), ErrorRate(rate=0.3, evidence=5)
    assert said(await monitor.watch(stage.facts(*[ended("t", TRANSIENT)] * 4))) == []
    (low,) = await monitor.watch(stage.facts(ended("t"), ended("t"), ended("t")))
    (high,) = await monitor.watch(stage.facts(*[ended("t", TRANSIENT)] * 5))
    assert (low.action, low.reason) == (REWEIGHT, "4 of the last 7 calls failed")
    assert 1 < low.factor < high.factor <= 10
    assert low.priority < high.priority


async def test_refusals_are_no_errors() -> None:
    stage, monitor = Stage(tool("t")), ErrorRate()
    assert said(await monitor.watch(stage.facts(*[ended("t", REFUSAL)] * 50))) == []


# ------------------------------------------------------------------ latency


async def test_slow_by_its_own_standards() -> None:
    stage, monitor = Stage(tool("t")), Latency()
    assert said(await monitor.watch(stage.facts(*[ended("t", seconds=1.0)] * 20))) == []
    (signal,) = await monitor.watch(stage.facts(*[ended("t", seconds=4.0)] * 3))
    assert (signal.kind, signal.action, signal.factor) == ("latency", REWEIGHT, 4.0)
    assert signal.reason == "it takes 4 s, usually 1 s"


async def test_a_tool_that_was_always_slow_is_not() -> None:
    stage, monitor = Stage(tool("t")), Latency()
    assert said(await monitor.watch(stage.facts(*[ended("t", seconds=60.0)] * 50))) == []


async def test_differences_that_do_not_matter_are_ignored() -> None:
    stage, monitor = Stage(tool("t")), Latency(floor=0.5)
    await monitor.watch(stage.facts(*[ended("t", seconds=0.01)] * 20))
    assert said(await monitor.watch(stage.facts(*[ended("t", seconds=0.2)] * 3))) == []


# ------------------------------------------------------------------ quota


async def test_a_quota_grows_dear_then_forbidden_then_free() -> None:
    stage, monitor = Stage(tool("t")), Quota({"t": (10, 60.0)})
    at = stage.clock.time()
    assert said(await monitor.watch(stage.facts(*[began("t", at=at)] * 5))) == []
    (dear,) = await monitor.watch(stage.facts(*[began("t", at=at)] * 3))
    assert dear.action is REWEIGHT
    assert dear.factor == pytest.approx(4.0)
    stage.clock.advance(20)
    (spent,) = await monitor.watch(stage.facts(*[began("t", at=stage.clock.time())] * 2))
    assert (spent.action, spent.ttl) == (FORBID, 40.0)
    assert spent.reason == "10 of 10 calls in 60 s are used"
    stage.clock.advance(40)
    assert said(await monitor.watch(stage.facts())) == []


async def test_other_tools_have_no_quota() -> None:
    stage, monitor = Stage(tool("u")), Quota({"t": (1, 60.0)})
    assert said(await monitor.watch(stage.facts(*[began("u")] * 9))) == []


@pytest.mark.parametrize("limit", [(0, 60.0), (5, 0.0), (5, float("inf"))])
def test_a_quota_makes_sense(limit: tuple[int, float]) -> None:
    with pytest.raises(DefinitionError, match="quota"):
        Quota({"t": limit})


# ------------------------------------------------------------------ budget


async def test_a_run_that_spent_its_budget_is_halted_after_a_warning() -> None:
    stage, monitor = Stage(tool("t")), BudgetMonitor()
    assert said(await monitor.watch(stage.facts(run_started(usd=1.0, calls=10.0)))) == []
    (warned,) = await monitor.watch(stage.facts(began(), ended(cost=0.9)))
    assert (warned.kind, warned.action, warned.run_id) == ("budget: US dollars", NONE, RUN)
    (halted,) = await monitor.watch(stage.facts(began(), ended(cost=0.2)))
    assert (halted.target, halted.action, halted.priority) == (WHOLE_RUN, HALT, 1.0)
    assert halted.reason == "1.1 of this run's 1 US dollars are spent"
    assert said(await monitor.watch(stage.facts(run_ended()))) == []


async def test_seconds_and_calls_count_too() -> None:
    stage, monitor = Stage(tool("t")), BudgetMonitor(BudgetLimits(seconds=30, calls=3))
    assert said(await monitor.watch(stage.facts(run_started()))) == []
    stage.clock.advance(31)
    found = await monitor.watch(stage.facts(began(), began(), began(), began()))
    assert [signal.kind for signal in found] == ["budget: seconds", "budget: calls"]
    assert {signal.action for signal in found} == {HALT}


async def test_the_policy_limits_what_a_run_does_not() -> None:
    stage, monitor = Stage(tool("t"), policy=Policy(max_calls=1, max_spend=100)), BudgetMonitor()
    found = await monitor.watch(stage.facts(run_started(usd=0.1), began(), began(), ended(cost=0.2)))
    assert [signal.kind for signal in found] == ["budget: US dollars", "budget: calls"]


async def test_a_day_that_is_spent_halts_every_run_until_it_is_over() -> None:
    stage, monitor = Stage(tool("t"), policy=Policy(max_spend_per_day=1.0)), BudgetMonitor()
    (halted,) = await monitor.watch(stage.facts(ended(cost=1.5, at=stage.clock.time())))
    assert (halted.target, halted.action, halted.run_id) == (WHOLE_RUN, HALT, "")
    assert 0 < halted.ttl <= 86_400
    stage.clock.advance(halted.ttl)
    assert said(await monitor.watch(stage.facts())) == []


async def test_without_limits_nothing_is_said() -> None:
    stage, monitor = Stage(tool("t")), BudgetMonitor()
    stage.clock.advance(1e6)
    assert said(await monitor.watch(stage.facts(run_started(), *[ended(cost=1e6)] * 9))) == []


# ------------------------------------------------------------------ risk


async def test_dear_and_risky_writes_need_approval() -> None:
    policy = Policy(approve_above=100)
    stage = Stage(
        tool("cheap", effect="write", cost=1.0),
        tool("dear", effect="write", cost=500.0),
        tool("dear_read", cost=500.0),
        tool("risky", effect="irreversible", risk=0.9),
        tool("asks_anyway", effect="irreversible", risk=0.9, approval=True),
        policy=policy,
    )
    assert said(await Risk().watch(stage.facts())) == [("dear", "risk", APPROVE), ("risky", "risk", APPROVE)]


@pytest.mark.parametrize(
    ("key", "value", "demanded"),
    [
        ("amount", 250, True),
        ("amount", 100, False),
        ("amount", True, False),
        ("amount", "250", False),
        ("order", {"total": 250}, True),
        ("order", {"count": 250}, False),
        ("order", BudgetLimits(usd=250), True),
    ],
)
def test_amounts_are_looked_for_in_the_inputs(key: str, value: Any, demanded: bool) -> None:
    stage = Stage()
    stage.facts(run_started())
    write = tool("pay", effect="write", needs={"a": key})
    read = tool("look", needs={"a": key})
    policy = Policy(approve_above=100)
    assert (Risk().gate(write, {"a": value}, stage.run(), policy) is not None) is demanded
    assert Risk().gate(read, {"a": value}, stage.run(), policy) is None
    assert Risk().gate(write, {"other": value}, stage.run(), policy) is None
    assert Risk().gate(write, {"a": value}, stage.run(), Policy()) is None
    assert (Risk(amounts=["a"]).gate(write, {"a": value}, stage.run(), policy) is not None) is (value == 250)


# ------------------------------------------------------------------ progress


async def test_a_run_in_circles_is_halted() -> None:
    stage, monitor = Stage(tool("t")), Progress(repeats=10)
    assert said(await monitor.watch(stage.facts(run_started(), *[began()] * 9))) == []
    (signal,) = await monitor.watch(stage.facts(began()))
    assert (signal.target, signal.kind, signal.action, signal.run_id) == (WHOLE_RUN, "loop", HALT, RUN)
    assert said(await monitor.watch(stage.facts(ended(kept=("b",))))) == []


async def test_retries_that_a_policy_allows_are_no_circle() -> None:
    stage = Stage(tool("t"), policy=Policy.model_validate({"retries": {"attempts": 50}}))
    assert said(await Progress(repeats=10).watch(stage.facts(run_started(), *[began()] * 60))) == []


async def test_retries_that_a_tool_allows_are_no_circle() -> None:
    stage = Stage(tool("t", retries=40))
    monitor = Progress(repeats=10)
    assert said(await monitor.watch(stage.facts(run_started(), *[began()] * 41))) == []
    assert said(await monitor.watch(stage.facts(began()))) == [(WHOLE_RUN, "loop", HALT)]


async def test_a_run_that_stands_still() -> None:
    stage, monitor = Stage(tool("t")), Progress(still=100)
    stage.facts(run_started(), began())
    stage.clock.advance(100)
    (told,) = await monitor.watch(stage.facts())
    assert (told.kind, told.action, told.reason) == ("still", NONE, "nothing has happened for 100 s; t runs")
    stage.facts(ended())
    stage.clock.advance(100)
    (halted,) = await monitor.watch(stage.facts())
    assert halted.action is HALT


async def test_a_run_that_waits_for_a_person_may_stand_still() -> None:
    stage, monitor = Stage(tool("t")), Progress(still=100)
    stage.facts(run_started(), RunWaiting(run_id=RUN, at=0.0, question={}, impasse={}))
    stage.clock.advance(1e6)
    assert said(await monitor.watch(stage.facts())) == []


# ------------------------------------------------------------------ health checks


async def test_health_checks_are_polled() -> None:
    answers: dict[str, Any] = {"fine": None, "no": False, "none": [], "breaks": ConnectionRefusedError("nobody there")}

    def check(name: str) -> Any:
        def plain() -> Any:
            answer = answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def awaited() -> Any:
            return plain()

        return awaited if name == "breaks" else plain

    stage = Stage(*(tool(name, health_check=check(name)) for name in answers), tool("unchecked"))
    monitor = HealthChecks(interval=1)
    for _ in range(5):
        assert await monitor.watch(stage.facts()) == ()
        await monitor.watch(stage.facts(ended()))
        stage.clock.advance(1)
    states = {name: stage.health.status(name).circuit for name in stage.tools}
    closed, opened = CircuitState.CLOSED, CircuitState.OPEN
    assert states == {"fine": closed, "no": opened, "none": opened, "breaks": opened, "unchecked": closed}
    assert stage.health.status("no").failures == 5
    assert stage.health.status("breaks").last_failure == "health check: nobody there"
    answers["no"] = answers["breaks"] = True
    await monitor.watch(stage.facts())
    assert stage.health.status("no").circuit is CircuitState.HALF_OPEN


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_check_that_raises_no_exception_is_a_failure(error: type[BaseException], is_async: bool) -> None:
    def plain() -> bool:
        raise error

    async def awaited() -> bool:
        raise error

    stage = Stage(tool("t", health_check=awaited if is_async else plain))
    await HealthChecks().watch(stage.facts())
    assert error.__name__ in (stage.health.status("t").last_failure or "")


async def test_a_check_that_hangs_is_a_failure() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    stage = Stage(tool("t", health_check=hang))
    await HealthChecks(timeout=0.01).watch(stage.facts())
    assert stage.health.status("t").last_failure == "health check: TimeoutError"
