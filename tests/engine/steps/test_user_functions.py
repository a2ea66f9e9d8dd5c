"""Functions that users give: sync and async alike, truth by `bool()`; what raises is one clear failure."""

import asyncio
import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import (
    DefinitionError,
    Escalated,
    FailureKind,
    Orchestrator,
    RateLimited,
    Refused,
    RunContext,
    Status,
    Tool,
    tool,
)

ANSWERING = ("retry", "reroute", "reconcile", "compensate", "demote", "escalate", "halt")


def check_answers(outcome: Any) -> None:
    """Every failure is answered by exactly one decision."""
    for failure in outcome.failures:
        answered = [d for d in outcome.decisions if failure.id in d.answers and d.kind in ANSWERING]
        assert len(answered) == 1, (failure, answered)


class Odd:
    """A truth value of another library's, as numpy's."""

    def __init__(self, truth: bool) -> None:
        self.truth = truth

    def __bool__(self) -> bool:
        return self.truth


class NoTruth:
    """An array of several elements: its truth value raises."""

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


def spare() -> Tool:
    return Tool(lambda x: "spare", name="spare", gives="y", cost=1.0)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("verdict", "value"), [(Odd(False), "spare"), (0, "spare"), ([], "spare"), (None, "first"), (Odd(True), "first")]
)
async def test_what_ensure_returns_counts_by_its_truth_and_none_passes(
    verdict: Any, value: str, asynchronous: bool
) -> None:
    async def later(output: str) -> Any:
        return verdict

    ensure: Callable[[str], Any] = later if asynchronous else lambda output: verdict
    first = Tool(lambda x: "first", name="first", gives="y", ensure=ensure)
    outcome = await Orchestrator([first, spare()]).run("y", {"x": 1})
    assert outcome.value == value
    check_answers(outcome)


def no_such_key(output: str) -> bool:
    return {"a": 1}[output] > 0


@pytest.mark.parametrize("ensure", [no_such_key, lambda output: NoTruth()])
async def test_an_ensure_that_raises_is_a_bug_with_type_file_and_line(ensure: Any) -> None:
    outcome = await Orchestrator([Tool(lambda x: "b", name="first", gives="y", ensure=ensure), spare()]).run(
        "y", {"x": 1}
    )
    assert outcome.value == "spare"
    (failure,) = outcome.failures
    assert failure.kind is FailureKind.BUG
    assert "`ensure` raised" in failure.message
    assert f"{Path(__file__).name}:" in failure.message
    check_answers(outcome)


async def test_a_failed_assert_in_ensure_rejects_and_a_refusal_stays_one() -> None:
    def asserts(output: str) -> None:
        assert output == "other", "it is not the other one"

    def refuses(output: str) -> None:
        raise Refused("no seats")

    for ensure, kind in ((asserts, FailureKind.INVALID_OUTPUT), (refuses, FailureKind.REFUSAL)):
        outcome = await Orchestrator([Tool(lambda x: "b", name="first", gives="y", ensure=ensure)]).run("y", {"x": 1})
        assert outcome.failures[0].kind is kind


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_approval_rule_that_raises_is_a_failure_that_a_decision_answers(asynchronous: bool) -> None:
    def rule(x: int) -> bool:
        raise KeyError("amount")

    async def later(x: int) -> bool:
        return rule(x)

    asks: Any = later if asynchronous else rule
    paid = Tool(lambda x: "paid", name="paid", gives="y", effect="write", approval=asks)
    outcome = await Orchestrator([paid, spare()]).run("y", {"x": 1})
    assert outcome.value == "spare"
    assert outcome.failures[0].kind is FailureKind.BUG
    assert "`approval` raised KeyError" in outcome.failures[0].message
    check_answers(outcome)


@pytest.mark.parametrize("asks", [True, False])
async def test_an_approval_rule_may_be_async(asks: bool) -> None:
    async def asks_later(x: int) -> bool:
        await asyncio.sleep(0)
        return asks

    rule: Any = asks_later

    outcome = await Orchestrator([Tool(lambda x: "p", name="p", gives="y", effect="write", approval=rule)]).run(
        "y", {"x": 1}
    )
    assert outcome.status is (Status.WAITING if asks else Status.REACHED)


