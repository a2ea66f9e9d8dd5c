"""Run trees: a reach is a call, effects and marks cross the border, one account of money, calls and time."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import (
    AskHuman,
    AskModel,
    Budget,
    Escalated,
    Goal,
    InputError,
    Orchestrator,
    Policy,
    Refused,
    RunContext,
    Status,
    Tool,
    Unavailable,
    tool,
)
from orchestrator.core.events import RunStarted
from orchestrator.core.policy import Retries
from orchestrator.engine.lifecycle import start as begun
from orchestrator.engine.values import digest
from orchestrator.testing import FakeClock, ScriptedChatModel


def stores(tmp_path: Path) -> list[Path | None]:
    """Memory, and a file."""
    return [None, tmp_path / "runs.db"]


# -- a reach is a call -----------------------------------------------------------------------------------------------


async def test_equal_inputs_reach_again() -> None:
    thrown: list[int] = []

    @tool(gives="throw")
    def throw(sides: int) -> int:
        thrown.append(sides)
        return len(thrown)

    @tool(gives="three")
    async def three(sides: int, ctx: RunContext) -> list[int]:
        one = (await ctx.reach("throw", {"sides": sides})).value
        two = await asyncio.gather(*(ctx.reach("throw", {"sides": sides}) for _ in range(2)))
        return [one, *(each.value for each in two)]

    async with Orchestrator([throw, three]) as orc:
        outcome = await orc.run("three", {"sides": 6})
    assert sorted(outcome.value) == [1, 2, 3]
    assert len({child.run_id for child in outcome.children}) == 3


async def test_a_key_happens_once_and_names_one_goal() -> None:
    thrown: list[int] = []

    @tool(gives="throw")
    async def throw(sides: int) -> int:
        thrown.append(sides)
        await asyncio.sleep(0)
        return len(thrown)

    refused: list[str] = []

    @tool(gives="pair")
    async def pair(sides: int, ctx: RunContext) -> list[int]:
        both = await asyncio.gather(*(ctx.reach("throw", {"sides": sides}, key="k") for _ in range(2)))
        again = await ctx.reach("throw", {"sides": sides}, key="k")
        try:
            await ctx.reach("throw", {"sides": sides + 1}, key="k")
        except Exception as error:
            refused.append(type(error).__name__)
        return [each.value for each in (*both, again)]

    async with Orchestrator([throw, pair]) as orc:
        assert (await orc.run("pair", {"sides": 6})).value == [1, 1, 1]
    assert thrown == [6]
    assert refused == ["InputError"]


async def test_a_retried_parent_keeps_the_children_that_reached_their_goal() -> None:
    calls = {"good": 0, "bad": 0, "parent": 0}

    @tool(gives="good", cost=1.0)
    def good(x: int) -> int:
        calls["good"] += 1
        return x

    @tool(gives="bad", retries=0)
    def bad(x: int) -> int:
        calls["bad"] += 1
        if calls["bad"] < 2:
            raise TimeoutError("slow")
        return x

    @tool(gives="both", retries=2)
    async def both(x: int, ctx: RunContext) -> int:
        calls["parent"] += 1
        first = (await ctx.reach("good", {"x": x})).value
        try:
            return first + (await ctx.reach("bad", {"x": x})).value
        except Escalated:
            raise TimeoutError("a part is missing") from None

    async with Orchestrator([good, bad, both], monitors=()) as orc:
        outcome = await orc.run("both", {"x": 2})
    assert outcome.value == 4
    assert calls == {"good": 1, "bad": 2, "parent": 2}
    assert outcome.cost == pytest.approx(1.0)


async def test_once_takes_the_late_result_of_a_thread_whose_attempt_was_given_up() -> None:
    called: list[int] = []
    begun, free = threading.Event(), threading.Event()

    def slow() -> str:
        called.append(1)
        begun.set()
        assert free.wait(10)
        return "made"

    async def parent(ctx: RunContext) -> str:
        if ctx.attempt > 1:
            free.set()
        return str(await ctx.once("k", slow))

    policy = Policy(name="again", retries=Retries(attempts=3, base_seconds=0.0, share=1, floor=100))
    async with Orchestrator([Tool(parent, gives="p", timeout=0.1, retries=3)], policy=policy, monitors=()) as orc:
        outcome = await orc.run("p")
    assert (outcome.value, called) == ("made", [1])
    assert len(outcome.calls) > 1


async def test_a_deep_tree_and_a_long_key_have_ids_that_any_store_takes(tmp_path: Path) -> None:
    async def deeper(n: int, ctx: RunContext) -> int:
        return 1 + (await ctx.reach("depth", {"n": n - 1}, key="k" * 500)).value if n else 0

    tool = Tool(deeper, name="deeper_and_deeper_below_what_is_above", gives="depth", timeout=60)
    for store in (None, tmp_path / "runs.db"):
        async with Orchestrator([tool], store=store, monitors=()) as orc:
            outcome = await orc.run("depth", {"n": 12}, run_id="é" * 200)
            assert outcome.value == 12
            rows = orc.store.runs(limit=100)
            assert len({row.run_id for row in rows}) == 13
            assert all(orc.verify(row.run_id).ok for row in rows)


async def test_names_with_slashes_make_ids_that_differ() -> None:
    def give(n: int) -> str:
        return "x"

    async def parent(ctx: RunContext) -> str:
        both = [await ctx.reach(goal, {"n": 1}) for goal in ("b/c", "b%2Fc")]
        return " ".join(sorted({outcome.run_id for outcome in both}))

    tools = [Tool(give, name="x/y", gives="b/c"), Tool(give, name="z", gives="b%2Fc"), Tool(parent, gives="p")]
    async with Orchestrator(tools, monitors=()) as orc:
        assert len((await orc.run("p")).value.split()) == 2


async def test_children_whose_inputs_have_digests_that_begin_alike_are_two() -> None:
    pair: list[int] = []

    async def both(ctx: RunContext) -> list[int]:
        outcomes = await asyncio.gather(*(ctx.reach("same", {"n": n}) for n in pair))
        return [outcome.value for outcome in outcomes]

    async with Orchestrator([Tool(lambda n: n, name="one", gives="same"), Tool(both, gives="both")]) as orc:
        view, key = orc.graph.view(), orc._runtime.digest_key  # pyright: ignore[reportPrivateUsage]
        seen: dict[str, int] = {}
        for n in range(200_000):
            other = seen.setdefault(digest({"n": n}, view, key)[:12], n)
            if other != n:
                pair = [other, n]
                break
        assert len(pair) == 2
        outcome = await orc.run("both")
        assert outcome.value == pair
        assert len(outcome.children) == 2


async def test_a_run_of_an_earlier_version_finds_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def one(n: int) -> int:
        made.append(n)
        return n

    async def parent(ctx: RunContext) -> int:
        value = int((await ctx.reach("one", {"n": 1})).value)
        return value + await ctx.wait("How many more?", int)

    tools = [Tool(one, gives="one"), Tool(parent, gives="p")]
    store = tmp_path / "runs.db"
    with monkeypatch.context() as earlier:
        earlier.setattr(begun, "RunStarted", lambda **facts: replace(RunStarted(**facts), child_ids=1))
        async with Orchestrator(tools, store=store) as orc:
            assert (await orc.run("p", run_id="r")).status is Status.WAITING
    async with Orchestrator(tools, store=store) as orc:
        outcome = await orc.resume("r", 2)
        assert (outcome.value, made) == (3, [1])
        assert [child.run_id.partition("hmac:")[0] for child in outcome.children] == ["r/parent/one-"]


async def test_no_root_has_the_id_of_a_child() -> None:
    attempts: list[int] = []

    def one(n: int) -> int:
        attempts.append(n)
        if attempts == [1]:
            raise Refused("not at first")
        return n

    async def parent(ctx: RunContext) -> int:
        for key in (None, None, "k", "a/b~c-0123456789ab", "k" * 512):
            await ctx.reach("one", {"n": 1}, key=key)
        return int((await ctx.reach("two")).value)

    async def below(ctx: RunContext) -> int:
        return int((await ctx.reach("one", {"n": 7})).value)

    tools = [Tool(one, gives="one"), Tool(below, name="two/2", gives="two"), Tool(parent, name="p/q", gives="p")]
    async with Orchestrator(tools, monitors=(), policy=Policy(retries=Retries(attempts=1))) as orc:
        await orc.run("p", run_id="shop/2026/order-1")
        assert (await orc.run("p", run_id="shop/2026/order-2")).ok
        children = [row.run_id for row in orc.store.runs(limit=100) if row.parent is not None]
        assert len(children) == 8
        for run_id in (*children, "r/parent/@k", "r/parent/goal-hmac:01234ab~1", "r/~0a"):
            for ask in (orc.run, orc.submit):
                with pytest.raises(InputError, match=r"a child run has such a name|has more than 200 characters"):
                    await ask("one", {"n": 1}, run_id=run_id)


async def test_once_survives_a_failed_attempt() -> None:
    made: list[int] = []
    tries: list[int] = []

    @tool(gives="id", retries=1)
    async def create(x: int, ctx: RunContext) -> int:
        number = await ctx.once("number", lambda: made.append(1) or len(made))
        tries.append(number)
        if len(tries) == 1:
            raise TimeoutError("again")
        return number

    async with Orchestrator([create], monitors=()) as orc:
        assert (await orc.run("id", {"x": 1})).value == 1
    assert (made, tries) == ([1], [1, 1])


# -- effects ---------------------------------------------------------------------------------------------------------


def shop(log: list[str]) -> list[Tool]:
    """A write that can be undone, and parents that use it, fail after it, or discard it."""

    @tool(gives="seat", effect="write", compensate=lambda seat: log.append(f"release {seat}"))
    async def hold(show: str) -> str:
        log.append(f"hold {show}")
        return show

    @tool(gives="fails")
    async def fails(show: str, ctx: RunContext) -> str:
        await ctx.reach("seat", {"show": show})
        raise Refused("no bus")

    @tool(gives="uses")
    async def uses(show: str, ctx: RunContext) -> str:
        return (await ctx.reach("seat", {"show": show})).value

    @tool(gives="discards")
    async def discards(show: str, ctx: RunContext) -> str:
        outcome = await ctx.reach("seat", {"show": show})
        await ctx.discard(outcome)
        return "none"

    @tool(gives="reconsiders", retries=1)
    async def reconsiders(show: str, ctx: RunContext) -> str:
        outcome = await ctx.reach("seat", {"show": show}, key="seat")
        if ctx.attempt == 1:
            await ctx.discard(outcome)
            raise TimeoutError("the bus company does not answer")
        return outcome.value

    @tool(gives="deep")
    async def deep(show: str, ctx: RunContext) -> str:
        await ctx.reach("uses", {"show": show})
        raise Refused("no")

    return [hold, fails, uses, discards, reconsiders, deep]


@pytest.mark.parametrize(
    ("goal", "status", "undone"),
    [
        ("uses", Status.REACHED, False),
        ("fails", Status.ESCALATED, True),
        ("discards", Status.REACHED, True),
        ("reconsiders", Status.REACHED, False),
        ("deep", Status.ESCALATED, True),
    ],
)
async def test_effects_of_children_are_undone_where_nothing_uses_them(
    goal: str, status: Status, undone: bool, tmp_path: Path
) -> None:
    for store in stores(tmp_path):
        log: list[str] = []
        async with Orchestrator(shop(log), store=store) as orc:
            outcome = await orc.run(goal, {"show": "Hamlet"}, run_id=f"{goal}-1")
            assert outcome.status is status
            assert log == ["hold Hamlet", *(["release Hamlet"] if undone else [])]
            assert outcome.compensated == (("hold",) if undone else ())
            assert outcome.uncompensated == ()
            assert orc.verify(outcome.run_id).ok
            assert orc.replay(outcome.run_id).agrees


async def test_what_cannot_be_undone_below_is_listed() -> None:
    @tool(gives="sent", effect="irreversible")
    def send(x: int) -> int:
        return x

    @tool(gives="fails")
    async def fails(x: int, ctx: RunContext) -> int:
        await ctx.reach("sent", {"x": x})
        raise Refused("no")

    async with Orchestrator([send, fails]) as orc:
        assert (await orc.run("fails", {"x": 1})).uncompensated == ("send",)


async def test_a_call_ends_its_children_before_it_ends() -> None:
    log: list[str] = []

    @tool(gives="room", effect="write", compensate=lambda room: log.append("undo"))
    async def book(city: str) -> str:
        await asyncio.sleep(0.05)
        log.append("book")
        return city

    @tool(gives="flight")
    async def fly(city: str) -> str:
        raise Refused("no seats")

    @tool(gives="trip")
    async def trip(city: str, ctx: RunContext) -> Any:
        return await asyncio.gather(ctx.reach("room", {"city": city}), ctx.reach("flight", {"city": city}))

    async with Orchestrator([book, fly, trip]) as orc:
        outcome = await orc.run("trip", {"city": "Rome"})
        log.append("ended")
        await asyncio.sleep(0.1)
    assert outcome.status is Status.ESCALATED
    assert log in (["book", "undo", "ended"], ["ended"])


# -- marks -----------------------------------------------------------------------------------------------------------


async def test_taint_reaches_a_write_through_a_child() -> None:
    paid: list[int] = []

    @tool(gives="amount")
    def ledger(order: str) -> int:
        raise Unavailable("down")

    @tool(gives="paid", effect="irreversible")
    def pay(amount: int) -> str:
        paid.append(amount)
        return "paid"

    @tool(gives="settled")
    async def settle(amount: int, ctx: RunContext) -> str:
        return (await ctx.reach("paid", {"amount": amount})).value

    model = ScriptedChatModel('{"choice": 1, "value": 999, "message": "x"}')
    async with Orchestrator([ledger, pay, settle], escalation=[AskModel(model), AskHuman()]) as orc:
        outcome = await orc.run(Goal("settled", providable=["amount"]), {"order": "a"})
    assert outcome.status is Status.WAITING
    assert paid == []


async def test_labels_go_down_to_children() -> None:
    seen: list[dict[str, str]] = []

    @tool(gives="part")
    def part(x: int, ctx: RunContext) -> int:
        seen.append(dict(ctx.labels))
        return x

    @tool(gives="whole")
    async def whole(x: int, ctx: RunContext) -> int:
        return (await ctx.reach("part", {"x": x})).value

    async with Orchestrator([part, whole]) as orc:
        outcome = await orc.run("whole", {"x": 1}, labels={"customer": "acme"})
    assert seen == [{"customer": "acme"}]
    assert outcome.labels == outcome.children[0].labels == {"customer": "acme"}


# -- one account -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("budget", "most"), [(Budget(usd=5), 5), (Budget(calls=5), 4)])
async def test_a_loop_keeps_to_the_budget(budget: Budget, most: int) -> None:
    made: list[int] = []

    @tool(gives="better", cost=1.0)
    def revise(draft: str) -> str:
        made.append(1)
        return draft + "!"

    @tool(gives="text")
    async def polish(draft: str, ctx: RunContext) -> str:
        for _ in range(20):
            try:
                draft = (await ctx.reach("better", {"draft": draft})).value
            except Escalated:
                break
        return draft

    async with Orchestrator([revise, polish]) as orc:
        outcome = await orc.run("text", {"draft": "hello"}, budget=budget)
    assert outcome.status is Status.REACHED
    assert len(made) == most


async def test_what_fitted_once_fits_again() -> None:
    @tool(gives="doc", cost=1.0)
    def fetch(url: str) -> str:
        return url

    @tool(gives="sum")
    async def summarise(url: str, ctx: RunContext) -> str:
        return (await ctx.reach("doc", {"url": url})).value

    async with Orchestrator([fetch, summarise]) as orc:
        outcomes = [await orc.run("sum", {"url": f"u{n}"}, budget=1.5) for n in range(3)]
    assert [outcome.status for outcome in outcomes] == [Status.REACHED] * 3


async def test_charges_of_unknown_size_go_one_at_a_time_until_the_first_report() -> None:
    @tool(gives="piece")
    async def agent(i: int, ctx: RunContext) -> int:
        await asyncio.sleep(0.001)
        ctx.charge(0.5)
        return i

    @tool(gives="all")
    async def fan(n: int, ctx: RunContext) -> int:
        return len(await asyncio.gather(*(ctx.reach("piece", {"i": i}) for i in range(n)), return_exceptions=True))

    async with Orchestrator([agent, fan]) as orc:
        outcome = await orc.run("all", {"n": 10}, budget=Budget(usd=1.0))
    assert outcome.cost == pytest.approx(1.0)


async def test_a_persons_time_is_none_of_the_runs() -> None:
    clock = FakeClock()
    sent: list[str] = []

    @tool(gives="sent", effect="write", approval=True)
    def send(draft: str) -> str:
        sent.append(draft)
        return draft

    async with Orchestrator([send], clock=clock) as orc:
        waiting = await orc.run("sent", {"draft": "d"}, budget=Budget(seconds=300))
        clock.advance(3600)
        outcome = await orc.resume(waiting.run_id, True, by="ann")
    assert outcome.status is Status.REACHED
    assert sent == ["d"]


@pytest.mark.parametrize("check", [True, False])
async def test_a_child_that_reached_nothing_raises_or_gives_its_outcome(check: bool) -> None:
    @tool(gives="seat")
    async def seat() -> str:
        raise Refused("sold out")

    @tool(gives="report")
    async def report(ctx: RunContext) -> str:
        try:
            outcome = await ctx.reach("seat", check=check)
        except Escalated as error:
            return f"raised: {error.outcome.status if error.outcome else None}"
        return f"given: {outcome.status}: {outcome.failures[0].message}"

    async with Orchestrator([seat, report]) as orc:
        outcome = await orc.run("report")
        assert outcome.value == ("raised: escalated" if check else "given: escalated: sold out")
        assert [child.status for child in outcome.children] == [Status.ESCALATED]
