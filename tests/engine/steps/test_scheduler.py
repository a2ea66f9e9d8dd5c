"""How a route is driven: joins, no barriers, branches, retries, time-outs, reroutes."""

import asyncio
import threading
import time
from typing import Any

import pytest

from orchestrator import (
    Budget,
    DecisionKind,
    Escalated,
    FailureKind,
    Goal,
    InputError,
    Orchestrator,
    Policy,
    RateLimited,
    Refused,
    RunContext,
    Status,
    Tool,
    Unavailable,
    tool,
)
from orchestrator.core.policy import Retries
from orchestrator.testing import FakeClock

QUICK = Policy(retries=Retries(base_seconds=0))


def kinds(outcome: Any) -> list[DecisionKind]:
    return [decision.kind for decision in outcome.decisions]


def given(name: str, value: Any, **options: Any) -> Tool:
    """A tool that gives a value."""
    merged: Any = {"gives": name, **options}
    return Tool(lambda: value, name=name, **merged)


def raising(name: str, error: Exception, **options: Any) -> Tool:
    """A tool that fails."""

    def call() -> Any:
        raise error

    return Tool(call, name=name, **options)


async def test_a_join_waits_for_all_its_needs() -> None:
    @tool(gives="total")
    def add(a: int, b: int) -> int:
        return a + b

    outcome = await Orchestrator([given("a", 1), given("b", 2), add]).run("total")
    assert outcome.value == 3
    assert outcome.route is not None
    assert outcome.route.tools == ("a", "b", "add")


async def test_no_barrier_two_branches_take_as_long_as_the_longer_one() -> None:
    clock = FakeClock()

    def step(name: str, needs: tuple[str, ...], seconds: float) -> Tool:
        async def call(**inputs: Any) -> str:
            await clock.sleep(seconds)
            return name

        return Tool(call, name=name, needs=needs)

    tools = [
        step("slow", (), 10),
        step("fast1", (), 3),
        step("fast2", ("fast1",), 3),
        step("fast3", ("fast2",), 3),
        step("both", ("slow", "fast3"), 1),
    ]
    began = clock.monotonic()
    outcome = await Orchestrator(tools, clock=clock).run("both")
    assert outcome.ok
    assert clock.monotonic() - began == pytest.approx(11)


async def test_a_sync_tool_does_not_block_the_event_loop() -> None:
    ticks = 0
    release = threading.Event()

    async def tick() -> None:
        nonlocal ticks
        while ticks < 5:
            await asyncio.sleep(0.001)
            ticks += 1
        release.set()

    @tool
    def blocking() -> bool:
        return release.wait(10)

    ticking = asyncio.create_task(tick())
    outcome = await Orchestrator([blocking]).run("blocking")
    await ticking
    assert outcome.value is True


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_call_has_a_time_out_and_the_run_goes_on_by_another_tool(is_async: bool) -> None:
    async def hang_async() -> int:
        await asyncio.sleep(30)
        return 1

    def hang_sync() -> int:
        time.sleep(0.5)
        return 1

    hanging = Tool(hang_async if is_async else hang_sync, name="hang", gives="x", timeout=0.05, retries=0)
    outcome = await Orchestrator([hanging, given("other", 2, gives="x", cost=1)]).run("x")
    assert outcome.value == 2
    assert [f.kind for f in outcome.failures] == [FailureKind.TRANSIENT]
    assert kinds(outcome) == [DecisionKind.ROUTE, DecisionKind.REROUTE]


async def test_a_transient_failure_is_tried_again_and_each_failure_is_answered() -> None:
    attempts = 0

    @tool(retries=3)
    async def flaky() -> int:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise TimeoutError("late")
        return attempts

    outcome = await Orchestrator([flaky], policy=QUICK).run("flaky")
    assert outcome.value == 3
    assert [(d.kind, d.answers) for d in outcome.decisions[1:]] == [
        (DecisionKind.RETRY, ("f1",)),
        (DecisionKind.RETRY, ("f2",)),
    ]
    assert [(c.attempt, bool(c.error)) for c in outcome.calls] == [(1, True), (2, True), (3, False)]


async def test_retry_after_is_honoured() -> None:
    clock = FakeClock()
    began = clock.monotonic()
    seen: list[float] = []

    @tool
    async def limited() -> int:
        seen.append(clock.monotonic() - began)
        if len(seen) == 1:
            raise RateLimited(retry_after=7)
        return 1

    assert (await Orchestrator([limited], clock=clock).run("limited")).ok
    assert seen[1] - seen[0] >= 7