async def test_a_pricing_that_gives_nonsense_is_raised_once() -> None:
    """The caller has the error; the event loop reports no second one that nobody retrieved."""
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    async with Orchestrator([Tool(lambda: "a", name="a", gives="a")], pricing=lambda facts: -1.0) as orc:
        with pytest.raises(DefinitionError, match="pricing gave"):
            await orc.run("a")
    gc.collect()
    await asyncio.sleep(0)
    assert said == []


@pytest.mark.parametrize("cost", [lambda usage: 1 / 0 if usage else 0.0, lambda usage: float("nan") if usage else 0.0])
async def test_a_cost_function_that_raises_fails_a_read_and_loses_no_write(cost: Any) -> None:
    def made(effect: str) -> Tool:
        async def call(x: int, ctx: RunContext) -> str:
            ctx.usage["tokens"] += 5
            return effect

        return Tool(call, name=effect, gives="y", cost=cost, effect=effect)

    read = await Orchestrator([made("read"), spare()]).run("y", {"x": 1})
    assert read.value == "spare"
    assert "`cost` raised" in read.failures[0].message
    check_answers(read)
    orc = Orchestrator([made("write"), spare()])
    write = await orc.run("y", {"x": 1}, run_id="r")
    assert (write.value, len(write.calls), write.uncompensated) == ("write", 1, ())
    (failure,) = write.failures
    assert (failure.kind, "`cost` raised" in failure.message) == (FailureKind.BUG, True)
    check_answers(write)
    assert orc.replay("r").agrees


@pytest.mark.parametrize("amount", [-1.0, float("inf"), "x", None])
async def test_a_write_is_not_undone_because_its_cost_is_no_amount(amount: Any) -> None:
    undone: list[str] = []

    async def call(ctx: RunContext) -> str:
        ctx.usage["tokens"] += 5
        ctx.charge(0.5)
        return "made"

    write = Tool(call, gives="y", cost=lambda usage: amount if usage else 0.0, effect="write", compensate=undone.append)
    used = await Orchestrator([write]).run("y")
    assert (used.value, used.cost, undone) == ("made", 0.5, [])
    check_answers(used)

    def fails(y: str) -> str:
        raise Refused("no")

    unused = await Orchestrator([write, Tool(fails, gives="z")]).run("z")
    assert (unused.compensated, undone) == (("call",), ["made"])
    check_answers(unused)


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Evil(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(name)


class OwnBase(BaseException):
    pass


def circle() -> BaseException:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    return first


ODD: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": lambda: StopIteration(4),
    "StopAsyncIteration": StopAsyncIteration,
    "CancelledError": asyncio.CancelledError,
    "OwnBase": lambda: OwnBase("x"),
    "group": lambda: BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError()]),
    "bad text": BadText,
    "evil": Evil,
    "circle": circle,
    "huge": lambda: ValueError("x" * 5_000_000),
    "surrogate": lambda: ValueError("\ud800"),
}


@pytest.mark.parametrize("effect", ["read", "write"])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("name", ODD)
async def test_nothing_that_a_tool_raises_leaves_a_run(name: str, asynchronous: bool, effect: str) -> None:
    def boom(x: int) -> str:
        raise ODD[name]()

    async def boom_later(x: int) -> str:
        raise ODD[name]()

    first = Tool(boom_later if asynchronous else boom, name="first", gives="y", effect=effect, cost=0.0)
    orc = Orchestrator([first, spare()])
    other = asyncio.create_task(orc.run("y", {"x": 2}))
    outcome = await orc.run("y", {"x": 1})
    await other
    (failure, *_) = outcome.failures
    assert failure.kind is (FailureKind.BUG if effect == "read" else FailureKind.AMBIGUOUS)
    assert len(failure.message) < 2000
    assert outcome.status is (Status.REACHED if effect == "read" else Status.ESCALATED)
    check_answers(outcome)


@pytest.mark.parametrize("effect", ["read", "write"])
async def test_a_tool_that_cancels_its_own_task_fails_and_the_run_goes_on(effect: str) -> None:
    async def first(x: int) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
        return "never"

    orc = Orchestrator([Tool(first, gives="y", effect=effect, cost=0.0), spare()])
    outcome = await orc.run("y", {"x": 1})
    assert outcome.failures[0].kind is (FailureKind.BUG if effect == "read" else FailureKind.AMBIGUOUS)
    check_answers(outcome)


