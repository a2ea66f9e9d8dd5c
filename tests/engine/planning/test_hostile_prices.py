"""Random worlds of tools that are limited, saturated, slow, refused or broken: what runs do there, and its replay."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest

from orchestrator import Budget, DecisionKind, FailureKind, Orchestrator, Outcome, Policy, RateLimited, Refused, Tool
from orchestrator.testing import FakeClock

BEHAVIOURS = ("ok", "ok", "ok", "limited", "limited", "reset", "hangs", "flaky", "account", "refuses", "slow")
LAYERS = (
    (["q"], "a", 1, 3),
    (["q"], "b", 1, 2),
    (["a"], "goal", 1, 3),
    (["b"], "goal", 0, 2),
    (["a", "b"], "m", 0, 1),
    (["m"], "goal", 0, 1),
)
"""Needs, what is given, at least and at most so many tools."""
MOST_DECISIONS = 25
"""A run that records more plans in a circle."""


def _account(error: BaseException) -> FailureKind | None:
    return FailureKind.ACCOUNT if isinstance(error, PermissionError) else None


class HostileWorld:
    """Tools with random behaviours on one clock; notes calls of a scope that had asked to wait."""

    def __init__(self, seed: int) -> None:
        self.random, self.clock = Random(seed), FakeClock()
        self.limits: dict[str, tuple[float, float]] = {}
        """Scope -> when it last asked to wait, and until when."""
        self.early: list[tuple[str, float]] = []
        """Calls before that time."""
        self.tools: list[Tool] = []
        for needs, gives, least, most in LAYERS:
            for _ in range(self.random.randint(least, most)):
                self.tools.append(self._tool(f"t{len(self.tools)}", needs, gives))

    def _tool(self, name: str, needs: list[str], gives: str) -> Tool:
        random, clock = self.random, self.clock
        credential, behaviour = random.choice([None, None, "k1", "k2"]), random.choice(BEHAVIOURS)
        scope, seconds = credential or name, random.choice([0, 0, 0.1, 0.5, 2])

        async def call(**_: Any) -> str:
            asked, until = self.limits.get(scope, (0.0, 0.0))
            if asked < clock.monotonic() < until - 1e-3:
                self.early.append((name, clock.monotonic()))
            luck = random.random()
            if behaviour == "hangs" and luck < 0.4:
                await clock.sleep(1e6)
            await clock.sleep(seconds * (5 if behaviour == "slow" and luck < 0.3 else 1))
            if behaviour == "limited" and luck < 0.5:
                wait = random.choice([1, 5, 20, 60])
                now = clock.monotonic()
                self.limits[scope] = (now, max(self.limits.get(scope, (0.0, 0.0))[1], now + wait))
                raise RateLimited("limit", retry_after=wait)
            if luck < {"reset": 0.9, "flaky": 0.3}.get(behaviour, 0):
                raise ConnectionResetError("reset")
            if behaviour == "account" and luck < 0.5:
                raise PermissionError("401")
            if behaviour == "refuses" and luck < 0.5:
                raise Refused("no")
            return name

        options: dict[str, Any] = {"cost": round(random.uniform(0.0005, 0.01), 5), "timeout": random.choice([5, 30])}
        if random.random() < 0.4:
            options["max_concurrency"] = random.choice([1, 1, 2])
        if random.random() < 0.5:
            options["latency"] = seconds
        if random.random() < 0.5:
            options["retries"] = random.choice([0, 1, 3])
        wired = {key: key for key in needs}
        return Tool(call, name=name, needs=wired, gives=gives, credential=credential, classify=_account, **options)

    async def run(self) -> None:
        """Some runs at about the same time; each must hold what is promised."""
        random, policy = self.random, Policy(learn=self.random.random() < 0.8)
        async with Orchestrator(self.tools, clock=self.clock, monitors=(), policy=policy) as orc:

            async def one(number: int) -> Outcome[Any]:
                await self.clock.sleep(random.choice([0, 0, 0, 1, 3, 10]))
                budget = Budget(seconds=120) if random.random() < 0.5 else None
                dial = random.choice([None, None, 0.2, 0.9])
                return await orc.run("goal", {"q": number}, budget=budget, dial=dial)

            outcomes = await asyncio.gather(*(one(number) for number in range(random.randint(1, 15))))
            assert self.early == [], "a limited tool is called by nobody of its scope before its time"
            for outcome in outcomes:
                check(outcome)
                replay = orc.replay(outcome.run_id)
                assert replay.agrees, replay.differences


def check(outcome: Outcome[Any]) -> None:
    """Every failure has one answer, what is chosen is the cheapest of what is shown, and no run plans in a circle."""
    answers = Counter(failure for decision in outcome.decisions for failure in decision.answers)
    assert all(answers[failure.id] == 1 for failure in outcome.failures)
    assert len(outcome.decisions) <= MOST_DECISIONS
    for decision in outcome.decisions:
        if decision.kind is DecisionKind.RETRY and decision.facts["other"] is not None:
            assert decision.facts["again"] <= decision.facts["other"]
        elif decision.price is not None:
            assert all(c.price is None or c.price >= decision.price - 1e-12 for c in decision.candidates)


@pytest.mark.parametrize("seed", [1, 2, 48, 65])
def test_random_hostile_worlds(seed: int) -> None:
    asyncio.run(HostileWorld(seed).run())


@pytest.mark.campaign
@pytest.mark.parametrize("first", range(0, 1000, 50))
def test_random_hostile_worlds_at_length(first: int) -> None:
    for seed in range(first, first + 50):
        asyncio.run(HostileWorld(seed).run())
