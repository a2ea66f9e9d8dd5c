"""Healing must not become the overload: a full outage, and a server that was overrun and has its capacity back."""

import asyncio
from typing import Any

import pytest

from orchestrator import Orchestrator, Policy, Tool, Unavailable
from orchestrator.testing import FakeClock


class Server:
    """A server with a queue: it serves `capacity` requests a second, also those whose caller has given up."""

    def __init__(self, clock: FakeClock, capacity: float) -> None:
        self.clock = clock
        self.capacity = capacity
        self.free_at = 0.0
        self.requests = 0

    async def call(self) -> int:
        """Wait for one's turn."""
        self.requests += 1
        now = self.clock.monotonic()
        self.free_at = max(self.free_at, now) + 1 / self.capacity
        await self.clock.sleep(self.free_at - now)
        return 1


async def load(orc: Orchestrator, clock: FakeClock, seconds: float, rate: float) -> list[tuple[float, bool]]:
    """Begin `rate` runs a second for `seconds`; for each, when it began and whether it reached its goal."""
    results: list[tuple[float, bool]] = []

    async def one(began: float) -> None:
        outcome = await orc.run("x")
        results.append((began, outcome.ok))

    tasks: list[asyncio.Task[None]] = []
    for _ in range(int(seconds * rate)):
        tasks.append(asyncio.create_task(one(clock.monotonic())))
        await clock.sleep(1 / rate)
    await asyncio.gather(*tasks)
    return results


def goodput(results: list[tuple[float, bool]], since: float, until: float) -> float:
    """Share of the runs begun in a window that reached their goal."""
    chosen = [ok for began, ok in results if since <= began < until]
    return sum(chosen) / len(chosen)


async def test_a_full_outage_makes_few_more_calls_than_no_outage() -> None:
    clock, calls = FakeClock(), 0

    async def dead() -> int:
        nonlocal calls
        calls += 1
        raise TimeoutError("no answer")

    orc = Orchestrator([Tool(dead, gives="x")], clock=clock, monitors=())
    runs = len(await load(orc, clock, 30, 10))
    assert calls <= 1.2 * runs


async def test_an_outage_with_an_alternative_costs_probes_only() -> None:
    clock, calls = FakeClock(), 0

    async def dead() -> int:
        nonlocal calls
        calls += 1
        raise Unavailable("down")

    orc = Orchestrator([Tool(dead, gives="x"), Tool(lambda: 1, name="spare", gives="x", cost=1)], clock=clock)
    results = await load(orc, clock, 30, 10)
    assert all(ok for _, ok in results)
    assert calls <= 15


@pytest.mark.campaign
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(3))
async def test_overload_ends_when_its_trigger_does(seed: int) -> None:
    clock, policy = FakeClock(), Policy.load("balanced")
    server = Server(clock, capacity=20)
    options: Any = {"gives": "x", "timeout": 1.0}
    orc = Orchestrator([Tool(server.call, name="server", **options)], policy=policy, clock=clock)
    orc._runtime.draws.seed(seed)  # pyright: ignore[reportPrivateUsage]
    began = clock.monotonic()
    running = asyncio.create_task(load(orc, clock, 180, 15))
    await clock.sleep(30)
    server.capacity = 5
    await clock.sleep(60)
    over = clock.monotonic()
    server.capacity = 20
    results = await running
    assert goodput(results, began, began + 30) > 0.99
    assert goodput(results, began + 40, over) < 0.6, "there was no overload"
    healed = over + 2 * policy.circuit.open_seconds + policy.circuit.ramp_seconds
    assert healed < over + 60
    assert goodput(results, healed, began + 180) >= 0.95
    assert server.requests <= 1.2 * len(results)