async def test_a_coroutine_as_a_result_is_a_failure_that_names_the_missing_await() -> None:
    async def answer() -> int:
        return 1

    async def forgets(x: int) -> Any:
        return answer()

    outcome = await Orchestrator([Tool(forgets, gives="y")]).run("y", {"x": 1})
    assert "`await` is missing" in outcome.failures[0].message


async def test_something_that_a_tool_awaits_is_cancelled_by_others() -> None:
    @tool(gives="y")
    async def first(x: int) -> str:
        inner = asyncio.create_task(asyncio.sleep(10))
        asyncio.get_running_loop().call_later(0.01, inner.cancel)
        await inner
        return "first"

    outcome = await Orchestrator([first, spare()]).run("y", {"x": 1})
    assert outcome.value == "spare"
    assert "cancelled" in outcome.failures[0].message


async def test_a_generator_returned_by_accident_is_one_clear_failure() -> None:
    def lines() -> Any:
        yield "a"

    async def later() -> Any:
        yield "a"

    def sync_call(x: int) -> Any:
        return lines()

    async def async_call(x: int) -> Any:
        return later()

    for call in (sync_call, async_call):
        outcome = await Orchestrator([Tool(call, name="first", gives="y"), spare()]).run("y", {"x": 1})
        assert outcome.value == "spare"
        assert "returned a generator" in outcome.failures[0].message


async def test_a_reconcile_and_a_compensation_that_exit_are_failures_of_theirs() -> None:
    def leave(*given: Any, **more: Any) -> Any:
        raise SystemExit(1)

    @tool(gives="y", effect="write", reconcile=leave, compensate=leave)
    def pay(x: int) -> str:
        raise ConnectionResetError("lost")

    outcome = await Orchestrator([pay]).run("y", {"x": 1})
    assert outcome.status is Status.ESCALATED
    assert outcome.uncompensated == ("pay",)
    check_answers(outcome)


def test_threads_survive_what_a_tool_raises_in_them() -> None:
    def leave(x: int) -> str:
        raise SystemExit(1)

    orc = Orchestrator([Tool(leave, name="first", gives="y"), spare()])
    before = threading.active_count()
    for n in range(5):
        assert orc.run_sync("y", {"x": n}).value == "spare"
    assert threading.active_count() <= before + 8


def below(claim: dict[str, str]) -> bool:
    return float(claim["amount"]) > 1000


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("late", [False, True])
async def test_a_condition_that_raises_is_a_failure_that_a_decision_answers(late: bool, asynchronous: bool) -> None:
    async def below_later(claim: dict[str, str]) -> bool:
        return below(claim)

    when: Any = below_later if asynchronous else below
    boss = Tool(lambda claim: "boss", name="boss", gives="paid", cost=0.01, when=when)
    out = Tool(lambda claim: "out", name="out", gives="paid", cost=0.02)
    read = Tool(lambda mail: {"amount": "1,250.00"}, name="read", gives={"claim": dict[str, str]})
    orc = Orchestrator([boss, out, read])
    given: dict[str, Any] = {"mail": "m"} if late else {"claim": {"amount": "1,250.00"}}
    outcome = await orc.run("paid", given)
    assert outcome.value == "out"
    (failure,) = outcome.failures
    assert (failure.kind, failure.tool) == (FailureKind.BUG, "boss")
    assert "`when` raised ValueError" in failure.message
    assert f"{Path(__file__).name}:" in failure.message
    assert outcome.price is not None
    check_answers(outcome)
    assert orc.replay(outcome.run_id).agrees, orc.replay(outcome.run_id).differences


@pytest.mark.parametrize("customer", ["vip", "nobody"])
async def test_a_condition_may_be_async_and_a_plan_leaves_it_open(customer: str) -> None:
    async def is_vip(customer: str) -> bool:
        await asyncio.sleep(0)
        return customer == "vip"

    orc = Orchestrator([Tool(lambda customer: "gift", name="gift", gives="gift", when=is_vip)])
    assert orc.plan("gift", {"customer": customer}).tools == ("gift",)
    outcome = await orc.run("gift", {"customer": customer})
    assert outcome.ok is (customer == "vip")


