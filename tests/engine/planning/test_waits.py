"""Retry, wait and reroute by one price: rate limits, queues, bursts, accounts, and what the record says of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import (
    Budget,
    DecisionKind,
    FailureKind,
    Orchestrator,
    Outcome,
    Policy,
    RateLimited,
    RunContext,
    Status,
    Tool,
)
from orchestrator.core.enums import CircuitState
from orchestrator.core.policy import Retries
from orchestrator.health.monitors.error_rate import ErrorRate
from orchestrator.testing import FakeClock


class Api:
    """A tool that does what it is told, and notes when it was called."""

    def __init__(self, clock: FakeClock, *errors: BaseException | None, seconds: float = 0.0, **options: Any) -> None:
        self.clock = clock
        self.calls: list[float] = []
        self.errors = list(errors)
        self.seconds = seconds
        given: dict[str, Any] = {"name": "api", "gives": "answer", "cost": 0.001, **options}
        self.tool = Tool(self._call, **given)

    async def _call(self, q: int) -> str:
        self.calls.append(self.clock.monotonic())
        await self.clock.sleep(self.seconds)
        error = self.errors.pop(0) if len(self.errors) > 1 else self.errors[0] if self.errors else None
        if error is not None:
            raise error
        return "api"


def spare(cost: float, **options: Any) -> Tool:
    return Tool(lambda q: "spare", name="spare", gives="answer", cost=cost, **options)


def kinds(outcome: Outcome[Any]) -> list[DecisionKind]:
    return [decision.kind for decision in outcome.decisions]


@pytest.mark.parametrize(("cost", "value", "calls"), [(0.002, "spare", 1), (5.0, "api", 2)])
async def test_a_wait_is_taken_only_where_it_is_the_cheapest(cost: float, value: str, calls: int) -> None:
    clock = FakeClock()
    api = Api(clock, RateLimited("slow down", retry_after=20), None)
    async with Orchestrator([api.tool, spare(cost)], clock=clock, monitors=()) as orc:
        outcome = await orc.run("answer", {"q": 1})
        assert (outcome.value, len(api.calls)) == (value, calls)
        assert orc.replay(outcome.run_id).agrees
        if value == "api":
            assert api.calls[1] - api.calls[0] >= 20
            retry = next(d for d in outcome.decisions if d.kind is DecisionKind.RETRY)
            assert retry.facts["wait"] == 20
            assert retry.facts["again"] < retry.facts["other"]
        else:
            reroute = next(d for d in outcome.decisions if d.kind is DecisionKind.REROUTE)
            assert "is dearer than spare" in reroute.reason
            assert reroute.answers == ("f1",)


async def test_a_limited_tool_is_called_by_nobody_before_its_time() -> None:
    clock = FakeClock()
    api = Api(clock, RateLimited("slow down", retry_after=100), None)
    async with Orchestrator([api.tool, spare(0.02)], clock=clock, monitors=()) as orc:
        for number in range(30):
            assert (await orc.run("answer", {"q": number})).value == "spare"
            clock.advance(1)
        assert len(api.calls) == 1
        clock.advance(75)
        clock.advance(300)  # the pressure of the limit has faded by then
        assert (await orc.run("answer", {"q": 99})).value == "api"


async def test_without_an_alternative_a_run_waits_up_to_the_bound_and_else_names_the_time() -> None:
    for after, reached in ((10.0, True), (3600.0, False)):
        clock = FakeClock()
        api = Api(clock, RateLimited("slow down", retry_after=after), None)
        async with Orchestrator([api.tool], clock=clock, monitors=()) as orc:
            first = await orc.run("answer", {"q": 1})
            assert first.ok is reached
            if not reached:
                clock.advance(1)
                later = await orc.run("answer", {"q": 2})
                assert len(api.calls) == 1
                assert later.impasse is not None and "3599 s" in later.impasse.message
                assert orc.replay(later.run_id).agrees


async def test_a_run_that_begins_while_a_tool_is_limited_waits_for_it() -> None:
    clock = FakeClock()
    api = Api(clock, RateLimited("slow down", retry_after=100), None, retries=0)
    async with Orchestrator([api.tool], clock=clock, monitors=()) as orc:
        await orc.run("answer", {"q": 1})
        clock.advance(80)
        outcome = await orc.run("answer", {"q": 2})
        assert (outcome.value, api.calls[1]) == ("api", 100)
        assert outcome.decisions[0].facts["waits"] == {"api": 20}
        assert orc.replay(outcome.run_id).agrees


async def test_a_hanging_tool_is_not_tried_again_before_a_cheap_alternative() -> None:
    clock = FakeClock()
    api = Api(clock, seconds=1e6, timeout=30)
    async with Orchestrator([api.tool, spare(0.0015)], clock=clock, monitors=()) as orc:
        outcome = await orc.run("answer", {"q": 1})
        assert (outcome.value, len(api.calls)) == ("spare", 1)
        assert orc.price_facts("api").latency == pytest.approx(30, rel=0.06)


async def test_a_tool_that_gave_way_comes_back_when_the_other_fails() -> None:
    clock = FakeClock()
    api = Api(clock, RateLimited("slow down", retry_after=20), None)

    def broken(q: int) -> str:
        raise ValueError("no")

    other = Tool(broken, name="spare", gives="answer", cost=0.002)
    async with Orchestrator([api.tool, other], clock=clock, monitors=()) as orc:
        outcome = await orc.run("answer", {"q": 1})
        assert (outcome.value, api.calls[1]) == ("api", 20)
        assert kinds(outcome) == [DecisionKind.ROUTE, DecisionKind.REROUTE, DecisionKind.REROUTE]
        assert orc.replay(outcome.run_id).agrees


@pytest.mark.parametrize("budget", [None, Budget(seconds=3)])
async def test_a_saturated_tool_is_not_queued_for_beside_an_idle_alternative(budget: Budget | None) -> None:
    clock = FakeClock()
    api = Api(clock, seconds=0.5, max_concurrency=1, latency=0.5)
    other = Api(clock, seconds=0.5, name="spare", cost=0.0012, latency=0.5)
    async with Orchestrator([api.tool, other.tool], clock=clock, monitors=()) as orc:
        outcomes = await asyncio.gather(*(orc.run("answer", {"q": n}, budget=budget) for n in range(20)))
        assert all(outcome.ok for outcome in outcomes)
        assert clock.monotonic() <= 2
        assert len(api.calls) >= 1 and len(other.calls) >= 10
        assert all(orc.replay(outcome.run_id).agrees for outcome in outcomes)


@pytest.mark.parametrize("why", ["asked to wait", "hangs", "saturated"])
@pytest.mark.parametrize("cost", [0.0105, 5.0])
async def test_a_route_by_other_keys_is_an_alternative_to_a_wait(why: str, cost: float) -> None:
    clock = FakeClock()
    limit: dict[str, Any] = {"max_concurrency": 1, "latency": 10.0} if why == "saturated" else {"timeout": 30}
    errors = [RateLimited("slow down", retry_after=10), None] if why == "asked to wait" else []
    seconds = {"asked to wait": 0.0, "hangs": 1e6, "saturated": 10.0}[why]
    api = Api(clock, *errors, seconds=seconds, gives="a", **limit)
    more = 0.016 if why == "saturated" else 0.002  # dearer than the tool alone, cheaper than its wait
    tools = [
        api.tool,
        Tool(lambda a: "by a", name="end", gives="done", cost=0.01),
        Tool(lambda q: 1, name="other", gives="b", cost=more),
        Tool(lambda b: "by b", name="other_end", gives="done", cost=cost),
    ]
    async with Orchestrator(tools, clock=clock, monitors=()) as orc:
        outcomes = await asyncio.gather(*(orc.run("done", {"q": n}) for n in range(2 if why == "saturated" else 1)))
        cheap = cost < 1
        assert outcomes[-1].value == ("by b" if cheap or why == "hangs" else "by a")
        assert len(api.calls) == (1 if cheap else 3 if why == "hangs" else 2)
        assert all(orc.replay(outcome.run_id).agrees for outcome in outcomes)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("before", [False, True])
async def test_runs_of_one_moment_share_two_limited_tools_evenly(slots: int, before: bool) -> None:
    clock = FakeClock()
    api = Api(clock, seconds=0.5, max_concurrency=slots, latency=0.5)
    other = Api(clock, seconds=0.5, name="spare", cost=0.00101, latency=0.5, max_concurrency=slots)
    tools = [api.tool, other.tool]
    if before:  # every run makes a call of its own before the two are ready to be called

        async def first(text: str) -> int:
            await clock.sleep(0.1)
            return len(text)

        tools.append(Tool(first, gives="q"))
    async with Orchestrator(tools, clock=clock, monitors=()) as orc:
        given = {"text": "t"} if before else {"q": 1}
        outcomes = await asyncio.gather(*(orc.run("answer", given) for _ in range(20)))
        assert (len(api.calls), len(other.calls)) == (10, 10)
        assert max(len(outcome.decisions) for outcome in outcomes) <= (3 if before else 1)
        assert all(orc.replay(outcome.run_id).agrees for outcome in outcomes)


async def test_a_call_that_a_run_planned_and_never_makes_is_no_queue() -> None:
    clock = FakeClock()
    api = Api(clock, seconds=0.5, max_concurrency=1, latency=0.5)
    asked = Api(clock, name="spare", cost=0.00101, max_concurrency=1, latency=0.5, approval=True)
    async with Orchestrator([api.tool, asked.tool], clock=clock, monitors=()) as orc:
        first, second = await asyncio.gather(*(orc.run("answer", {"q": n}) for n in range(2)))
        assert first.value == "api" and second.status is Status.WAITING
        clock.advance(10)
        assert orc.plan("answer", {"q": 3}).tools == ("api",)
        third, fourth = await asyncio.gather(*(orc.run("answer", {"q": n}) for n in (3, 4)))
        assert third.value == "api" and third.decisions[0].facts.get("waits") is None
        assert fourth.decisions[0].facts["waits"] == {"api": 0.5}, "the first run's plan is over, the third's counts"


@pytest.mark.parametrize("learn", [True, False])
async def test_a_queue_of_calls_of_unknown_length_loses_no_run_with_a_deadline(learn: bool) -> None:
    clock = FakeClock()
    api = Api(clock, seconds=0.5, max_concurrency=1)
    other = Api(clock, seconds=0.5, name="spare", cost=0.00101)
    policy = Policy(learn=learn)
    async with Orchestrator([api.tool, other.tool], clock=clock, monitors=(), policy=policy) as orc:
        outcomes = await asyncio.gather(*(orc.run("answer", {"q": n}, budget=Budget(seconds=3)) for n in range(20)))
        assert all(orc.replay(outcome.run_id).agrees for outcome in outcomes)
        if learn:
            assert all(outcome.ok for outcome in outcomes)
            assert clock.monotonic() <= 2
        else:
            assert len(other.calls) == 0, "a tool that declares no latency has none where nothing is learned"


async def test_a_queue_of_calls_of_unknown_length_is_waited_in_where_there_is_no_alternative() -> None:
    clock = FakeClock()
    api = Api(clock, seconds=0.1, max_concurrency=1)
    async with Orchestrator([api.tool], clock=clock, monitors=()) as orc:
        outcomes = await asyncio.gather(*(orc.run("answer", {"q": n}, budget=Budget(seconds=3)) for n in range(20)))
        assert all(outcome.ok for outcome in outcomes)


async def test_a_queue_is_waited_in_where_there_is_no_alternative() -> None:
    clock = FakeClock()
    api = Api(clock, seconds=0.5, max_concurrency=2, latency=0.5)
    async with Orchestrator([api.tool], clock=clock, monitors=()) as orc:
        outcomes = await asyncio.gather(*(orc.run("answer", {"q": n}) for n in range(10)))
        assert all(outcome.ok for outcome in outcomes)
        assert clock.monotonic() == pytest.approx(2.5)


@pytest.mark.parametrize("size", [5, 12])
async def test_a_burst_does_not_take_away_the_last_usable_tool(size: int) -> None:
    seen: set[str] = set()

    async def extract(text: str) -> str:
        await asyncio.sleep(0.01)
        if text not in seen:
            seen.add(text)
            raise TimeoutError("cold start")
        return text.upper()

    async def each(texts: list[str], ctx: RunContext) -> list[str]:
        outcomes = await asyncio.gather(*(ctx.reach("fruit", {"text": text}) for text in texts))
        return [outcome.value for outcome in outcomes]

    tools = [Tool(extract, gives="fruit", retries=2), Tool(each, gives="fruits")]
    policy = Policy(retries=Retries(floor=100))
    async with Orchestrator(tools, policy=policy, monitors=()) as orc:
        texts = [f"t{n}" for n in range(size)]
        assert (await orc.run("fruits", {"texts": texts})).value == [text.upper() for text in texts]


def _refused(error: BaseException) -> FailureKind:
    return FailureKind.ACCOUNT


async def test_a_refused_account_is_called_once_and_the_reason_is_told() -> None:
    clock = FakeClock()
    api = Api(clock, RuntimeError("401: key revoked"), classify=_refused)
    async with Orchestrator([api.tool, spare(0.02)], clock=clock, monitors=()) as orc:
        first = await orc.run("answer", {"q": 0})
        assert (first.value, first.failures[0].kind) == ("spare", FailureKind.ACCOUNT)
        outcome = first
        for number in range(1, 60):
            clock.advance(1)
            outcome = await orc.run("answer", {"q": number})
            assert (outcome.value, kinds(outcome)[0]) == ("spare", DecisionKind.ROUTE)
        assert len(api.calls) == 1
        down = next(c for c in outcome.decisions[0].candidates if c.name == "api")
        assert down.price is None and "401: key revoked" in down.reason


async def test_a_refused_account_without_an_alternative_waits_for_its_probe() -> None:
    clock = FakeClock()
    api = Api(clock, RuntimeError("402: no credit"), None, classify=_refused)
    async with Orchestrator([api.tool], clock=clock, monitors=()) as orc:
        for number in range(10):
            outcome = await orc.run("answer", {"q": number})
            assert outcome.impasse is not None and "402: no credit" in outcome.impasse.message
            clock.advance(1)
        assert len(api.calls) == 1
        probe = orc.health.status("api").next_probe_in
        assert probe is not None
        clock.advance(probe - 10)
        assert (await orc.run("answer", {"q": 99})).value == "api", "a probe that is near is waited for"
        assert orc.health.status("api").circuit is CircuitState.CLOSED


async def test_a_last_resort_with_no_room_is_waited_for_beside_a_dearer_one() -> None:
    clock = FakeClock()
    down = [ConnectionRefusedError("down")] * 10
    api = Api(clock, *down, None, seconds=1, retries=0)
    dear = Api(clock, *down, None, seconds=1, retries=0, name="dear", cost=5.0)
    async with Orchestrator([api.tool, dear.tool], clock=clock, monitors=()) as orc:
        for n in range(10):
            await orc.run("answer", {"q": n})
        assert {orc.health.status(name).circuit for name in ("api", "dear")} == {CircuitState.OPEN}
        outcomes = await asyncio.gather(*(orc.run("answer", {"q": n}) for n in range(20)))
        assert all(outcome.ok for outcome in outcomes)
        assert max(len(outcome.decisions) for outcome in outcomes) <= 3
        assert all(orc.replay(outcome.run_id).agrees for outcome in outcomes)


@pytest.mark.parametrize("works", [True, False])
async def test_runs_wait_while_one_of_them_probes_the_only_account(works: bool) -> None:
    clock = FakeClock()
    refused = RuntimeError("401: key revoked")
    api = Api(clock, refused, None if works else refused, seconds=2, classify=_refused, credential="key")
    async with Orchestrator([api.tool], clock=clock, monitors=()) as orc:
        await orc.run("answer", {"q": 0})
        clock.advance((orc.health.status("api").next_probe_in or 0) + 1)
        outcomes = await asyncio.gather(*(orc.run("answer", {"q": n}) for n in range(10)))
        assert [outcome.ok for outcome in outcomes] == [works] * 10
        assert len(api.calls) == (11 if works else 2), "one probe decides"
        assert max(len(outcome.decisions) for outcome in outcomes) <= 4
        assert all(orc.replay(outcome.run_id).agrees for outcome in outcomes)


async def test_with_a_deadline_a_wait_that_ends_after_it_is_no_choice() -> None:
    clock = FakeClock()
    api = Api(clock, RateLimited("slow down", retry_after=20), None)
    async with Orchestrator([api.tool, spare(5.0)], clock=clock, monitors=()) as orc:
        outcome = await orc.run("answer", {"q": 1}, budget=Budget(seconds=5))
        assert outcome.value == "spare"
        assert orc.replay(outcome.run_id).agrees


@pytest.mark.parametrize(("retries", "budget"), [(0, None), (3, Budget(seconds=5))])
async def test_an_impasse_names_the_wait_of_a_retry_that_was_not_taken(retries: int, budget: Budget | None) -> None:
    def call(q: int) -> str:
        raise RateLimited("slow down", retry_after=20)

    limited = Tool(call, name="api", gives="answer", retries=retries)
    async with Orchestrator([limited], clock=FakeClock(), monitors=()) as orc:
        outcome = await orc.run("answer", {"q": 1}, budget=budget)
        assert outcome.impasse is not None
        assert "it asks to wait 20 s" in outcome.impasse.message
        assert orc.replay(outcome.run_id).agrees


async def test_what_asks_a_person_is_not_failing() -> None:
    async def ask_year(topic: str, ctx: RunContext) -> int:
        return int(await ctx.wait("Which year?", int))

    tools = [Tool(ask_year, gives="year"), Tool(lambda topic: 2020, name="guess", gives="year", cost=0.0003)]
    async with Orchestrator(tools, monitors=[ErrorRate()]) as orc:
        before = orc.price("ask_year")
        for _ in range(6):
            await orc.run("year", {"topic": "x"})
        await asyncio.sleep(0.05)
        assert orc.price("ask_year") == before
        assert orc.health.status("ask_year").failures == 0


async def test_the_seconds_of_a_person_are_no_latency_of_the_tool() -> None:
    async def ask_year(topic: str, ctx: RunContext) -> int:
        return await ctx.wait("Which year?", int)

    async def ask_below(ctx: RunContext) -> int:
        outcome: Any = await ctx.reach("year", {"topic": "x"})
        return int(outcome.value)

    clock = FakeClock()
    tools = [Tool(ask_year, gives="year"), Tool(ask_below, gives="below", needs=[])]
    async with Orchestrator(tools, clock=clock, monitors=()) as orc:
        for goal, inputs in (("year", {"topic": "x"}), ("below", {})):
            waiting = await orc.run(goal, inputs)
            clock.advance(5000)
            assert (await orc.resume(waiting.run_id, 2020)).value == 2020
        assert [orc.price_facts(name).latency for name in ("ask_year", "ask_below")] == [0, 0]


async def test_latency_as_a_function_of_the_inputs_decides_without_learning() -> None:
    def sized(rate: float) -> Callable[..., float]:
        return lambda text: len(text) * rate

    quick_start = Tool(lambda text: "a", name="a", gives="out", latency=sized(0.1))
    steady = Tool(lambda text: "b", name="b", gives="out", latency=1.0)
    async with Orchestrator([quick_start, steady], policy=Policy(learn=False)) as orc:
        assert (await orc.run("out", {"text": "xx"})).value == "a"
        long = await orc.run("out", {"text": "x" * 100})
        assert long.value == "b"
        assert orc.plan("out", {"text": "xx"}).tools == ("a",)
        assert orc.replay(long.run_id).agrees


@pytest.mark.parametrize("learn", [True, False])
async def test_a_latency_that_depends_on_a_later_value_decides_when_that_is_there(learn: bool) -> None:
    def sized(text: str) -> float:
        return 0.1 * len(text)

    tools = [
        Tool(lambda q: "x" * q, name="load", gives="text"),
        Tool(lambda text: "small", name="small", gives="out", latency=sized),
        Tool(lambda text: "large", name="large", gives="out", latency=1.0),
        Tool(lambda out: out, name="last", gives="done"),
    ]
    async with Orchestrator(tools, policy=Policy(learn=learn), clock=FakeClock(), monitors=()) as orc:
        for size, value in ((2, "small"), (100, "large")):
            outcome = await orc.run("done", {"q": size})
            assert outcome.value == value
            branches = [d for d in outcome.decisions if d.kind is DecisionKind.BRANCH]
            assert [d.subject for d in branches] == (["small"] if value == "large" else [])
            assert orc.replay(outcome.run_id).agrees
        assert "the latency of small for its inputs is now known" in branches[0].reason
        assert branches[0].candidates[1].price == pytest.approx((branches[0].price or 0) + 0.01, abs=0.003)


async def test_candidates_of_a_route_are_routes_and_the_chosen_one_is_the_cheapest() -> None:
    tools = [
        Tool(lambda q: 1, name="first", gives="a", cost=0.01),
        Tool(lambda q: 1, name="second", gives="a", cost=0.02),
        Tool(lambda a: a, name="end", gives="b", cost=0.5),
        Tool(lambda a: a, name="other_end", gives="b", cost=0.7),
    ]
    async with Orchestrator(tools, monitors=()) as orc:
        outcome = await orc.run("b", {"q": 1})
        chosen, *rivals = outcome.decisions[0].candidates
        assert (chosen.name, chosen.price) == ("first > end", outcome.decisions[0].price)
        assert {rival.name for rival in rivals} == {"second > end", "first > other_end"}
        assert all(rival.price is not None and rival.price > (chosen.price or 0) for rival in rivals)
        assert orc.replay(outcome.run_id).agrees
