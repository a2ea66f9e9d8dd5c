"""A cancellation and a deadline end the wait for a user's function or a rung, whichever it is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orchestrator import Budget, Orchestrator, Policy, Refused, Resolution, Status, Tool
from orchestrator.core.outcome import Outcome
from orchestrator.testing import FakeClock

FUNCTIONS = ["when", "approval", "ensure", "rung"]
Sleep = Callable[[], Awaitable[None]]


class Slow:
    """An orchestrator one of whose user functions takes an hour."""

    def __init__(self, which: str, effect: str = "read", **options: Any) -> None:
        self.clock, self.asked, self.calls = FakeClock(), asyncio.Event(), 0
        given: dict[str, Any] = {}
        if which == "rung":
            options["escalation"] = [self.rung]
        else:
            given[which] = self.on_inputs if which != "ensure" else self.on_output
        self._refuses = which == "rung"
        pay = Tool(self.pay, name="pay", gives="paid", needs=["usd"], effect=effect, **given)
        self.orc = Orchestrator([pay], clock=self.clock, monitors=(), **options)

    async def pay(self, usd: int) -> int:
        self.calls += 1
        if self._refuses:
            raise Refused("no")
        return usd

    async def on_inputs(self, usd: int) -> bool:
        return await self._slow()

    async def on_output(self, usd: int) -> bool:
        return await self._slow()

    async def rung(self, impasse: object) -> Resolution:
        await self._slow()
        return Resolution.stop()

    async def _slow(self) -> bool:
        self.asked.set()
        await self.clock.sleep(3600)
        return True

    def run(self, **options: Any) -> Awaitable[Outcome[Any]]:
        return self.orc.run("paid", {"usd": 3}, run_id="r", **options)


@pytest.mark.parametrize("which", FUNCTIONS)
async def test_a_cancellation(which: str) -> None:
    slow = Slow(which)
    async with slow.orc:
        running = asyncio.ensure_future(slow.run())
        await slow.asked.wait()
        assert (await slow.orc.cancel("r")).status is Status.ESCALATED
        assert (await running).impasse is not None
        assert slow.clock.monotonic() < 60
        assert slow.orc.replay("r").agrees


@pytest.mark.parametrize("which", FUNCTIONS)
async def test_a_deadline(which: str) -> None:
    slow = Slow(which)
    async with slow.orc:
        outcome = await slow.run(budget=Budget(seconds=10))
        assert outcome.status is Status.ESCALATED
        assert slow.clock.monotonic() == pytest.approx(10, abs=1)
        assert slow.calls == (0 if which in ("when", "approval") else 1)
        answered = [failure for decision in outcome.decisions for failure in decision.answers]
        assert sorted(answered) == sorted(failure.id for failure in outcome.failures)
        assert slow.orc.replay("r").agrees


@pytest.mark.parametrize("which", ["when", "approval", "ensure"])
async def test_the_time_out_of_the_policy(which: str) -> None:
    slow = Slow(which, policy=Policy(timeout=20))
    async with slow.orc:
        outcome = await slow.run()
        assert slow.clock.monotonic() == pytest.approx(20, abs=1)
        assert [failure.kind for failure in outcome.failures] == ["bug"]
        assert f"`{which}` raised TimeoutError: no answer within 20 s" in outcome.failures[0].message


async def test_a_write_that_nobody_checked_in_time_is_listed() -> None:
    slow = Slow("ensure", effect="write", policy=Policy(timeout=20), escalation=[])
    async with slow.orc:
        outcome = await slow.run()
        assert (slow.calls, outcome.uncompensated) == (1, ("pay",))


async def test_a_function_that_ignores_its_cancellation_holds_up_no_run() -> None:
    asked = asyncio.Event()

    async def when(usd: int) -> bool:
        asked.set()
        for _ in range(3):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                continue
        return True

    async with Orchestrator([Tool(lambda usd: usd, name="pay", gives="paid", needs=["usd"], when=when)]) as orc:
        running = asyncio.ensure_future(orc.run("paid", {"usd": 3}, run_id="r"))
        await asked.wait()
        async with asyncio.timeout(10):
            await orc.cancel("r")
            await running
