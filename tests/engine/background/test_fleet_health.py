"""Circuits are shared by the processes of one database, quickly."""

import asyncio
import time

from orchestrator import Orchestrator, tool


@tool(gives="y")
def double(x: int) -> int:
    return 2 * x


async def test_a_circuit_that_one_worker_opens_is_soon_seen_by_the_others(postgres: str) -> None:
    async with Orchestrator([double], store=postgres) as one, Orchestrator([double], store=postgres) as other:
        await one.run("y", {"x": 1})
        await other.run("y", {"x": 1})
        one.health.trip("double", "maintenance")
        began = time.monotonic()
        while str(other.health.status("double").circuit) != "open":
            assert time.monotonic() - began < 10
            await asyncio.sleep(0.01)
        assert time.monotonic() - began < 2  # some 150 ms on an idle machine