def test_escalated_has_the_exception_of_the_last_failure_as_its_cause() -> None:
    def shop(item: str) -> str:
        return {"book": "17"}[item]

    with Orchestrator([shop]) as orc:
        outcome = orc.run_sync("shop", {"item": "pen"})
    with pytest.raises(Escalated, match=r"bug: KeyError: 'pen' \(test_user_functions.py:\d+\)") as raised:
        _ = outcome.value
    assert isinstance(raised.value.__cause__, KeyError) and raised.value.__cause__.args == ("pen",)
    assert "\n" not in repr(outcome)


async def _cancels_itself(**_: Any) -> bool:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    return True


@pytest.mark.parametrize("option", ["when", "ensure", "approval"])
async def test_a_function_that_cancels_its_own_task_is_a_bug_of_its_tool(option: str) -> None:
    async def check(x: Any) -> bool:
        return await _cancels_itself()

    options: dict[str, Any] = {option: check}
    outcome = await Orchestrator([Tool(lambda x: "b", name="first", gives="y", **options), spare()]).run("y", {"x": 1})
    assert outcome.value == "spare"
    assert outcome.failures[0].kind is FailureKind.BUG
    check_answers(outcome)
    running = asyncio.current_task()
    assert running is not None and not running.cancelling()


class LastTruth:
    """Its truth ends the process."""

    def __bool__(self) -> bool:
        raise SystemExit(3)


@pytest.mark.parametrize("option", ["ensure", "when", "approval"])
async def test_a_truth_that_ends_the_process_is_a_bug_of_its_tool(option: str) -> None:
    options: dict[str, Any] = {option: lambda x=None: LastTruth()}
    outcome = await Orchestrator([Tool(lambda x: "first", name="first", gives="y", **options), spare()]).run(
        "y", {"x": 1}
    )
    assert outcome.value == "spare"
    assert [(failure.kind, failure.tool) for failure in outcome.failures] == [(FailureKind.BUG, "first")]
    check_answers(outcome)


async def test_what_a_function_does_to_a_value_is_seen_by_no_other() -> None:
    def change(items: list[int]) -> bool:
        items.append(9)
        return True

    def ask(items: list[int]) -> bool:
        return not change(items)

    def lost(items: list[int]) -> list[int]:
        raise TimeoutError("no answer")

    def found(items: list[int]) -> list[int]:
        change(items)
        return [1]

    first = Tool(lambda items: list(items), name="first", gives="y", when=change, ensure=change)
    write = Tool(lost, gives="z", effect="write", approval=ask, reconcile=found, compensate=lambda output: None)
    last = Tool(lambda items, y, z: [items, y, z], name="last", gives="all")
    outcome = await Orchestrator([first, write, last]).run("all", {"items": [1]})
    assert outcome.value == [[1], [1], [1]]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_cost_may_be_async(waits: bool) -> None:
    async def cost(usage: Any) -> float:
        if waits:
            await asyncio.sleep(0)
        return 0.25 * usage["pages"]

    async def read(x: int, ctx: RunContext) -> str:
        ctx.usage["pages"] += 2
        return "read"

    outcome = await Orchestrator([Tool(read, gives="y", cost=cost)]).run("y", {"x": 1})
    assert (outcome.value, outcome.cost) == ("read", 0.5)


async def test_an_async_cost_that_raises_fails_a_read_as_any_other() -> None:
    async def cost(usage: Any) -> float:
        return 0.0 if not usage["pages"] else 1 / 0

    async def read(x: int, ctx: RunContext) -> str:
        ctx.usage["pages"] += 2
        return "read"

    outcome = await Orchestrator([Tool(read, gives="y", cost=cost), spare()]).run("y", {"x": 1})
    assert outcome.value == "spare"
    assert [failure.kind for failure in outcome.failures] == [FailureKind.BUG]
    assert "ZeroDivisionError" in outcome.failures[0].message


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1, "soon", True, [1], 10**400])
async def test_a_time_to_wait_that_is_none_is_an_error_where_it_is_written(seconds: Any) -> None:
    def busy(x: int) -> str:
        raise RateLimited("busy", retry_after=seconds)

    outcome = await Orchestrator([Tool(busy, gives="y"), spare()]).run("y", {"x": 1})
    assert outcome.value == "spare"
    assert [failure.kind for failure in outcome.failures] == [FailureKind.BUG]
    assert "retry_after is a number of seconds" in outcome.failures[0].message
    assert RateLimited(retry_after="30").retry_after == 30.0