async def test_a_refusal_leaves_health_alone_and_the_run_reroutes_without_a_model() -> None:
    orc = Orchestrator([raising("first", Refused("no seats"), gives="seat"), given("second", 7, gives="seat", cost=1)])
    outcome = await orc.run("seat")
    assert outcome.value == 7
    assert outcome.failures[0].kind is FailureKind.REFUSAL
    assert orc.health.status("first").failures == 0
    assert outcome.llm_calls == 0


async def test_work_done_is_not_repeated_by_a_reroute() -> None:
    calls: list[str] = []

    @tool(gives="text")
    def read() -> str:
        calls.append("read")
        return "words"

    @tool(gives="summary")
    def good(text: str) -> str:
        calls.append("good")
        raise Unavailable("down")

    @tool(gives="summary", cost=0.5)
    def spare(text: str) -> str:
        calls.append("spare")
        return text.upper()

    outcome = await Orchestrator([read, good, spare]).run("summary")
    assert outcome.value == "WORDS"
    assert calls == ["read", "good", "spare"]


async def test_calls_in_flight_finish_before_an_impasse_and_what_they_give_counts() -> None:
    """The route through `fails` dies while `slow` is still under way; `slow` opens another way to the goal."""

    async def slow() -> int:
        await asyncio.sleep(0.05)
        return 1

    @tool(gives="goal")
    def join(a: int, b: int) -> int:
        return a + b

    @tool(gives="lesser")
    def use(a: int) -> int:
        return a

    tools = [Tool(slow, gives="a"), raising("fails", Unavailable("down"), gives="b"), join, use]
    outcome = await Orchestrator(tools).run(Goal("goal", demotions=["lesser"]))
    assert outcome.status is Status.DEMOTED
    assert [call.tool for call in outcome.calls] == ["fails", "slow", "use"]


@pytest.mark.parametrize(("invoice", "expected"), [("abc", "auto"), ("abcdefgh", "manual")])
async def test_a_branch_is_a_decision_and_no_failure(invoice: str, expected: str) -> None:
    @tool(gives="amount")
    def amount(invoice: str) -> int:
        return len(invoice)

    @tool(gives="approved", when=lambda amount: amount > 5)
    def manual(amount: int) -> str:
        return "manual"

    @tool(gives="approved", when=lambda amount: amount <= 5)
    def auto(amount: int) -> str:
        return "auto"

    outcome = await Orchestrator([amount, manual, auto]).run("approved", {"invoice": invoice})
    assert outcome.value == expected
    assert kinds(outcome) == [DecisionKind.ROUTE, DecisionKind.BRANCH]
    assert not outcome.failures


async def test_a_condition_whose_inputs_are_at_hand_is_known_to_the_plan() -> None:
    @tool(gives="out", when=lambda size: size < 10)
    def small(size: int) -> str:
        return "small"

    @tool(gives="out", cost=1)
    def large(size: int) -> str:
        return "large"

    orc = Orchestrator([small, large])
    assert orc.plan("out", {"size": 3}).tools == ("small",)
    assert orc.plan("out", {"size": 30}).tools == ("large",)
    assert kinds(await orc.run("out", {"size": 30})) == [DecisionKind.ROUTE]


async def test_an_output_of_the_wrong_type_is_a_failure() -> None:
    def wrong() -> int:
        return "no number"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    outcome = await Orchestrator([Tool(wrong, gives="n"), given("right", 5, gives="n", cost=1)]).run("n")
    assert outcome.value == 5
    assert outcome.failures[0].kind is FailureKind.INVALID_OUTPUT


async def test_several_keys_and_a_mapping_that_lacks_one() -> None:
    def pair() -> dict[str, int]:
        return {"a": 1, "b": 2}

    orc = Orchestrator([Tool(pair, gives=["a", "b"])])
    assert (await orc.run(Goal(["a", "b"]))).value == {"a": 1, "b": 2}
    lacking = Orchestrator([Tool(lambda: {"a": 1}, name="pair", gives=["a", "b"])])
    assert (await lacking.run("b")).failures[0].kind is FailureKind.INVALID_OUTPUT


async def test_no_goal_reached_raises_on_value_and_says_why() -> None:
    outcome = await Orchestrator([raising("only", Unavailable("down"), gives="x")]).run("x")
    assert outcome.status is Status.ESCALATED
    with pytest.raises(Escalated, match="only"):
        _ = outcome.value


async def test_budget_of_dollars_and_calls() -> None:
    dear, cheap = given("dear", 1, gives="x", cost=5, latency=0), given("cheap", 2, gives="x", cost=0.1, latency=10_000)
    orc = Orchestrator([dear, cheap], policy=Policy(time_value=1, retries=Retries(base_seconds=0)))
    assert (await orc.run("x")).value == 1
    assert (await orc.run("x", budget=1.0)).value == 2
    nothing = await orc.run("x", budget=0.01)
    assert nothing.status is Status.ESCALATED
    with pytest.raises(InputError, match="budget"):
        await orc.run("x", budget=-1)


@pytest.mark.parametrize("limit", [{"usd": -1}, {"usd": float("nan")}, {"seconds": -0.5}, {"calls": -1}])
def test_a_limit_that_is_none_is_an_error_where_it_is_written(limit: dict[str, Any]) -> None:
    (name,) = limit
    with pytest.raises(InputError, match=rf"Budget\.{name} is a number, not below zero"):
        Budget(**limit)


async def test_a_deadline_reaches_every_call() -> None:

    async def slow() -> int:
        await asyncio.sleep(30)
        return 1

    began = time.monotonic()
    outcome = await Orchestrator([Tool(slow, gives="x")]).run("x", budget=Budget(seconds=0.1))
    assert outcome.status is Status.ESCALATED
    assert time.monotonic() - began < 10


async def test_context_deps_charge_usage_report() -> None:
    @tool(cost=lambda usage: usage.get("tokens", 0) * 0.001)
    async def work(ctx: RunContext[dict[str, int]]) -> int:
        ctx.usage["tokens"] += 3
        ctx.charge(0.5)
        ctx.report("half way")
        return ctx.deps["n"]

    orc = Orchestrator([work], deps={"n": 4})
    outcome = await orc.run("work")
    assert outcome.value == 4
    assert outcome.cost == pytest.approx(0.503)
    assert outcome.usage == {"tokens": 3}


async def test_max_concurrency_holds_over_runs() -> None:
    now = most = 0

    @tool(max_concurrency=2)
    async def narrow(n: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return n

    orc = Orchestrator([narrow])
    await asyncio.gather(*(orc.run("narrow", {"n": n}) for n in range(8)))
    assert most == 2


async def test_a_tripped_tool_is_never_used_and_restored_is() -> None:
    orc = Orchestrator([given("a", 1, gives="x"), given("b", 2, gives="x", cost=1)])
    orc.health.trip("a", "maintenance")
    assert (await orc.run("x")).value == 2
    orc.health.restore("a")
    assert (await orc.run("x")).value == 1


async def test_a_tool_that_goes_down_beside_the_work_is_routed_around_before_it_is_called() -> None:
    orc = Orchestrator()

    @orc.tool(gives="a")
    async def first() -> int:
        orc.health.trip("second", "operator")
        return 1

    @orc.tool(gives="b")
    def second(a: int) -> int:
        return 2

    @orc.tool(gives="b", cost=1)
    def third(a: int) -> int:
        return 3

    outcome = await orc.run("b")
    assert outcome.value == 3
    assert [c.tool for c in outcome.calls] == ["first", "third"]
    assert kinds(outcome) == [DecisionKind.ROUTE, DecisionKind.REROUTE]


def test_run_sync_inside_and_outside_a_running_loop() -> None:
    orc = Orchestrator([given("x", 1)])
    assert orc.run_sync("x").value == 1

    async def inside() -> Any:
        return orc.run_sync("x").value

    assert asyncio.run(inside()) == 1


async def test_stream_tells_the_story_and_ends() -> None:
    names = [type(event).__name__ async for event in Orchestrator([given("x", 1)]).stream("x")]
    assert names == ["RunStarted", "Decided", "CallStarted", "CallEnded", "RunEnded"]


async def test_an_unknown_goal_names_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'brief'"):
        await Orchestrator([given("brief", 1)]).run("breif")


async def test_a_wrong_input_is_one_clear_error_without_the_value() -> None:
    @tool(gives="y")
    def double(n: int) -> int:
        return 2 * n

    with pytest.raises(InputError, match="n is no int") as caught:
        await Orchestrator([double]).run("y", {"n": "secret-words"})
    assert "secret-words" not in str(caught.value)


async def test_override_is_for_the_length_of_a_with() -> None:
    orc = Orchestrator([given("x", 1)])
    with orc.override(given("x", 2)):
        assert (await orc.run("x")).value == 2
    assert (await orc.run("x")).value == 1
